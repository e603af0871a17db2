import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { waitFor } from "./wait.js";

/** System calls that change what is on a disk: strace counts each by itself. The first of each group that the machine has is the one that programs use. */
const changing = [
  "rename,renameat,renameat2",
  "unlink,unlinkat",
  "rmdir",
  "mkdir,mkdirat",
  "fsync",
  "link,linkat",
] as const;
export const changes: readonly Change[] = changing;
export type Change = (typeof changing)[number];

/**
 * Has the kernel kill a process as it begins the nth of such calls (from 1 on) of its main thread. Gives back what ends the watch.
 */
export async function killAtChange(pid: number, change: Change, nth: number): Promise<() => Promise<void>> {
  const words = ["-qq", "-o", "/dev/null", "-e", `trace=${change}`];
  const child = spawn("strace", [...words, "-e", `inject=${change}:signal=SIGKILL:when=${nth}`, "-p", String(pid)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr.resume();
  const ended = once(child, "close");
  await waitFor("strace to attach", () => {
    return /^TracerPid:\s+[1-9]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  });
  return async () => {
    child.kill("SIGTERM");
    await ended;
  };
}
