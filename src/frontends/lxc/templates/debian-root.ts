import { basename } from "node:path";
import { type AptSource, sourceLine } from "../../../spec/apt-source.js";
import type { RootEditor } from "../../../spec/image.js";
import { setTimezone } from "./distro.js";
import { type HostKeys, writeHostKeys } from "./ssh-keys.js";

/** What makes a container of a Debian root file system: what LXC's template for Debian changes in it, as far as today's Debian needs it. */

export interface DebianContainer {
  readonly name: string;
  readonly ttys: number;
  readonly timezone: string | null;
  /** Lines for root's authorized_keys. */
  readonly authKey: string | null;
  readonly keys: HostKeys;
  readonly sources: readonly AptSource[];
  /** A file of the host's with keys that its apt needs and does not have. */
  readonly keyring: string | null;
  /** A file of the host's: an emulator, and where the kernel looks for it. */
  readonly interpreter: { readonly file: string; readonly path: string } | null;
}

export const debianInterfaces = `auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
`;

export const hostsOf = (name: string): string => `127.0.0.1   localhost
127.0.1.1   ${name}

# The following lines are desirable for IPv6 capable hosts
::1     localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
`;

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

/** Debian's own has no getty on the console, and does not know what lxc-stop sends. */
export function inittabOf(ttys: number): string {
  const levels = numbers(7).map((each) => each - 1);
  return `id:3:initdefault:
si::sysinit:/etc/init.d/rcS
${levels.map((level) => `l${level}:${level}:wait:/etc/init.d/rc ${level}`).join("\n")}
# Normally not reached, but fallthrough in case of emergency.
z6:6:respawn:/sbin/sulogin
1:2345:respawn:/sbin/getty 38400 console
${numbers(ttys)
  .map((tty) => `c${tty}:12345:respawn:/sbin/getty 38400 tty${tty} linux\n`)
  .join("")}p6::ctrlaltdel:/sbin/init 6
p0::powerfail:/sbin/init 0
`;
}

const units = "/etc/systemd/system";

/**
 * Logins on the ttys. systemd starts a getty on a tty only where there is a /dev/tty0, which no container has; LXC's template leaves it at that,
 * and nobody can log in there.
 */
export function setGettys(root: RootEditor, ttys: number): void {
  if (!root.exists("/lib/systemd/system/getty@.service")) return;
  root.directory(`${units}/getty.target.wants`);
  for (const tty of numbers(ttys))
    root.link(`${units}/getty.target.wants/getty@tty${tty}.service`, "/lib/systemd/system/getty@.service");
  root.write(`${units}/getty@.service.d/lxc.conf`, "[Unit]\nConditionPathExists=\nConditionPathExists=/dev/%I\n");
}

/** Units that have no place in a container are never started. */
export function maskUnits(root: RootEditor, names: readonly string[]): void {
  for (const name of names) root.link(`${units}/${name}`, "/dev/null");
}

function setSystemd(root: RootEditor, ttys: number): void {
  root.link(`${units}/default.target`, "/lib/systemd/system/multi-user.target");
  maskUnits(root, ["udev.service", "systemd-udevd.service"]);
  setGettys(root, ttys);
}

/** Nothing that the container must have for itself comes from the image: name, resolver, machine id, keys. */
export function setIdentity(root: RootEditor, name: string, keys: HostKeys): void {
  root.write("/etc/hostname", `${name}\n`);
  root.write("/etc/hosts", hostsOf(name));
  // mmdebstrap leaves the host's; whoever gets an address gets its resolver as well.
  root.remove("/etc/resolv.conf");
  // Empty: systemd makes one up at the first start, and does not take that start for the first of the machine.
  if (root.exists("/etc/machine-id") || root.exists("/lib/systemd/systemd")) root.write("/etc/machine-id", "");
  root.remove("/var/lib/dbus/machine-id");
  if (root.exists("/etc/ssh/sshd_config")) writeHostKeys(root, keys, name);
}

/** What the container's apt is told; of the options only what its host's administrator has said must not be checked. */
export function setSources(root: RootEditor, sources: readonly AptSource[]): void {
  const lines = sources.map((source) => sourceLine({ ...source, signedBy: [] }, source.isTrusted));
  root.write("/etc/apt/sources.list", `${lines.join("\n")}\n`);
}

export function setAuthorizedKeys(root: RootEditor, home: string, key: string, owner = { uid: 0, gid: 0 }): void {
  root.directory(`${home}/.ssh`, { mode: 0o700, ...owner });
  root.write(`${home}/.ssh/authorized_keys`, key, { mode: 0o600, ...owner });
}

export async function finishDebian(root: RootEditor, container: DebianContainer): Promise<void> {
  const { name, ttys } = container;
  if (root.exists("/etc/inittab")) root.write("/etc/inittab", inittabOf(ttys));
  root.link("/etc/mtab", "/proc/self/mounts");
  root.write("/etc/network/interfaces", debianInterfaces);
  setIdentity(root, name, container.keys);
  setTimezone(root, container.timezone);
  setSources(root, container.sources);
  if (container.keyring !== null)
    await root.copyIn(container.keyring, `/etc/apt/trusted.gpg.d/lxc-create-${basename(container.keyring)}`, {
      mode: 0o644,
    });
  setSystemd(root, ttys);
  root.change("/root/.profile", (text) => text.replace(/^mesg n/m, "test -t 0 && mesg n"));
  if (container.authKey !== null) setAuthorizedKeys(root, "/root", container.authKey);
  if (container.interpreter !== null)
    await root.copyIn(container.interpreter.file, container.interpreter.path, { mode: 0o755 });
}
