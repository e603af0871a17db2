import { existsSync } from "node:fs";
import { chmod, chown, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IsletError } from "../../../base/errors.js";
import { toHostId } from "../../../spec/idmap.js";
import { option } from "../commands/options.js";
import { findProgram } from "../commands/template.js";
import type { BuiltinTemplate } from "./builtin.js";
import { placeOf, readAuthKey, readConfig, templateOptions, withAddress } from "./distro.js";
import { makeHostKeys } from "./ssh-keys.js";

const options = [option("auth-key", "", { short: "S", argument: "FILE" })];

const usage = `LXC template for a container that runs nothing but sshd

  lxc-create -t sshd -n NAME [OPTION...] [-- TEMPLATE-OPTION...]

Its programs are the host's, read-only; its network, host keys, /etc, /root and /home are its own. The host needs sshd (Debian: package openssh-server)
and, unless the configuration has an address, a DHCP client: dhclient, dhcpcd or busybox.

  -h, --help               print this and exit
  -S, --auth-key FILE.pub  an SSH key with which root may log in; or put one into ROOTFS/root/.ssh/authorized_keys

  -p, --path PATH, -n, --name NAME, --rootfs PATH: given by lxc-create
`;

/** Where islet's small init is inside. */
const initDirectory = "init";

const directories: readonly string[] = [
  "bin", "dev", "dev/pts", "dev/shm", "etc", "etc/ssh", "home", initDirectory, "lib", "lib64", "proc", "run", "run/sshd", "sbin", "sys", "usr", "var",
  "var/empty", "var/empty/sshd", "var/lib", "var/lib/dhcp", "var/lib/dhcpcd", "var/log",
]; // prettier-ignore

/** Directories of the host's that are there as they are, where the host has them. */
const shared = ["lib", "bin", "usr", "sbin", "lib64"] as const;

const sshdConfig = `Port 22
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
UsePAM no
LoginGraceTime 120
PermitRootLogin prohibit-password
StrictModes yes
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
PermitEmptyPasswords no
Subsystem sftp internal-sftp
`;

/** What udhcpc calls with what it was told. */
const udhcpcScript = `#!/bin/sh
case $1 in
deconfig)
    ip addr flush dev "$interface" ;;
bound | renew)
    ip addr replace "$ip/$mask" dev "$interface"
    for each in $router; do ip route replace default via "$each" dev "$interface" && break; done
    : > /etc/resolv.conf
    [ -z "$domain" ] || echo "search $domain" >> /etc/resolv.conf
    for each in $dns; do echo "nameserver $each" >> /etc/resolv.conf; done ;;
esac
`;

/** What the small init runs. The address may come while sshd listens already. */
const start = (sshd: string): string => `#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up
if [ -e /run-dhcp ] && [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    if command -v dhclient > /dev/null; then
        dhclient -cf /etc/dhclient.conf eth0 &
    elif command -v dhcpcd > /dev/null; then
        dhcpcd -B eth0 &
    elif command -v busybox > /dev/null; then
        busybox udhcpc -f -i eth0 -s /etc/udhcpc.script -x "hostname:$(cat /etc/hostname)" &
    else
        echo "no DHCP client: dhclient, dhcpcd or busybox is needed" >&2
    fi
fi
exec ${sshd} -D -e
`;

/** What the template adds to the configuration. `binary`: islet's. */
export function sshdConfigLines(
  config: string,
  rootfs: string,
  name: string,
  binary: string,
  exists: (path: string) => boolean = existsSync,
): string {
  return [
    ...(/^lxc\.rootfs\.path/m.test(config) ? [] : [`lxc.rootfs.path = ${rootfs}`]),
    `lxc.uts.name = ${name}`,
    "lxc.pty.max = 1024",
    "lxc.cap.drop = sys_module mac_admin mac_override sys_time",
    "",
    "# When using LXC with apparmor, uncomment the next line to run unconfined:",
    "#lxc.apparmor.profile = unconfined",
    "",
    "lxc.autodev = 1",
    `lxc.init.cmd = /${initDirectory}/islet init -- /etc/rc.sshd`,
    "",
    ...shared
      .filter((directory) => exists(`/${directory}`))
      .map((directory) => `lxc.mount.entry = /${directory} ${directory} none ro,bind 0 0`),
    "lxc.mount.entry = tmpfs run/sshd tmpfs mode=0755 0 0",
    `lxc.mount.entry = ${binary.replaceAll(" ", "\\040")} ${initDirectory}/islet none ro,bind 0 0`,
    "",
    "lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed",
    "",
  ].join("\n");
}

