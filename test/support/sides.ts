import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Case, Situation } from "../peers/cases/case.js";
import { cleanup, type Cleaner } from "./cleanup.js";
import { cgroupMounts, end, picture, processes, sweepLxc } from "./host.js";
import { root, testDir } from "./paths.js";
import { environmentOf, info, killAll, normal, own, type Ran, shell, type Side, system, withStore } from "./side.js";
import { busyboxConfig, busyboxRootfs } from "./store.js";
import { type Typed, underTerminal } from "./typed.js";
import { waitFor } from "./wait.js";

/** What one side did in a case, after the normalisation. */
export interface Seen {
  readonly stdout: string;
  readonly stderr: string;
  /** As a shell says it; null: the command did not return. */
  readonly status: number | null;
  /** The container's state, what is in the store, and the files that the case shows. */
  readonly after: string;
}

export interface Sides {
  /** Brings both containers into the situation and runs the case, on both sides at once. */
  readonly run: (one: Case) => Promise<{ readonly theirs: Seen; readonly ours: Seen }>;
}

/** Something that talks on its first terminal. */
const getty = `#!/bin/sh
while :; do
  echo prompt > /dev/tty1
  read line < /dev/tty1
  echo "got $line" > /dev/tty1
done
`;

/** Obeys the signals of a busybox container, at once. */
const init = `#!/bin/sh
trap 'exit 0' USR1
trap 'reboot -f' TERM
echo ready > /dev/console
while :; do sleep 3600 & wait; done
`;

const baseConfig = (side: Side, name: string): string => busyboxConfig(join(side.work, "image"), name);

function furnish(side: Side, name: string, config: string): void {
  const directory = join(side.store, name);
  mkdirSync(directory, { recursive: true });
  const rootfs = join(directory, "rootfs");
  if (config.includes("@own\n")) makeImage(rootfs);
  const whole = own(side, config)
    .replace("@base\n", baseConfig(side, name))
    .replace("@own\n", busyboxConfig(rootfs, name));
  writeFileSync(join(directory, "config"), whole);
}

const mainConfig = (side: Side): string => busyboxConfig(join(side.store, side.main, "rootfs"), side.main);

/** The main container as it was in the beginning. */
function furnishMain(side: Side): void {
  const directory = join(side.store, side.main);
  if (!existsSync(join(directory, "rootfs/sbin/init"))) {
    rmSync(directory, { recursive: true, force: true });
    makeImage(join(directory, "rootfs"));
  }
  writeFileSync(join(directory, "config"), mainConfig(side));
}

function makeImage(at: string): void {
  busyboxRootfs(at);
  rmSync(join(at, "sbin/init"));
  writeFileSync(join(at, "sbin/init"), init, { mode: 0o755 });
  writeFileSync(join(at, "sbin/getty"), getty, { mode: 0o755 });
}

async function bring(side: Side, situation: Situation): Promise<void> {
  const wanted = situation.toUpperCase();
  for (let attempt = 0; ; attempt += 1) {
    if (!existsSync(join(side.store, side.main, "config"))) furnishMain(side);
    const state = side.state ?? (await info(side, side.main, "s"));
    if (state === wanted) break;
    side.state = null;
    if (attempt > 4) throw new Error(`the container of ${side.store} is ${state} and does not become ${wanted}`);
    const step =
      situation === "stopped"
        ? "lxc-stop -k"
        : state === "STOPPED"
          ? "lxc-start"
          : state === "FROZEN"
            ? "lxc-unfreeze"
            : "lxc-freeze";
    const done = await shell(side, withStore(side, `${step} -n ${side.main}`));
    if (done.status !== 0 && attempt > 2) throw new Error(`${step}: ${done.stderr}`);
  }
  if (side.state !== wanted && situation !== "stopped") {
    const pid = await info(side, side.main, "p");
    if (/^\d+$/.test(pid)) side.pids.add(pid);
  }
  side.state = wanted;
}

/** Everything in the store that is not the main container goes. */
async function tidy(side: Side): Promise<void> {
  const others = readdirSync(side.store).filter((name) => name !== side.main);
  if (others.length > 0) await killAll(side, side.main);
  for (const name of others) rmSync(join(side.store, name), { recursive: true, force: true });
  rmSync(join(side.store, side.main, `${side.main}.log`), { force: true });
  for (const name of readdirSync(side.work)) {
    if (name !== "store" && name !== "image") rmSync(join(side.work, name), { recursive: true, force: true });
  }
}

/** Where a case's own shell puts the state it leaves the container in: one process less to start. */
const stateFile = ".state";

/** The line in a shell of its own, then the look at the container. */
const observed = (side: Side, line: string): string =>
  `( ${line}\n)\nstatus=$?\n${withStore(side, `lxc-info -n ${side.main} -sH`)} > ${stateFile} 2> /dev/null\nexit $status`;

