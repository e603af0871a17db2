import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One of the two managers: where its commands are and where its containers lie. */
export interface Side {
  readonly name: "islet" | "lxc";
  readonly store: string;
  readonly tool: (name: string) => string;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An untimed command with a limit, seconds; 124 is its running out. */
export function run(argv: readonly string[], seconds: number = 30): Ran {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, {
    encoding: "utf8",
    timeout: seconds * 1000,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return {
    status: result.status ?? (result.error === undefined ? 128 : 124),
    stdout: result.stdout,
    stderr: result.stderr,
  };
}

/** The same; a failure throws with what was printed. */
export function must(argv: readonly string[], seconds: number = 30): string {
  const result = run(argv, seconds);
  if (result.status !== 0) {
    throw new Error(`${argv.join(" ")}: status ${result.status}\n${result.stdout}${result.stderr}`.trimEnd());
  }
  return result.stdout;
}

/** A command of a side on one of its containers. */
export function call(side: Side, tool: string, container: string, ...rest: readonly string[]): string[] {
  return [side.tool(tool), "-P", side.store, "-n", container, ...rest];
}

/**
 * Makes the containers of both sides from one: Debian's busybox template fills the first rootfs, the others are copies of it with the same
 * configuration but for the paths. BASE is started and measured, BASE-stamp has the stamping init; BASE-1..N share one
 * rootfs, BASE-idle-1..N as well, with an init that does nothing.
 */
export function makeContainers(lxc: Side, islet: Side, base: string, many: number, stamp: string): void {
  const conf = join(lxc.store, "..", "bench.conf");
  writeFileSync(conf, "lxc.net.0.type = empty\n");
  must([lxc.tool("lxc-create"), "-P", lxc.store, "-n", base, "-t", "busybox", "-f", conf], 120);
  const source = join(lxc.store, base);
  const config = readFileSync(join(source, "config"), "utf8");
  for (const side of [lxc, islet]) {
    const variant = (name: string, rootfs: string, extra: string): void => {
      mkdirSync(join(side.store, name), { recursive: true });
      const text = config.replaceAll(join(source, "rootfs"), rootfs).replaceAll(`"${base}"`, `"${name}"`);
      writeFileSync(join(side.store, name, "config"), text + extra);
    };
    const own = join(side.store, base, "rootfs");
    if (side !== lxc) cpSync(join(source, "rootfs"), own, { recursive: true, verbatimSymlinks: true });
    copyFileSync(stamp, join(own, "islt-init"));
    variant(base, own, "");
    variant(`${base}-stamp`, own, "lxc.init.cmd = /islt-init\n");
    for (let i = 1; i <= many; i += 1) {
      variant(`${base}-${i}`, own, "");
      variant(`${base}-idle-${i}`, own, "lxc.init.cmd = /islt-init\n");
    }
  }
}

/** The pid of a running container's supervisor: the parent of its init, whatever each side calls it. */
export function monitorOf(side: Side, container: string): number {
  const init = must(call(side, "lxc-info", container, "-pH")).trim();
  const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${init}/status`, "utf8"))?.[1];
  if (parent === undefined) throw new Error(`${side.name}: no parent of ${init}`);
  return Number(parent);
}

/** Proportional set size, kB. */
export function pssOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]);
}

/** Resident set size, MB. */
export function rssOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Stops everything a side still runs and removes its store; never throws. */
export function clear(side: Side): void {
  if (!existsSync(side.store)) return;
  for (const name of readdirSync(side.store)) run(call(side, "lxc-stop", name, "-k"), 20);
  rmSync(side.store, { recursive: true, force: true });
}