/** Files by their path, with their mode. */
type Files = Readonly<Record<string, readonly [text: string, mode: number]>>;

async function fill(rootfs: string, files: Files, own: (path: string) => Promise<void>): Promise<void> {
  for (const directory of directories) {
    await mkdir(join(rootfs, directory), { recursive: true });
    await own(join(rootfs, directory));
  }
  for (const [directory, mode] of [
    ["root", 0o700],
    ["tmp", 0o1777],
  ] as const) {
    await mkdir(join(rootfs, directory));
    await chmod(join(rootfs, directory), mode);
    await own(join(rootfs, directory));
  }
  await symlink("../run", join(rootfs, "var/run"));
  for (const [path, [text, mode]] of Object.entries(files)) {
    if (path === "root/.ssh/authorized_keys") {
      await mkdir(join(rootfs, "root/.ssh"), { mode: 0o700 });
      await own(join(rootfs, "root/.ssh"));
    }
    await writeFile(join(rootfs, path), text, { mode, flag: "wx" });
    await chmod(join(rootfs, path), mode);
    await own(join(rootfs, path));
  }
}

/** Does what the lxc-sshd script does with these arguments. */
export const sshdTemplate: BuiltinTemplate = async (call) => {
  const { host, engine, idmap } = call;
  const given = templateOptions("sshd", options, usage, call);
  if (given === null) return;
  const place = await placeOf(given, call);
  const keyFile = given.value("auth-key");
  const authKey = keyFile === null ? null : await readAuthKey(keyFile, host.caller);
  const sshd = findProgram("sshd", `${host.caller.environment["PATH"] ?? ""}:/usr/sbin:/usr/bin:/sbin:/bin`);
  if (sshd === null || !/^\/(usr|s?bin)\//.test(sshd))
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      "the program sshd is missing on this host, which the container is to run",
      {
        hint: "Debian: package openssh-server",
      },
    );
  const present = (await readdir(place.rootfs)).filter((name) => name !== "lost+found");
  if (present.length > 0)
    throw new IsletError("ISLET_BAD_REQUEST", `${place.rootfs} is not empty: it has ${present[0] ?? ""}`);

  const { name } = place;
  const config = await readConfig(place.config);
  const hasAddress = /^lxc\.net\.0\.ipv4\.address/m.test(config);
  const keys = await makeHostKeys(name);
  const keyFiles = new Map<string, Files[string]>(
    keys.flatMap((key) => [
      [`etc/ssh/ssh_host_${key.kind}_key`, [key.private, 0o600]],
      [`etc/ssh/ssh_host_${key.kind}_key.pub`, [`${key.public} root@${name}\n`, 0o644]],
    ]),
  );
  const files: Files = {
    ...Object.fromEntries<Files[string]>(keyFiles),
    "etc/passwd": [
      "root:x:0:0:root:/root:/bin/bash\nsshd:x:74:74:Privilege-separated SSH:/var/empty/sshd:/sbin/nologin\n",
      0o644,
    ],
    "etc/group": ["root:x:0:root\ntty:x:5:\nsshd:x:74:\n", 0o644],
    "etc/hostname": [`${name}\n`, 0o644],
    "etc/hosts": [`127.0.0.1 localhost\n127.0.1.1 ${name}\n`, 0o644],
    "etc/fstab": ["", 0o644],
    "etc/ssh/sshd_config": [sshdConfig, 0o644],
    "etc/dhclient.conf": ["send host-name = gethostname();\n", 0o644],
    "etc/udhcpc.script": [udhcpcScript, 0o755],
    "etc/rc.sshd": [start(sshd), 0o755],
    // The small init is put over it.
    [`${initDirectory}/islet`]: ["", 0o755],
    ...(hasAddress ? {} : { "run-dhcp": ["", 0o644] as const }),
    ...(authKey === null ? {} : { "root/.ssh/authorized_keys": [authKey, 0o600] as const }),
  };
  const uid = toHostId(idmap, "uid", 0);
  const gid = toHostId(idmap, "gid", 0);
  const own = async (path: string): Promise<void> => {
    if (idmap.length > 0 && uid !== null && gid !== null) await chown(path, uid, gid);
  };
  await fill(place.rootfs, files, own);
  const { binary } = await engine.hostReport();
  const lines = sshdConfigLines(config, place.documented, name, binary);
  await writeFile(place.config, `${withAddress(config)}${lines}`);
  if (authKey !== null)
    host.write(1, `Inserted SSH public key from ${keyFile ?? ""} into /root/.ssh/authorized_keys\n`);
};
