import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, ok, programOf, type CommandOptions, type CommandResult } from "./command.js";
import { stopDaemons } from "./host.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A network namespace of the test's own: bridges and the like made in it are seen by nobody else and go with it. */
export interface Netns {
  /** A process that lives in it: /proc/PID/ns/net. */
  readonly pid: number;
  /** Runs a command in it; islet's commands get a daemon that lives there too. */
  readonly command: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** The same, and the status must be 0. Gives back stdout. */
  readonly ok: (argv: readonly string[], options?: CommandOptions) => Promise<string>;
}

export async function netns(t: Cleaner): Promise<Netns> {
  const defer = cleanup(t);
  const runtimeDir = mkdtempSync(join(testDir, "islt-netns-"));
  mkdirSync(join(runtimeDir, "run"), { mode: 0o711 });
  defer(() => {
    rmSync(runtimeDir, { recursive: true, force: true });
  });
  const holder = spawn("unshare", ["--net", "sleep", "86400"], { stdio: "ignore" });
  const pid = holder.pid;
  if (pid === undefined) throw new Error("unshare did not start");
  defer(() => {
    holder.kill("SIGKILL");
  });
  defer(() => stopDaemons(join(runtimeDir, "run")));
  const outside = readlinkSync("/proc/self/ns/net");
  await waitFor("a network namespace", () => readlinkSync(`/proc/${pid}/ns/net`) !== outside);
  const env = { ISLET_RUNTIME_DIR: join(runtimeDir, "run") };
  const inside = ([name = "", ...args]: readonly string[]): readonly string[] => [
    "nsenter",
    `--net=/proc/${pid}/ns/net`,
    "--",
    programOf(name),
    ...args,
  ];
  const self: Netns = {
    pid,
    command: (argv, options = {}) => command(inside(argv), { ...options, env: { ...env, ...options.env } }),
    ok: (argv, options = {}) => ok(inside(argv), { ...options, env: { ...env, ...options.env } }),
  };
  await self.ok(["ip", "link", "set", "lo", "up"]);
  return self;
}
