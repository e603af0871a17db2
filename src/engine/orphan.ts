import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { closeFd, spawn } from "../host/addon.js";
import { readKernelFile, removeFile } from "../host/fd.js";
import { reapWhenDone } from "../host/reap.js";
import { connectUnix } from "../host/socket.js";
import { exportLink } from "../runtime/export-link.js";
import { type MonitorMeta, decodeMeta, monitorId, monitorSocketPath } from "../runtime/monitors.js";
import type { Arch } from "../sys/arch.js";
import { thawForDeath } from "./freeze.js";

/**
 * Guests whose monitor was killed (docs/explanation/what-happens-when-things-die.md). The kernel has sent them lxc.monitor.signal.pdeath; what
 * lives on is ended here, with the control groups. So that a later daemon can do that, too, a file below the runtime directory says of every
 * guest which cgroup it is in.
 */
export interface Orphans {
  /**
   * Ends the guest of a monitor that was killed, or clears away what a monitor has left; `finished` is called when that is done.
   */
  adopt(meta: MonitorMeta, why: "killed" | "left", finished: () => void): void;
  has(id: Named): boolean;
  all(): Iterable<MonitorMeta>;
  /** Kills it now, if there is one. */
  kill(id: Named): void;
  /** Writes down where a guest lives; its monitor is running it. */
  record(meta: MonitorMeta): void;
  /** The guest has ended, with its monitor. False: its cgroups are still there. */
  forget(meta: MonitorMeta): boolean;
  /** The guest of a monitor's socket that nobody answers, if it is still the one that was written down. */
  recall(socketName: string): MonitorMeta | null;
}

interface Named {
  readonly storePath: string;
  readonly name: string;
}

/** Milliseconds that a guest has for lxc.monitor.signal.pdeath. */
const graceTime = 10_000;
/** Milliseconds between two looks. */
const pause = 50;
const SIGKILL = 9;

interface Orphan {
  readonly meta: MonitorMeta;
  readonly finished: () => void;
  readonly until: number;
  /** Its control groups when it was found: others of their names are not its. */
  readonly groups: ReadonlyMap<string, string>;
  timer: NodeJS.Timeout | null;
  isReaped: boolean;
}

/** Milliseconds; no clock of the day. */
const now = (): number => performance.now();

/** The payload's cgroup in every hierarchy. */
function directoriesOf(meta: MonitorMeta): readonly string[] {
  return [...meta.cgroups.map(({ path }) => path), ...(meta.unified === null ? [] : [meta.unified])];
}

