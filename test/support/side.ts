import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Case } from "../peers/cases/case.js";
import { end } from "./host.js";
import { runtimeDir } from "./paths.js";

/** One of the two sides of a comparison: how its commands are run, and how what they say is made comparable. */

export interface Side {
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

export const system = "/usr/sbin:/usr/bin:/sbin:/bin";

/** These know no -P. */
const pathless = new Set(["lxc-checkconfig", "lxc-config", "lxc-update-config", "lxc-usernsexec"]);

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

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

export function environmentOf(side: Side, extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
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

/** The child and all that it has started. */
export function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

/** A shell line in a session of its own, which is killed as a whole when the time is over. */
export async function shell(side: Side, line: string, one: Pick<Case, "input" | "env" | "limit"> = {}): Promise<Ran> {
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
        endGroup(child);
        // Whoever kept the pipes open would hold up "close" for ever.
        setTimeout(() => {
          child.stdout.destroy();
          child.stderr.destroy();
        }, 100);
      },
      (one.limit ?? 10) * 1000,
    );
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ stdout, stderr, status: late ? null : (code ?? 128 + (signals[signal ?? ""] ?? 0)) });
    });
  });
}

/** Two containers of one name would be in each other's way among the cgroups: every side has names of its own, all as long as those of the case. */
export const own = (side: Side, text: string): string => text.replaceAll("islt-", `islt${side.mark}`);

/** `-P STORE` behind the name of every command, and the side's own names. */
export function withStore(side: Side, line: string): string {
  return own(side, line).replace(
    /(^|[\s;&|(`])(lxc-[a-z-]+)(?=\s|$|;|\))/g,
    (all: string, before: string, tool: string) =>
      pathless.has(tool) || tool === "lxc-unshare" ? all : `${before}${tool} -P ${side.store}`,
  );
}

export function normal(side: Side, text: string, one: Case): string {
  let result = text.replaceAll(side.work, "/work");
  result = result.replaceAll(`islt${side.mark}`, "islt-").replaceAll(`PATH=${side.path}\n`, "PATH=$PATH\n");
  for (const pid of side.pids) result = result.replace(new RegExp(`(?<![\\d.])${pid}(?![\\d.])`, "g"), "PID");
  for (const [what, by] of masks) result = result.replace(what, by);
  if (one.drop !== undefined) result = result.replace(one.drop, "");
  return one.mask === undefined ? result : result.replace(one.mask, "#");
}

export const info = async (side: Side, name: string, what: string): Promise<string> =>
  (await shell(side, withStore(side, `lxc-info -n ${name} -${what}H`))).stdout.trim();

/** Monitors of containers in the side's store, by name. */
export function monitors(side: Side): ReadonlyMap<string, number> {
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
export async function killAll(side: Side, except: string): Promise<void> {
  for (const name of monitors(side).keys()) {
    if (name !== except) await shell(side, withStore(side, `lxc-stop -k -n ${name}`));
  }
  for (const [name, pid] of monitors(side)) if (name !== except) end(pid, "SIGKILL");
}
