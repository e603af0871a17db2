import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { waitFor } from "./wait.js";

/** System calls that change what is on a disk. */
const changing = "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,link,linkat,symlink,symlinkat";

/** Has the kernel kill a process as it begins the nth call (from 1 on) of its main thread that changes a disk. Gives back what ends the watch. */
export async function killAtChange(pid: number, nth: number): Promise<() => Promise<void>> {
  const words = ["-qq", "-o", "/dev/null", "-e", `trace=${changing}`];
  const child = spawn("strace", [...words, "-e", `inject=${changing}:signal=SIGKILL:when=${nth}`, "-p", String(pid)], {
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