async function afterwards(side: Side, one: Case): Promise<string> {
  const file = join(side.work, stateFile);
  const noted = existsSync(file) ? readFileSync(file, "utf8").trim() : null;
  const isPassing = noted === null || !/^(STOPPED|RUNNING|FROZEN)?$/.test(noted);
  const state = isPassing ? await info(side, side.main, "s") : noted;
  side.state = state === "" ? null : state;
  const config = join(side.store, side.main, "config");
  const text = existsSync(config) ? readFileSync(config, "utf8") : "it has no config\n";
  const changed = text === mainConfig(side) ? "" : text;
  const names = readdirSync(side.store)
    .filter((name) => name !== "lxc-monitord.log")
    .sort();
  const fileText = (name: string): string => {
    const path = join(side.work, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "(there is no such file)\n";
  };
  const shown = (one.show ?? []).map((name) => `--- ${name}\n${fileText(name)}`);
  return `${state === "" ? "no container" : state}; in the store: ${names.join(" ")}\n${changed}${shown.join("")}`;
}

async function oneSide(side: Side, one: Case): Promise<Seen> {
  for (const [name, text] of Object.entries(one.files ?? {})) writeFileSync(join(side.work, name), text);
  for (const [name, config] of Object.entries(one.containers ?? {})) furnish(side, own(side, name), config);
  const line = observed(side, withStore(side, one.run));
  const ran: Ran = one.types === undefined ? await shell(side, line, one) : await typed(side, line, one, one.types);
  const after = await afterwards(side, one);
  await tidy(side);
  if (after.startsWith("no container")) furnishMain(side);
  else if (side.state === "STOPPED") writeFileSync(join(side.store, side.main, "config"), mainConfig(side));
  const clean = (text: string): string => normal(side, text, one);
  return { stdout: clean(ran.stdout), stderr: clean(ran.stderr), status: ran.status, after: clean(after) };
}

async function typed(side: Side, line: string, one: Case, types: Typed): Promise<Ran> {
  const limit = (one.limit ?? 10) * 1000;
  const seen = await underTerminal(["/bin/sh", "-c", line], types, {
    cwd: side.work,
    env: environmentOf(side, one.env),
    limit,
  });
  return { stdout: seen.screen, stderr: "", status: seen.status };
}

/** A frozen container whose monitor was killed does not die of that: it is thawed, and ends as it should have. One that has a monitor is another run's. */
async function endOrphans(payload: string): Promise<void> {
  const pids = (): readonly number[] =>
    existsSync(join(payload, "cgroup.procs"))
      ? readFileSync(join(payload, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number)
      : [];
  const all = processes();
  if (![...all.values()].some(({ pid, parent }) => parent === "1" && pids().includes(pid))) return;
  for (const pid of pids()) end(pid, "SIGKILL");
  for (const [file, text] of [
    ["freezer.state", "THAWED"],
    ["cgroup.freeze", "0"],
  ] as const) {
    if (existsSync(join(payload, file))) writeFileSync(join(payload, file), text);
  }
  await waitFor(`the end of what is in ${payload}`, () => pids().length === 0);
}

/** The cgroups of containers whose monitor had to be killed. What is in use stays, and the runner's look at the host tells. */
async function removePayloads(beginnings: readonly string[]): Promise<void> {
  const remove = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) remove(join(path, entry.name));
    }
    try {
      rmdirSync(path);
    } catch {
      // in use
    }
  };
  const payloads = cgroupMounts().flatMap((mount) =>
    readdirSync(mount)
      .filter((entry) => beginnings.some((each) => entry.startsWith(`lxc.payload.${each}`)))
      .map((entry) => join(mount, entry)),
  );
  for (const payload of payloads) await endOrphans(payload);
  for (const payload of payloads) remove(payload);
}

/** Debian's LXC on one side, islet on the other. At the end nothing of either is left, however the test ends. `marks`: a letter for each. */
export function sides(t: Cleaner, marks: readonly [string, string]): Sides {
  const work = mkdtempSync(join(testDir, "islt-sides-"));
  const before = picture();
  const make = (name: string, mark: string, path: string): Side => {
    const at = join(work, name);
    const store = join(at, "store");
    mkdirSync(store, { recursive: true });
    makeImage(join(at, "image"));
    const side: Side = { mark, work: at, store, path, main: `islt${mark}web`, pids: new Set(), state: "STOPPED" };
    furnishMain(side);
    return side;
  };
  const theirs = make("peer", marks[0], system);
  const ours = make("ours", marks[1], `${root}/bin:${system}`);
  cleanup(t)(async () => {
    for (const side of [theirs, ours]) await killAll(side, "");
    // Its own: it ends by itself only after half a minute.
    for (const each of processes().values()) {
      if (/lxc-monitord /.test(each.command) && each.command.includes(work)) end(each.pid, "SIGKILL");
    }
    const names = marks.map((mark) => `islt${mark}`);
    sweepLxc(before, { names, stores: [theirs.work] });
    await removePayloads(names);
    rmSync(work, { recursive: true, force: true });
  });
  return {
    run: async (one) => {
      const situation = one.given ?? "stopped";
      await Promise.all([bring(theirs, situation), bring(ours, situation)]);
      const [first, second] = await Promise.all([oneSide(theirs, one), oneSide(ours, one)]);
      return { theirs: first, ours: second };
    },
  };
}
