import { spawn } from "node:child_process";
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
import { root, runtimeDir, testDir } from "./paths.js";
import { busyboxConfig, busyboxRootfs } from "./store.js";
import { type Typed, underTerminal } from "./typed.js";

/** What one side did in a case, after the normalisation. */
export interface Seen {
  readonly stdout: string;
  readonly stderr: string;
  /** As a shell says it; null: the command did not return. */
  readonly status: number | null;
  /** The container's state, what is in the store, and the files that the case shows. */
  readonly after: string;
}

interface Side {
  /** In the names of its containers. */
  readonly mark: string;
  /** Working directory of its commands; the store is in it. */
  readonly work: string;
  readonly store: string;
  /** Name of the main container. */
  readonly main: string;
  readonly path: string;
  /** Main processes of the container so far: their numbers mean nothing. */
  readonly pids: Set<string>;
  /** What the main container was seen doing last, in LXC's words; null: that has to be looked at. */
  state: string | null;
}

export interface Sides {
  /** Brings both containers into the situation and runs the case, on both sides at once. */
  readonly run: (one: Case) => Promise<{ readonly theirs: Seen; readonly ours: Seen }>;
}

const system = "/usr/sbin:/usr/bin:/sbin:/bin";

/** These know no -P. */
const pathless = new Set(["lxc-checkconfig", "lxc-config", "lxc-update-config", "lxc-usernsexec"]);

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

const masks: readonly (readonly [RegExp, string])[] = [
  // Where in LXC's sources a message comes from; nothing else of the line.
  [/\.\.\/src\/\S+?\.c: ?\w+: ?\w+( -)? /g, ""],
  [/\/usr\/bin\/(lxc-)/g, "$1"],
  // The log's own beginning of a line, where a tool has no name for it.
  [/^lxc \d{14}\.\d{3} \w+ +\w+ - /gm, ""],
  // A terminal's line ends: LXC leaves the host's terminal to make "\r\n" of the "\n" in the container's.
  [/\r\r\n/g, "\r\n"],
  // What a container uses.
  [/^((CPU|BlkIO|Memory|KMem) use: +)\S+/gm, "$1#"],
  [/\b\d+\.\d\dMB\b/g, "#.##MB"],
];

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

function environmentOf(side: Side, extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { PATH: side.path, HOME: "/root", LANG: "C", TERM: "linux", ISLET_RUNTIME_DIR: runtimeDir, ...extra };
}

const signals: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** A shell line in a session of its own, which is killed as a whole when the time is over. */
async function shell(side: Side, line: string, one: Pick<Case, "input" | "env" | "limit"> = {}): Promise<Ran> {
  const child = spawn("/bin/sh", ["-c", line], {
    cwd: side.work,
    env: environmentOf(side, one.env),
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => {});
  child.stdin.end(one.input ?? "");
  return await new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(
      () => {
        late = true;
        end(-(child.pid ?? 0), "SIGKILL");
        // Whoever kept the pipes open would hold up "close" for ever.
        setTimeout(() => {
          child.stdout.destroy();
          child.stderr.destroy();
        }, 100);
      },
      (one.limit ?? 5) * 1000,
    );
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ stdout, stderr, status: late ? null : (code ?? 128 + (signals[signal ?? ""] ?? 0)) });
    });
  });
}

/** Two containers of one name would be in each other's way among the cgroups: every side has names of its own, all as long as those of the case. */
const own = (side: Side, text: string): string => text.replaceAll("islt-", `islt${side.mark}`);

/** `-P STORE` behind the name of every command, and the side's own names. */
function withStore(side: Side, line: string): string {
  return own(side, line).replace(
    /(^|[\s;&|(`])(lxc-[a-z-]+)(?=\s|$|;|\))/g,
    (all: string, before: string, tool: string) =>
      pathless.has(tool) || tool === "lxc-unshare" ? all : `${before}${tool} -P ${side.store}`,
  );
}

function normal(side: Side, text: string, one: Case): string {
  let result = text.replaceAll(side.work, "/work");
  result = result.replaceAll(`islt${side.mark}`, "islt-").replaceAll(`PATH=${side.path}\n`, "PATH=$PATH\n");
  for (const pid of side.pids) result = result.replace(new RegExp(`(?<![\\d.])${pid}(?![\\d.])`, "g"), "PID");
  for (const [what, by] of masks) result = result.replace(what, by);
  if (one.drop !== undefined) result = result.replace(one.drop, "");
  return one.mask === undefined ? result : result.replace(one.mask, "#");
}

const baseConfig = (side: Side, name: string): string => busyboxConfig(join(side.work, "image"), name);

function furnish(side: Side, name: string, config: string): void {
  mkdirSync(join(side.store, name), { recursive: true });
  writeFileSync(join(side.store, name, "config"), own(side, config).replace("@base\n", baseConfig(side, name)));
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

const info = async (side: Side, name: string, what: string): Promise<string> =>
  (await shell(side, withStore(side, `lxc-info -n ${name} -${what}H`))).stdout.trim();

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

/** Monitors of containers in the side's store, by name. */
function monitors(side: Side): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    let title = "";
    try {
      title = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
    } catch {
      continue; // it has ended meanwhile
    }
    const start = `[lxc monitor] ${side.store} `;
    if (title.startsWith(start)) found.set(title.slice(start.length), Number(pid));
  }
  return found;
}

/** Kills what runs in the store, but for one name. */
async function killAll(side: Side, except: string): Promise<void> {
  for (const name of monitors(side).keys()) {
    if (name !== except) await shell(side, withStore(side, `lxc-stop -k -n ${name}`));
  }
  for (const [name, pid] of monitors(side)) if (name !== except) end(pid, "SIGKILL");
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
  const limit = (one.limit ?? 5) * 1000;
  const seen = await underTerminal(["/bin/sh", "-c", line], types, {
    cwd: side.work,
    env: environmentOf(side, one.env),
    limit,
  });
  return { stdout: seen.screen, stderr: "", status: seen.status };
}

/** The cgroups of containers whose monitor had to be killed. What is in use stays, and the runner's look at the host tells. */
function removePayloads(beginnings: readonly string[]): void {
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
  for (const mount of cgroupMounts()) {
    for (const entry of readdirSync(mount)) {
      if (beginnings.some((each) => entry.startsWith(`lxc.payload.${each}`))) remove(join(mount, entry));
    }
  }
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
    removePayloads(names);
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
