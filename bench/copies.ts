import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasDebianImage, makeDebian } from "./debian.js";
import { call, must, run, type Side } from "./sides.js";
import { spreadOf } from "./stats.js";
import type { Measured } from "./table.js";
import { type Bench, both, kill, measured, type Measure, ofLxc, time, type Timed, type Turn } from "./timing.js";
import { untilTrue } from "./wait.js";

/**
 * Creation, copies and removal of Debian containers: roots of some 250 MB in 10,000 files, as directories of the disk that the measurement's own directory is
 * on (ext4 on most machines, where copies share nothing).
 */

/** They are large: a few are enough. */
const few = (bench: Bench): number => Math.min(bench.runs, 8);

const baseName = (bench: Bench): string => `${bench.base}-debian-disk`;

async function onDisk<T>(bench: Bench, body: (name: string) => T): Promise<T> {
  const name = baseName(bench);
  for (const side of [bench.islet, bench.lxc])
    await makeDebian(side, name, join(bench.helpers, "stamp"), join(side.store, "..", "roots"));
  try {
    return body(name);
  } finally {
    for (const side of [bench.islet, bench.lxc]) {
      for (const left of readdirSync(side.store).filter((each) => each.startsWith(`${name}-`)))
        run(call(side, "lxc-destroy", left, "-f"), 60);
    }
  }
}

/** A command that takes long: milliseconds. The disk has written what was before. */
function clock(argv: readonly string[]): number {
  must(["/bin/sync"], 120);
  const began = performance.now();
  must(argv, 900);
  return performance.now() - began;
}

/**
 * What `commands` measures for each side, in turn, each round under names of its own: for a minute after a file was removed ext4 looks for an inode past its
 * place, so what was copied is removed only when all copies are there.
 */
function rounds(bench: Bench, count: number, once: (side: Side, round: number) => number): Timed {
  const samples = new Map<string, number[]>();
  for (let round = 0; round < count; round += 1) {
    const sides = [bench.islet, bench.lxc];
    for (const side of round % 2 === 0 ? sides : sides.toReversed())
      samples.set(side.name, [...(samples.get(side.name) ?? []), once(side, round)]);
  }
  return { samples, faults: [] };
}

const copyName = (name: string, round: number): string => `${name}-${round}`;

function copyAll(bench: Bench, name: string): Timed {
  return rounds(bench, few(bench), (side, round) => clock(call(side, "lxc-copy", name, "-N", copyName(name, round))));
}

/** A short command of both sides, with what is done after it. */
function compare(what: string, limit: number, turn: (side: Side, container: string) => Omit<Turn, "name">): Measure {
  return {
    name: `copies: ${what}`,
    unasked: hasDebianImage,
    make: async (bench) =>
      measured(
        what,
        "ms",
        ofLxc(limit),
        await onDisk(bench, (name) =>
          time(
            bench,
            both(bench, (side) => turn(side, name)),
            bench.runs,
            2,
            100,
          ),
        ),
      ),
  };
}

const gone = (side: Side, name: string): string[] => call(side, "lxc-destroy", `${name}-copy`, "-f");

const create = (side: Side, name: string, ...words: readonly string[]): string[] =>
  call(side, "lxc-create", name, "-t", "debian", "-f", "/dev/null", ...words);

/**
 * What mmdebstrap is called with by islet: a program of its name that writes that down is found first. By a daemon of its own: what one looks for, it looks
 * for where it was told to when it began.
 */
