import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bin, runtimeDir } from "../support/paths.js";
import { type DebianImage, debianRootfs } from "../support/debian.js";
import type { Store } from "../support/store.js";
import { type Typed, underTerminal } from "../support/typed.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guestOf } from "./guest.js";

/** Real Debian guests: how they are configured, and how one waits for them. */

/** The world that the guest is configured for. */
export type World = "lxc" | "lxd" | "systemd";
/** privileged; mapped: an id-mapped root file system; shifted: files that belong to the mapped ids themselves. */
export type Ids = "privileged" | "mapped" | "shifted";

/** Where the ids of mapped guests begin on the host. */
export const firstId = 100_000;

const lxcConfigs = "/usr/share/lxc/config";

/** As an administrator of LXC writes it, on top of what Debian's lxc package has for Debian guests. */
const worlds: Readonly<Record<World, (ids: Ids) => string>> = {
  lxc: (ids) =>
    `lxc.include = ${lxcConfigs}/debian.common.conf\n` +
    (ids === "privileged"
      ? ""
      : // The userns file gives all capabilities back; with these two, systemd would try to mount debugfs and to load modules.
        `lxc.include = ${lxcConfigs}/debian.userns.conf\nlxc.cap.drop = sys_rawio sys_module\n`),
  lxd: (ids) =>
    // LXD's id-mapped guests have all capabilities, too.
    `islet.guest = lxd\nlxc.tty.max = 1\n${ids === "privileged" ? "" : "lxc.cap.drop = sys_rawio sys_module\n"}`,
  systemd: () => "islet.guest = systemd\nlxc.tty.max = 1\n",
};

function idLines(ids: Ids): string {
  if (ids === "privileged") return "";
  const map = `lxc.idmap = u 0 ${firstId} 65536\nlxc.idmap = g 0 ${firstId} 65536\n`;
  return ids === "mapped" ? `${map}lxc.rootfs.options = idmap=container\n` : map;
}

export function debianConfig(name: string, rootfs: string, world: World, ids: Ids): string {
  return `${worlds[world](ids)}lxc.rootfs.path = dir:${rootfs}\nlxc.uts.name = ${name}\nlxc.net.0.type = empty\n${idLines(ids)}`;
}

export interface DebianGuest {
  readonly image: DebianImage;
  readonly world: World;
  readonly ids: Ids;
  /** Added to the configuration. */
  readonly config?: string;
  /** Changes the root file system before its owners are shifted. */
  readonly change?: (rootfs: string) => void;
}

/** A unit that leaves /islt-ended when it is stopped in good order. */
export const endedFile = "islt-ended";
function addEndMark(rootfs: string): void {
  const units = join(rootfs, "etc/systemd/system");
  mkdirSync(join(units, "multi-user.target.wants"), { recursive: true });
  writeFileSync(
    join(units, "islt-end.service"),
    `[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/touch /${endedFile}\n`,
  );
  symlinkSync("../islt-end.service", join(units, "multi-user.target.wants/islt-end.service"));
}

/** Makes a container of a Debian image in the store. */
export async function debianGuest(store: Store, name: string, guest: DebianGuest): Promise<Guest> {
  const { image, world, ids, config = "", change } = guest;
  const rootfs = join(store.path, name, "rootfs");
  await debianRootfs(image, rootfs, ids === "shifted" ? firstId : 0, (path) => {
    if (image.flavour === "systemd") addEndMark(path);
    change?.(path);
  });
  writeFileSync(join(store.path, name, "config"), debianConfig(name, rootfs, world, ids) + config);
  return guestOf(store, name, rootfs);
}

/** Until systemd has booted; fails with the units that failed, if any. */
export async function booted(guest: Guest): Promise<void> {
  const state = await waitFor(
    `${guest.name} to have booted`,
    async () => {
      // Without its bus yet, systemctl fails; while it boots it says "initializing" or "starting".
      const { stdout } = await guest.try("systemctl is-system-running");
      return ["running", "degraded"].includes(stdout.trim()) && stdout.trim();
    },
    { timeout: 30_000, every: 100 },
  );
  if (state !== "running") {
    const units = await guest.try("systemctl --failed --no-pager --plain; journalctl -b -p warning --no-pager");
    assert.fail(`${guest.name} is ${state}:\n${units.stdout}`);
  }
}

/** Until another init than `pid` runs. */
export async function bootedAnew(guest: Guest, pid: number): Promise<void> {
  await waitFor(
    `${guest.name} to have a new init`,
    async () => (await guest.state()) === "RUNNING" && ![0, pid].includes(await guest.pid()),
    { timeout: 30_000 },
  );
}

export async function stopped(guest: Guest): Promise<void> {
  await waitFor(`${guest.name} to be STOPPED`, async () => (await guest.state()) === "STOPPED", { timeout: 30_000 });
}

/** Somebody before a terminal of their own, on which a command of the checkout runs; what the screen showed when it had ended. */
export async function typing(argv: readonly string[], types: Typed, limit: number = 30_000): Promise<string> {
  const [name = "", ...words] = argv;
  const env = { PATH: process.env["PATH"], TERM: "vt220", ISLET_RUNTIME_DIR: runtimeDir };
  const { screen, status } = await underTerminal([bin(name), ...words], types, { cwd: "/", env, limit });
  assert.equal(
    status,
    0,
    `${argv.join(" ")}: ${status === null ? `no end after ${limit} ms` : `status ${status}`}\n${screen}`,
  );
  return screen;
}