/** `binary`: of islet, whose `reap` clears control groups. */
export function createOrphans(arch: Arch, runtimeDir: string, binary: string): Orphans {
  const orphans = new Map<string, Orphan>();
  const directory = `${runtimeDir}/guest`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fileOf = (id: Named): string => `${directory}/${monitorId(id.storePath, id.name)}`;
  const keyOf = (id: Named): string => `${id.storePath}\0${id.name}`;

  const finish = (orphan: Orphan): void => {
    const left = groupsOf(orphan);
    say(orphan.meta, left.length === 0 ? "has ended" : `could not be cleared away: ${left.join(", ")}`);
    orphans.delete(keyOf(orphan.meta));
    removeFile(arch, fileOf(orphan.meta));
    removeFile(arch, exportLink(runtimeDir, orphan.meta.storePath, orphan.meta.name));
    orphan.finished();
  };

  const reap = (orphan: Orphan): void => {
    if (orphan.isReaped) return;
    orphan.isReaped = true;
    if (orphan.timer !== null) clearTimeout(orphan.timer);
    try {
      const { pidfd } = spawn(binary, ["islet", "reap", ...groupsOf(orphan)], [], [], { cwd: "/" });
      reapWhenDone(pidfd, () => {
        finish(orphan);
      });
    } catch (error) {
      console.error(error);
      finish(orphan);
    }
  };

  const look = (orphan: Orphan): void => {
    if (pidsOf(arch, orphan.meta).length === 0 || now() > orphan.until) reap(orphan);
    else orphan.timer = setTimeout(look, pause, orphan);
  };

  return {
    has: (id) => orphans.has(keyOf(id)),
    *all() {
      for (const { meta } of orphans.values()) yield meta;
    },
    adopt(meta, why, finished): void {
      if (orphans.has(keyOf(meta))) return;
      const isKilled = why === "left" || meta.signals.death === SIGKILL;
      const orphan: Orphan = {
        meta,
        finished,
        until: now() + (isKilled ? 0 : graceTime),
        timer: null,
        isReaped: false,
        groups: new Map(
          directoriesOf(meta).flatMap((path) => {
            const found = identity(path);
            return found === null ? [] : [[path, found]];
          }),
        ),
      };
      // Another engine may have started it again meanwhile, before the groups were looked at: whoever answers by now lives in them.
      const answering = connectUnix(arch, monitorSocketPath(runtimeDir, meta.storePath, meta.name));
      if (answering !== null) {
        closeFd(answering);
        finished();
        return;
      }
      orphans.set(keyOf(meta), orphan);
      if (why === "left")
        console.error(`${meta.storePath}/${meta.name}: its monitor could not remove the control groups`);
      else say(meta, isKilled ? "is killed" : `gets signal ${meta.signals.death} and has ${graceTime / 1000} s to end`);
      // On cgroup v1 nothing that is frozen dies.
      thawForDeath(arch, meta);
      if (!isKilled) signalMain(arch, meta);
      look(orphan);
    },
    kill(id): void {
      const orphan = orphans.get(keyOf(id));
      if (orphan !== undefined) reap(orphan);
    },
    record(meta): void {
      const [first = ""] = directoriesOf(meta);
      try {
        writeFileSync(fileOf(meta), JSON.stringify({ cgroup: identity(first), meta }), { mode: 0o600 });
      } catch (error) {
        console.error(`cannot note where ${meta.name} runs`, error);
      }
    },
    forget(meta): boolean {
      if (orphans.has(keyOf(meta))) return true;
      removeFile(arch, fileOf(meta));
      return directoriesOf(meta).every((path) => identity(path) === null);
    },
    recall(socketName): MonitorMeta | null {
      const path = `${directory}/${socketName}`;
      const noted = readNote(path);
      if (noted === null) return null;
      const [first = ""] = directoriesOf(noted.meta);
      if (noted.cgroup !== null && noted.cgroup === identity(first)) return noted.meta;
      removeFile(arch, path);
      return null;
    },
  };
}

/** Those that are there still. Another engine may have cleared them away, and somebody made new ones. */
function groupsOf({ groups }: Orphan): readonly string[] {
  return [...groups].flatMap(([path, found]) => (identity(path) === found ? [path] : []));
}

function say(meta: MonitorMeta, what: string): void {
  console.error(`${meta.storePath}/${meta.name}: its monitor is gone; the guest ${what}`);
}

/** A cgroup made anew under an old name is another one. */
function identity(path: string): string | null {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino.toString() ?? null;
}

function readNote(path: string): { readonly cgroup: string | null; readonly meta: MonitorMeta } | null {
  try {
    const { cgroup, meta } = JSON.parse(readFileSync(path, "utf8")) as {
      readonly cgroup: unknown;
      readonly meta: unknown;
    };
    const decoded = decodeMeta(JSON.stringify(meta));
    return decoded === null ? null : { cgroup: typeof cgroup === "string" ? cgroup : null, meta: decoded };
  } catch {
    return null;
  }
}

/** Everybody in the payload's cgroup and in those that the guest has made below it. */
function pidsOf(arch: Arch, meta: MonitorMeta): readonly number[] {
  const [first] = directoriesOf(meta);
  if (first === undefined) return [];
  const found: number[] = [];
  const directories = [first];
  for (const directory of directories) {
    const text = readKernelFile(arch, `${directory}/cgroup.procs`);
    for (const line of (text ?? "").split("\n")) if (line !== "") found.push(Number(line));
    if (found.length > 0) break;
    for (const name of subdirectories(directory)) directories.push(`${directory}/${name}`);
  }
  return found;
}

function subdirectories(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}

/** AppArmor's change of profile clears PR_SET_PDEATHSIG (prctl(2)): who has pid 1 inside gets the signal from here. Twice does no harm. */
function signalMain(arch: Arch, meta: MonitorMeta): void {
  for (const pid of pidsOf(arch, meta)) {
    const inside = /^NSpid:\s+(.*)$/m.exec(readKernelFile(arch, `/proc/${pid}/status`) ?? "")?.[1]?.split(/\s+/) ?? [];
    if (inside.length < 2 || inside.at(-1) !== "1") continue;
    try {
      process.kill(pid, meta.signals.death);
    } catch {
      // It has ended meanwhile.
    }
    return;
  }
}