async function commandOf(bench: Bench, name: string): Promise<readonly string[]> {
  const place = join(bench.memory, "shim");
  const note = join(place, "words");
  const runtimeDir = join(place, "run");
  mkdirSync(runtimeDir, { recursive: true, mode: 0o711 });
  const shim = `#!/bin/sh\nfor word; do printf '%s\\0' "$word"; done > ${note}\nexec /usr/bin/mmdebstrap "$@"\n`;
  writeFileSync(join(place, "mmdebstrap"), shim, { mode: 0o755 });
  const env = { ...process.env, PATH: `${place}:${process.env["PATH"] ?? ""}`, ISLET_RUNTIME_DIR: runtimeDir };
  const daemon = spawn(process.execPath, [join(import.meta.dirname, "../src/daemon/main.js")], {
    env,
    stdio: "ignore",
  });
  const end = bench.guard(() => daemon.kill("SIGKILL"));
  try {
    if (!untilTrue(() => existsSync(join(runtimeDir, "daemon.pid")), 10_000)) throw new Error("no daemon begins");
    const within = ["env", `ISLET_RUNTIME_DIR=${runtimeDir}`];
    must([...within, ...create(bench.islet, name, "--", "-F")], 900);
    must([...within, ...call(bench.islet, "lxc-destroy", name)], 60);
  } finally {
    await bench.stopDaemonsOf(runtimeDir);
    end();
  }
  return readFileSync(note, "utf8").split("\0").slice(0, -1);
}

async function cold(bench: Bench): Promise<Measured> {
  const name = `${bench.base}-debian-cold`;
  const words = await commandOf(bench, name);
  const samples = { islet: [] as number[], floor: [] as number[] };
  for (let round = 0; round < Math.min(bench.runs, 3); round += 1) {
    samples.islet.push(clock(create(bench.islet, copyName(name, round), "--", "-F")));
    const bare = join(bench.islet.store, "..", `mmdebstrap-${round}`);
    mkdirSync(bare);
    samples.floor.push(
      clock(["mmdebstrap", ...words.map((word) => (word.startsWith("/") && !existsSync(word) ? bare : word))]),
    );
    rmSync(bare, { recursive: true, force: true });
  }
  return {
    name: "lxc-create -t debian, cold, to mmdebstrap itself",
    unit: "ms",
    budget: { kind: "ratio", to: "floor", limit: 1.1 },
    faults: [],
    sides: { islet: spreadOf(samples.islet), lxc: null, libvirt: null, floor: spreadOf(samples.floor) },
  };
}

export const copyMeasures: readonly Measure[] = [
  {
    name: "copies: lxc-copy",
    unasked: hasDebianImage,
    make: async (bench) =>
      measured(
        "lxc-copy of a Debian, directory",
        "ms",
        ofLxc(0.5),
        await onDisk(bench, (name) => copyAll(bench, name)),
      ),
  },
  {
    name: "copies: lxc-destroy",
    unasked: hasDebianImage,
    make: async (bench) =>
      measured(
        "lxc-destroy of a Debian, directory",
        "ms",
        ofLxc(0.7),
        await onDisk(bench, (name) => {
          copyAll(bench, name);
          return rounds(bench, few(bench), (side, round) => clock(call(side, "lxc-destroy", copyName(name, round))));
        }),
      ),
  },
  compare("lxc-copy -s of a Debian, overlay", 0.3, (side, name) => ({
    timed: call(side, "lxc-copy", name, "-N", `${name}-copy`, "-s"),
    after: gone(side, name),
  })),
  compare("lxc-copy -e of a Debian, started", 0.5, (side, name) => ({
    timed: call(side, "lxc-copy", name, "-e", "-N", `${name}-copy`),
    // It goes with its end.
    after: kill(side, `${name}-copy`),
  })),
  {
    name: "copies: lxc-create -t debian, cached",
    // LXC's own cache has to be made first.
    unasked: () => false,
    make: (bench) => {
      const name = `${bench.base}-debian-made`;
      const cache = join(bench.lxc.store, "..", "cache");
      const made = (side: Side, container: string): string[] => [
        "env",
        `LXC_CACHE_PATH=${cache}`,
        ...create(side, container),
      ];
      // The first one fills the cache.
      for (const side of [bench.islet, bench.lxc]) must(made(side, name), 900);
      const timed = rounds(bench, few(bench), (side, round) => clock(made(side, copyName(name, round))));
      return measured("lxc-create -t debian, cached", "ms", ofLxc(0.2), timed);
    },
  },
  { name: "copies: lxc-create -t debian, cold", unasked: () => false, make: cold },
];
