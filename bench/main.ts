import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { measures } from "./measures.js";
import { untilTrue } from "./wait.js";
import { call, clear, makeContainers, must, run, type Side } from "./sides.js";
import { type Bench, type Measure, measured as measuredOf, none } from "./timing.js";
import { holds, ratioOf, table, type Measured } from "./table.js";

export interface BenchOptions {
  /** The checkout. */
  readonly root: string;
  readonly runs: number;
  readonly many: number;
  /** Only measurements whose name contains one of these; [] all. */
  readonly only: readonly string[];
  readonly say: (text: string) => void;
  /** Takes note of the host; the function it gives back removes what LXC left since. */
  readonly sweeper: () => (what: { readonly names: readonly string[]; readonly stores: readonly string[] }) => void;
  readonly daemonsOf: (runtimeDir: string) => readonly { readonly pid: number }[];
  readonly stopDaemons: (runtimeDir: string) => Promise<void>;
  /** Debian's libvirtd, unpacked: the directory. Throws with why it cannot be had. */
  readonly libvirtd: () => string;
}

export interface BenchResult {
  readonly measured: readonly Measured[];
  readonly table: string;
  /** Plain data for a file. */
  readonly json: unknown;
}

/** What cannot be measured is a line that says why, and the others go on. */
async function attempt({ name, make }: Measure, given: Bench): Promise<readonly Measured[]> {
  try {
    return [await make(given)].flat();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [measuredOf(name, "ms", none, { samples: new Map(), faults: [why] })];
  }
}

function killed(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Milliseconds that a daemon has for its own end. */
const patience = 5000;

/** Measures both sides in one run and cleans up after it, whatever happens. */
export async function bench(options: BenchOptions): Promise<BenchResult> {
  const { root, say } = options;
  const dir = mkdtempSync(join(tmpdir(), "islt-bench-"));
  // Where /run is on every machine that systemd started: in memory.
  const runtimeDir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : dir, "islt-bench-run-"));
  chmodSync(runtimeDir, 0o711);
  process.env["ISLET_RUNTIME_DIR"] = runtimeDir;
  const lxc: Side = { name: "lxc", store: join(dir, "lxc"), tool: (name) => `/usr/bin/${name}` };
  const islet: Side = { name: "islet", store: join(dir, "islet"), tool: (name) => join(root, "bin", name) };
  const sweep = options.sweeper();
  const base = `islt-b${process.pid}`;
  const guarded = new Set<() => void>();
  const given: Bench = {
    lxc,
    islet,
    base,
    many: options.many,
    runs: options.runs,
    warmup: Math.min(5, options.runs),
    helpers: join(root, "build/bench"),
    memory: runtimeDir,
    daemons: () => options.daemonsOf(runtimeDir).map(({ pid }) => pid),
    stopDaemons: () => options.stopDaemons(runtimeDir),
    stopDaemonsOf: options.stopDaemons,
    guard: (end) => {
      guarded.add(end);
      return () => {
        if (guarded.delete(end)) end();
      };
    },
    libvirtd: options.libvirtd,
    say,
  };
  const wanted = measures.filter(({ name, unasked }) =>
    options.only.length === 0 ? (unasked?.() ?? true) : options.only.some((each) => name.includes(each)),
  );
  const measured: Measured[] = [];
  /** In one go, since a signal's handler has no more than that. */
  const cleanUp = (): void => {
    say("cleaning up");
    for (const end of [...guarded].toReversed()) end();
    guarded.clear();
    for (const side of [lxc, islet]) clear(side);
    const signalAll = (signal: NodeJS.Signals): void => {
      for (const pid of given.daemons()) killed(pid, signal);
    };
    signalAll("SIGTERM");
    if (!untilTrue(() => given.daemons().length === 0, patience)) signalAll("SIGKILL");
    sweep({ names: [base], stores: [lxc.store] });
    for (const each of [runtimeDir, dir]) rmSync(each, { recursive: true, force: true });
  };
  const onSignal = (): void => {
    // The finally below does not run then.
    cleanUp();
    process.exit(130);
  };
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  try {
    mkdirSync(lxc.store, { recursive: true });
    mkdirSync(islet.store, { recursive: true });
    say("making the containers");
    makeContainers(lxc, islet, base, options.many, join(given.helpers, "stamp"));
    let running = false;
    for (const measure of wanted) {
      if (measure.many === true && !running) {
        say(`starting ${options.many} containers on each side`);
        for (const side of [lxc, islet]) {
          for (let i = 1; i <= options.many; i += 1) must(call(side, "lxc-start", `${base}-${i}`, "-d"));
        }
        running = true;
      }
      say(measure.name);
      const results = await attempt(measure, given);
      for (const fault of results.flatMap(({ faults }) => faults)) say(`  ${fault}`);
      measured.push(...results);
    }
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    cleanUp();
  }
  const lxcVersion = run([lxc.tool("lxc-start"), "--version"]).stdout.trim();
  return {
    measured,
    table: table(measured),
    json: {
      when: new Date().toISOString(),
      host: {
        kernel: release(),
        cpu: cpus()[0]?.model ?? "",
        cores: cpus().length,
        node: process.version,
        lxc: lxcVersion,
      },
      runs: options.runs,
      containers: options.many,
      measured: measured.map((each) => ({ ...each, ratio: ratioOf(each), holds: holds(each) })),
    },
  };
}
