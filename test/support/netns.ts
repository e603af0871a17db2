import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, ok, programOf, type CommandOptions, type CommandResult } from "./command.js";
import { stopDaemons } from "./host.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A namespace of the test's own: bridges, mounts and the like made in it are seen by nobody else and go with it. */
export interface OwnNamespace {
  /** A process that lives in it: /proc/PID/ns/. */
  readonly pid: number;
  /** Runs a command in it; islet's commands get a daemon that lives there too. */
  readonly command: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** The same, and the status must be 0. Gives back stdout. */
  readonly ok: (argv: readonly string[], options?: CommandOptions) => Promise<string>;
}

export async function netns(t: Cleaner): Promise<OwnNamespace> {
  const self = await ownNamespace(t, "net", ["--net"]);
  await self.ok(["ip", "link", "set", "lo", "up"]);
  return self;
}

/** A host as systemd has it: every mount is shared, and whatever is mounted on a peer of one is on the host as well. */
export async function sharedMounts(t: Cleaner): Promise<OwnNamespace> {
  const self = await ownNamespace(t, "mnt", ["--mount", "--propagation", "private"]);
  await self.ok(["mount", "--make-rshared", "/"]);
  return self;
}

async function ownNamespace(t: Cleaner, kind: "net" | "mnt", words: readonly string[]): Promise<OwnNamespace> {
  const defer = cleanup(t);
  const runtimeDir = mkdtempSync(join(testDir, "islt-netns-"));
  mkdirSync(join(runtimeDir, "run"), { mode: 0o711 });
  defer(() => {
    rmSync(runtimeDir, { recursive: true, force: true });
  });
  const holder = spawn("unshare", [...words, "sleep", "86400"], { stdio: "ignore" });
  const pid = holder.pid;
  if (pid === undefined) throw new Error("unshare did not start");
  defer(() => {
    holder.kill("SIGKILL");
  });
  defer(() => stopDaemons(join(runtimeDir, "run")));
  const outside = readlinkSync(`/proc/self/ns/${kind}`);
  // The propagation is set a moment after the namespace has begun: sleep runs when all is done.
  await waitFor(
    "the namespace",
    () =>
      readlinkSync(`/proc/${pid}/ns/${kind}`) !== outside && readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n",
  );
  const env = { ISLET_RUNTIME_DIR: join(runtimeDir, "run") };
  const inside = ([name = "", ...args]: readonly string[]): readonly string[] => [
    "nsenter",
    `--${kind === "mnt" ? "mount" : "net"}=/proc/${pid}/ns/${kind}`,
    "--",
    programOf(name),
    ...args,
  ];
  return {
    pid,
    command: (argv, options = {}) => command(inside(argv), { ...options, env: { ...env, ...options.env } }),
    ok: (argv, options = {}) => ok(inside(argv), { ...options, env: { ...env, ...options.env } }),
  };
}
