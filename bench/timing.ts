import { join } from "node:path";
import { call, run, type Side } from "./sides.js";
import { spreadOf, type Spread } from "./stats.js";
import type { Budget, Measured, SideName } from "./table.js";

/** What a run of the benchmark has: the two sides, their containers, the helpers in C and the options. */
export interface Bench {
  readonly lxc: Side;
  readonly islet: Side;
  /** Name of the container that is started and stopped; the others are named after it. */
  readonly base: string;
  readonly many: number;
  readonly runs: number;
  readonly warmup: number;
  readonly helpers: string;
  /** A directory that is no disk's, where the host has such. */
  readonly memory: string;
  /** Pids of islet's daemon (one, or none). */
  readonly daemons: () => readonly number[];
  readonly stopDaemons: () => Promise<void>;
  /** Of a runtime directory that a measurement has for itself. */
  readonly stopDaemonsOf: (runtimeDir: string) => Promise<void>;
  /** Has `end` called when the benchmark ends early, by a signal. What it gives back calls `end` and forgets it. */
  readonly guard: (end: () => void) => () => void;
  /** The directory with Debian's libvirtd unpacked, fetched where it is not there; throws with why it cannot be had. */
  readonly libvirtd: () => string;
  readonly say: (text: string) => void;
}

/** One side of a timed comparison. */
export interface Turn {
  readonly name: SideName;
  readonly before?: readonly string[];
  readonly timed: readonly string[];
  readonly after?: readonly string[];
  readonly stamp?: string;
}

export interface Timed {
  readonly samples: ReadonlyMap<string, readonly number[]>;
  readonly faults: readonly string[];
}

const statusWords: Readonly<Record<string, string>> = {
  "124": "did not end in time",
  "125": "the command before it failed",
  "126": "no sign of the init",
  "127": "cannot be executed",
};

/** The lines that build/bench/timer prints, as milliseconds per side. */
export function readTimes(output: string): Timed {
  const samples = new Map<string, number[]>();
  const failed = new Map<string, number>();
  for (const line of output.split("\n").filter((each) => each !== "")) {
    const [side = "", ns = "", status = ""] = line.split(" ");
    if (status === "0") samples.set(side, [...(samples.get(side) ?? []), Number(ns) / 1e6]);
    else {
      const text = `${side}: ${statusWords[status] ?? `exit status ${status}`}`;
      failed.set(text, (failed.get(text) ?? 0) + 1);
    }
  }
  return { samples, faults: [...failed].map(([text, count]) => `${text} (${count} times)`) };
}

/** `gap`: milliseconds before each timed command, in which what the other side has ended may come to rest. `within`: what all of it runs under. */
export function time(
  bench: Bench,
  turns: readonly Turn[],
  runs: number = bench.runs,
  warmup: number = bench.warmup,
  gap: number = 30,
  within: readonly string[] = [],
): Timed {
  const options = ["-r", runs, "-w", warmup, "-t", 20000, "-g", gap].map(String);
  const argv = [...within, join(bench.helpers, "timer"), ...options];
  for (const turn of turns) {
    argv.push("--side", turn.name);
    if (turn.before !== undefined) argv.push("--before", ...turn.before, ";;");
    argv.push("--timed", ...turn.timed, ";;");
    if (turn.after !== undefined) argv.push("--after", ...turn.after, ";;");
    if (turn.stamp !== undefined) argv.push("--stamp", turn.stamp);
    // LXC leaves an empty cgroup at every end, in every hierarchy, and tries one name after another at the next start.
    if (turn.name === "lxc") {
      argv.push(
        "--sweep",
        `/sys/fs/cgroup/lxc.monitor.${bench.base}*`,
        "--sweep",
        `/sys/fs/cgroup/*/lxc.monitor.${bench.base}*`,
      );
    }
  }
  const result = run(argv, 30 + (runs + warmup) * turns.length * 5);
  const times = readTimes(result.stdout);
  const end = result.status === 0 ? [] : [`timer: exit status ${result.status} ${result.stderr.trim()}`];
  // A failing side says why when it is asked without a clock.
  const words = turns
    .filter((turn) => (times.samples.get(turn.name) ?? []).length === 0)
    .flatMap((turn) => {
      if (turn.before !== undefined) run([...within, ...turn.before]);
      const { status, stderr } = run([...within, ...turn.timed]);
      if (turn.after !== undefined) run([...within, ...turn.after]);
      return [`${turn.name}: ${turn.timed.join(" ")}: status ${status} ${stderr.trim()}`];
    });
  return { samples: times.samples, faults: [...end, ...times.faults, ...words] };
}

export function measured(name: string, unit: Measured["unit"], budget: Budget, { samples, faults }: Timed): Measured {
  const spread = (side: SideName): Spread | null => spreadOf(samples.get(side) ?? []);
  return {
    name,
    unit,
    budget,
    faults,
    sides: { islet: spread("islet"), lxc: spread("lxc"), libvirt: spread("libvirt"), floor: spread("floor") },
  };
}

export const none: Budget = { kind: "none" };
export const ofLibvirt = (limit: number): Budget => ({ kind: "ratio", to: "libvirt", limit });
export const ofLxc = (limit: number): Budget => ({ kind: "ratio", to: "lxc", limit });

/** The same commands for both sides, in turn. */
export function both(bench: Bench, turn: (side: Side) => Omit<Turn, "name">): Turn[] {
  return [bench.islet, bench.lxc].map((side) => ({ name: side.name, ...turn(side) }));
}

/** A comparison: its name (what --only matches) and how it is made. Those with `many` come after N containers were started. */
export interface Measure {
  readonly name: string;
  readonly many?: boolean;
  /** Whether it is made without being asked for by name; always, if it does not say. */
  readonly unasked?: () => boolean;
  /** One line of the table or several. */
  readonly make: (bench: Bench) => Measured | readonly Measured[] | Promise<Measured | readonly Measured[]>;
}

export const start = (side: Side, name: string): string[] => call(side, "lxc-start", name, "-d");
export const kill = (side: Side, name: string): string[] => call(side, "lxc-stop", name, "-k");
