import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import { readKernelFile } from "../host/fd.js";
import { type Monitor, type MonitorMeta, notRunning } from "../runtime/monitors.js";
import { type State, livingStates } from "../spec/states.js";
import type { Arch } from "../sys/arch.js";

/** Milliseconds after which a freezer that does not settle is an error. */
const settleTime = 10_000;
/** Milliseconds between two looks, at most. */
const longestPause = 50;

/** The files of one freezer: the v1 controller (admin-guide/cgroup-v1/freezer-subsystem) or cgroup v2's own (admin-guide/cgroup-v2). */
interface Freezer {
  /** Takes what is wanted. */
  readonly file: string;
  /**
   * The kernel asks each process once, and one that goes to sleep in vfork(2) at that moment does not hear of it: FREEZING would stay for
   * ever. Written again, it asks again.
   */
  readonly isAskedAgain: boolean;
  readonly word: (frozen: boolean) => string;
  /** Has all of it come about? null: there is no such cgroup any more. */
  readonly isSettled: (frozen: boolean) => boolean | null;
  /** Has it been told to freeze, by whomever? null: that cannot be read. */
  readonly isAsked: () => boolean | null;
}

type Cgroups = Pick<MonitorMeta, "cgroups" | "unified">;

/** The payload's cgroup of the v1 freezer, where that is the one in use. */
function legacyPath(meta: Cgroups): string | null {
  return meta.cgroups.find((item) => item.controllers.includes("freezer"))?.path ?? null;
}

function freezerOf(arch: Arch, meta: Cgroups): Freezer | null {
  const legacy = legacyPath(meta);
  if (legacy !== null) {
    const file = `${legacy}/freezer.state`;
    const word = (frozen: boolean): string => (frozen ? "FROZEN" : "THAWED");
    return {
      file,
      isAskedAgain: true,
      word,
      isSettled: (frozen) => {
        const text = readKernelFile(arch, file);
        return text === null ? null : text.trim() === word(frozen);
      },
      isAsked: () => flag(readKernelFile(arch, `${legacy}/freezer.self_freezing`)),
    };
  }
  const { unified } = meta;
  if (unified === null) return null;
  return {
    file: `${unified}/cgroup.freeze`,
    isAskedAgain: false,
    word: (frozen) => (frozen ? "1" : "0"),
    isSettled: (frozen) => {
      const text = readKernelFile(arch, `${unified}/cgroup.events`);
      return text === null ? null : text.split("\n").includes(`frozen ${frozen ? 1 : 0}`);
    },
    isAsked: () => flag(readKernelFile(arch, `${unified}/cgroup.freeze`)),
  };
}

function flag(text: string | null): boolean | null {
  return text === null ? null : text.trim() === "1";
}

/** For a daemon that did not freeze it itself: monitors do not know. */
export function isFrozen(arch: Arch, meta: Cgroups): boolean {
  return freezerOf(arch, meta)?.isAsked() ?? false;
}

/** Lets all processes run, whatever state is told of the container; silent where there is nothing to thaw. */
function release(freezer: Freezer): void {
  try {
    writeFileSync(freezer.file, freezer.word(false), { flag: "r+" });
  } catch {
    // It ended meanwhile.
  }
}

/** More cgroups than any guest has a use for. */
const mostCgroups = 10_000;

/**
 * For what shall die: on cgroup v1 nothing that is frozen does. The guest may have frozen cgroups of its own below the payload's, so that
 * they are thawed, too.
 */
export function thawForDeath(arch: Arch, meta: MonitorMeta): void {
  const freezer = freezerOf(arch, meta);
  if (freezer === null) return;
  release(freezer);
  const legacy = legacyPath(meta);
  if (legacy === null) return;
  const directories = [legacy];
  // The list grows as it is walked.
  for (const directory of directories) {
    for (const name of subdirectories(directory)) {
      if (directories.length >= mostCgroups) return;
      const path = `${directory}/${name}`;
      directories.push(path);
      release({ ...freezer, file: `${path}/freezer.state` });
    }
  }
}

function subdirectories(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return []; // It ended meanwhile.
  }
}

/**
 * Freezes or thaws all processes of the payload cgroup. Idempotent. `changed` is told of every state on the way (FREEZING and FROZEN, or
 * THAWED and RUNNING). What does not freeze in time is thawed again: ISLET_TIMEOUT.
 */
export async function freezeContainer(
  arch: Arch,
  monitor: Monitor,
  frozen: boolean,
  changed: (monitor: Monitor) => void,
): Promise<void> {
  const { meta } = monitor;
  const freezer = freezerOf(arch, meta);
  if (freezer === null) throw new IsletError("ISLET_UNSUPPORTED", "freezing needs the freezer controller or cgroup v2");
  const enter = (state: State): void => {
    if (!livingStates.has(monitor.state) || monitor.state === state) return;
    monitor.state = state;
    changed(monitor);
  };
  const final = frozen ? "FROZEN" : "RUNNING";
  if (monitor.state === final && freezer.isAsked() === frozen) return;
  if (frozen) enter("FREEZING");
  try {
    write(freezer.file, freezer.word(frozen));
    await settle(freezer, monitor, frozen);
  } catch (error) {
    if (!livingStates.has(monitor.state) || monitor.ended) throw notRunning(meta.name);
    if (frozen) release(freezer);
    const isFrozenStill = freezer.isAsked() ?? !frozen;
    if (isFrozenStill) enter("FROZEN");
    else enter("RUNNING");
    throw error;
  }
  if (!frozen) enter("THAWED");
  enter(final);
}

async function settle(freezer: Freezer, monitor: Monitor, frozen: boolean): Promise<void> {
  const until = Date.now() + settleTime;
  const { name } = monitor.meta;
  for (let pause = 1; ; pause = Math.min(pause * 2, longestPause)) {
    const settled = freezer.isSettled(frozen);
    if (settled === true) return;
    if (monitor.ended || !livingStates.has(monitor.state)) throw notRunning(name);
    if (settled === null && !existsSync(freezer.file)) throw notRunning(name);
    if (settled === null)
      throw new IsletError(
        "ISLET_IO",
        `cannot read whether ${name} is ${frozen ? "frozen" : "thawed"}: ${freezer.file}`,
      );
    if ((freezer.isAsked() ?? frozen) !== frozen)
      throw new IsletError("ISLET_BUSY", `${name} was ${frozen ? "thawed" : "frozen"} by somebody else meanwhile`);
    if (Date.now() > until)
      throw new IsletError(
        "ISLET_TIMEOUT",
        `${name} did not ${frozen ? "freeze" : "thaw"} within ${settleTime / 1000} s`,
        frozen ? { hint: "a process of it waits in the kernel, for a disk or a network file system perhaps" } : {},
      );
    if (frozen && freezer.isAskedAgain && pause > 1) write(freezer.file, freezer.word(true));
    await sleep(pause);
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "r+" });
  } catch (error) {
    const errno = error instanceof Error && "code" in error ? String(error.code) : "EIO";
    throw new IsletError("ISLET_IO", `cannot write ${text} to ${file}: ${errno}`, { cause: error, errno });
  }
}
