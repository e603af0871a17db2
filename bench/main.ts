import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { measures } from "./measures.js";
import { call, clear, makeContainers, must, run, type Side } from "./sides.js";
import type { Bench } from "./timing.js";
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
}

export interface BenchResult {
  readonly measured: readonly Measured[];
  readonly table: string;
  /** Plain data for a file. */
  readonly json: unknown;
}

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
    say,
  };
  const wanted = measures.filter(({ name, unasked }) =>
    options.only.length === 0 ? (unasked?.() ?? true) : options.only.some((each) => name.includes(each)),
  );
  const measured: Measured[] = [];
  const onSignal = (): void => {
    // The finally below does not run then.
    for (const side of [lxc, islet]) clear(side);
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
      const result = await measure.make(given);
      for (const fault of result.faults) say(`  ${fault}`);
      measured.push(result);
    }
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
    say("cleaning up");
    for (const side of [lxc, islet]) clear(side);
    await options.stopDaemons(runtimeDir);
    sweep({ names: [base], stores: [lxc.store] });
    for (const each of [runtimeDir, dir]) rmSync(each, { recursive: true, force: true });
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
