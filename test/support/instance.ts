import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathAndAncestors } from "../../src/base/paths.js";
import { scopeUnit } from "../../src/host/systemd.js";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, ok, programOf, type CommandOptions, type CommandResult } from "./command.js";
import { cgroupMounts, end, stopDaemons } from "./host.js";
import { descriptorCount } from "./leaks.js";
import { root, testDir } from "./paths.js";
import type { Store } from "./store.js";
import { waitFor } from "./wait.js";

/** A daemon of the test's own: its descriptors, memory and children are nobody else's, and it may be killed. */
export interface Instance {
  readonly runtimeDir: string;
  /** A store that goes with it; whatever still runs in it at the end is killed. */
  readonly store: Store;
  /** The daemon's pid; changes when it was killed and a command started another. */
  readonly pid: () => number;
  /** Kills the daemon; the next one is another process, with the same environment. */
  readonly restart: (meanwhile?: () => Promise<void>) => Promise<void>;
  readonly command: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  readonly ok: (argv: readonly string[], options?: CommandOptions) => Promise<string>;
}

export interface InstanceOptions {
  /** A process whose network namespace the daemon shall live in. */
  readonly netnsPid?: number;
  /** The same of its mount namespace. */
  readonly mntnsPid?: number;
  /** Called with the directory that has all of it, before the daemon begins. */
  readonly prepare?: (above: string) => void;
  /** Of the daemon itself; a daemon that a client starts never gets any of the caller's. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function instance(t: Cleaner, options: InstanceOptions = {}): Promise<Instance> {
  const defer = cleanup(t);
  const above = mkdtempSync(join(testDir, "islt-own-"));
  const sweepLocks = lockSweeper(above);
  // A dnsmasq without root's rights looks for its files in there.
  chmodSync(above, 0o711);
  const runtimeDir = join(above, "run");
  const storePath = join(above, "store");
  mkdirSync(runtimeDir, { mode: 0o711 });
  mkdirSync(storePath);
  options.prepare?.(above);
  const env = { PATH: process.env["PATH"] ?? "", ...options.env, ISLET_RUNTIME_DIR: runtimeDir };
  const node = [process.execPath, join(root, "dist/src/daemon/main.js")];
  const enter = [
    ...(options.netnsPid === undefined ? [] : [`--net=/proc/${options.netnsPid}/ns/net`]),
    ...(options.mntnsPid === undefined ? [] : [`--mount=/proc/${options.mntnsPid}/ns/mnt`]),
  ];
  const within = (argv: readonly string[]): readonly string[] =>
    enter.length === 0 ? argv : ["nsenter", ...enter, "--", ...argv];
  const [program = "", ...args] = within(node);
  const begin = (): ReturnType<typeof spawn> => spawn(program, args, { env, stdio: ["ignore", "ignore", "inherit"] });
  let daemon = begin();
  const pidFile = join(runtimeDir, "daemon.pid");
  const withEnv = (given: CommandOptions = {}): CommandOptions => ({
    ...given,
    env: { ...given.env, ISLET_RUNTIME_DIR: runtimeDir },
  });
  // A start is made where its caller is: the commands go to the daemon's namespaces as well.
  const there = ([name = "", ...words]: readonly string[]): readonly string[] =>
    enter.length === 0 ? [name, ...words] : within([programOf(name), ...words]);
  const self: Instance = {
    runtimeDir,
    store: { path: storePath, at: (name) => ["-P", storePath, "-n", name] },
    pid: () => Number(readFileSync(pidFile, "utf8")),
    restart: async (meanwhile) => {
      const before = self.pid();
      end(before, "SIGKILL");
      await waitFor("the daemon's end", () => !existsSync(`/proc/${before}`));
      await meanwhile?.();
      daemon = begin();
      await waitFor("the next daemon", () => self.pid() !== before);
      await atRest(self);
    },
    command: (argv, given) => command(there(argv), withEnv(given)),
    ok: (argv, given) => ok(there(argv), withEnv(given)),
  };
  defer(async () => {
    const names = list(storePath);
    for (const line of processesOf(storePath, names)) end(Number(line.split(" ")[0]), "SIGKILL");
    const gone = (): boolean => processesOf(storePath, names).length === 0;
    try {
      await waitFor("the containers to end", gone);
    } finally {
      await stopDaemons(runtimeDir);
      daemon.kill("SIGKILL");
      removeCgroups(names);
      for (const file of list(join(runtimeDir, "phys"))) await command(["umount", join(runtimeDir, "phys", file)]);
      rmSync(above, { recursive: true, force: true });
      sweepLocks();
    }
  });
  await waitFor("the daemon", () => existsSync(pidFile));
  await atRest(self);
  return self;
}

/** Waits until a daemon does nothing any more: what it keeps for good (a spare monitor) it makes when it is idle, what was left by the last request it drops then. */
async function atRest(own: Instance): Promise<void> {
  const counts: number[] = [];
  await waitFor("the daemon to be at rest", () => {
    counts.push(descriptorCount(own.pid()));
    const last = counts.slice(-4);
    const hasSpare = quietly(`/proc/${own.pid()}/task/${own.pid()}/children`) !== "";
    return hasSpare && last.length === 4 && new Set(last).size === 1;
  });
}

/** What killed monitors leave; those of a healthy test are gone already. */
function removeCgroups(names: readonly string[]): void {
  for (const mount of cgroupMounts()) {
    const payloads = list(mount).filter((entry) => names.some((name) => entry === `lxc.payload.${name}`));
    // Of libvirt's domains, each with a group of the guest's own in it.
    const machine = join(mount, "machine");
    const domains = list(machine).filter((entry) =>
      names.some((name) => entry.startsWith("lxc-") && entry.endsWith(`-${name}.libvirt-lxc`)),
    );
    const groups = [
      ...payloads.map((entry) => join(mount, entry)),
      ...domains.flatMap((entry) => [join(machine, entry, "guest"), join(machine, entry)]),
      ...(domains.length === 0 ? [] : [machine]),
    ];
    for (const group of groups) {
      try {
        rmdirSync(group);
      } catch {
        // Not there, or in use: the runner's look at the host tells.
      }
    }
  }
}

/** What LXC's own commands leave of a store: lock files, in a directory for each on the way there. Gives back what takes away those that were not there. */
function lockSweeper(above: string): () => void {
  const locks = join("/run/lxc/lock", above);
  const made = pathAndAncestors(locks).filter((path) => !existsSync(path));
  return () => {
    rmSync(locks, { recursive: true, force: true });
    for (const path of made.toReversed()) {
      try {
        rmdirSync(path);
      } catch {
        // It is not there, or others have theirs in it.
      }
    }
  };
}

function isZombie(pid: number): boolean {
  return /\) Z /.test(quietly(`/proc/${pid}/stat`));
}

function quietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a process that has ended meanwhile
  }
}

function list(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** Processes that belong to containers of a store: monitors and their children by their title, the others by their cgroup. */
export function processesOf(storePath: string, names: readonly string[]): readonly string[] {
  return list("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      if (isZombie(Number(entry))) return [];
      const title = quietly(`/proc/${entry}/cmdline`).split("\0").join(" ");
      const cgroup = quietly(`/proc/${entry}/cgroup`);
      const isOurs =
        title.startsWith(`[lxc monitor] ${storePath} `) ||
        names.some(
          (name) =>
            new RegExp(`/lxc\\.payload\\.${name}(-\\d+)?(/|$)`, "m").test(cgroup) ||
            cgroup.includes(scopeUnit(storePath, name)),
        );
      return isOurs ? [`${entry} ${title}`] : [];
    });
}

/** What containers may leave behind in the places where a start puts things; `netnsPid`: whose links and sockets are looked at. */
export function traces(own: Instance, names: readonly string[], netnsPid: number | "self" = "self"): readonly string[] {
  const storePath = own.store.path;
  const cgroups = cgroupMounts().flatMap((mount) =>
    [...list(mount), ...list(join(mount, "machine.slice"))]
      .filter((entry) =>
        names.some((name) => entry.startsWith(`lxc.payload.${name}`) || entry === scopeUnit(storePath, name)),
      )
      .map((entry) => `cgroup ${mount}/${entry}`),
  );
  const mounts = quietly("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line.includes(storePath) || line.includes(own.runtimeDir))
    .map((line) => `mount ${line}`);
  const sockets = quietly(`/proc/${netnsPid}/net/unix`)
    .split("\n")
    .filter((line) => line.includes(`@${storePath}/`))
    .map((line) => `socket ${line}`);
  const links = netnsPid === "self" ? [] : linksOf(netnsPid).map((link) => `link ${link}`);
  const files = [
    ...list(join(own.runtimeDir, "monitor")).map((entry) => `file monitor/${entry}`),
    ...list(join(own.runtimeDir, "devlxd")).map((entry) => `file devlxd/${entry}`),
    ...list(own.runtimeDir).map((entry) => `file ${entry}`),
    ...names.flatMap((name) => list(join(storePath, name)).map((entry) => `file ${name}/${entry}`)),
  ];
  return [
    ...cgroups,
    ...mounts,
    ...sockets,
    ...links,
    ...files,
    ...processesOf(storePath, names).map((line) => `process ${line}`),
  ];
}

/** Names of the interfaces in a process's network namespace. */
export function linksOf(pid: number): readonly string[] {
  return quietly(`/proc/${pid}/net/dev`)
    .split("\n")
    .slice(2)
    .map((line) => line.split(":")[0]?.trim() ?? "")
    .filter((name) => name !== "");
}

export interface Traces {
  /** Fails unless everything is as it was, within two seconds. */
  readonly assertGone: (after: string) => Promise<void>;
}

/** Takes the present state as the one to come back to, once the daemon is at rest. */
export async function watchTraces(
  own: Instance,
  names: readonly string[],
  netnsPid: number | "self" = "self",
): Promise<Traces> {
  await atRest(own);
  const before = traces(own, names, netnsPid);
  const descriptors = descriptorCount(own.pid());
  return {
    assertGone: async (after) => {
      let left: readonly string[] = [];
      try {
        await waitFor(
          "nothing to be left",
          () => {
            left = [
              ...traces(own, names, netnsPid).filter((line) => !before.includes(line)),
              ...before
                .filter((line) => !traces(own, names, netnsPid).includes(line))
                .map((line) => `missing: ${line}`),
            ];
            const open = descriptorCount(own.pid());
            if (open > descriptors) left = [...left, `${open - descriptors} descriptors of the daemon`];
            return left.length === 0;
          },
          { timeout: 2000, every: 5 },
        );
      } catch {
        throw new Error(`left behind ${after}:\n  ${left.join("\n  ")}`);
      }
    },
  };
}
