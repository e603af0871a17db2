import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { ok } from "./command.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A real LXCFS of the test's own, mounted on a directory of its own: never the host's. */
export interface Lxcfs {
  /** For ISLET_LXCFS. */
  readonly path: string;
  /** Mounts it; what a dead one has left there is unmounted first, as a service manager does. */
  readonly start: () => Promise<void>;
  /** Sends a signal; resolves when that has ended it, for signals that end. */
  readonly signal: (signal: "SIGUSR1" | "SIGSTOP" | "SIGCONT" | "SIGTERM" | "SIGKILL") => Promise<void>;
  /** Lines of the mountinfo of the mount namespace it is in. */
  readonly mounts: () => readonly string[];
}

/** Mount points of LXCFS's own mount namespace; it never removes them. */
const ownRun = "/run/lxcfs";

/** `mntnsPid`: a process in whose mount namespace it is to be; only there may `place` be the well-known one. */
export async function startLxcfs(
  t: Cleaner,
  mntnsPid: number | "self" = "self",
  place: string | null = null,
): Promise<Lxcfs> {
  const above = mkdtempSync(join(testDir, "islt-lxcfs-"));
  const path = place ?? join(above, "mount");
  const hadRun = existsSync(ownRun);
  const inside = mntnsPid === "self" ? [] : ["nsenter", `--mount=/proc/${mntnsPid}/ns/mnt`, "--"];
  let child: ChildProcess | null = null;
  const mounts = (): readonly string[] => {
    const file = `/proc/${mntnsPid}/mountinfo`;
    // With its last process a mount namespace ends, and all of its mounts.
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    return text.split("\n").filter((line) => line.includes(` ${path}`));
  };
  const unmount = async (): Promise<void> => {
    for (const _ of mounts()) await ok([...inside, "umount", "-l", path]);
  };
  const end = async (signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    const ending = child;
    child = null;
    if (ending === null) return;
    const ended = once(ending, "exit");
    ending.kill(signal);
    await ended;
  };
  const self: Lxcfs = {
    path,
    mounts,
    start: async () => {
      await unmount();
      const argv = [...inside, "lxcfs", "-f", "-p", join(above, "pid"), path];
      child = spawn(argv[0] ?? "", argv.slice(1), { stdio: "ignore" });
      await waitFor("LXCFS to be mounted", () => mounts().length > 0);
      await waitFor("LXCFS to answer", () => ok([...inside, "cat", join(path, "proc/uptime")]));
    },
    signal: async (signal) => {
      if (signal === "SIGTERM" || signal === "SIGKILL") await end(signal);
      else child?.kill(signal);
    },
  };
  cleanup(t)(async () => {
    child?.kill("SIGCONT");
    await end("SIGKILL");
    await unmount();
    rmSync(above, { recursive: true, force: true });
    if (!hadRun) rmSync(ownRun, { recursive: true, force: true });
  });
  if (place === null) await ok(["mkdir", path]);
  await self.start();
  return self;
}
