import { closeFd, syscall, watch } from "./addon.js";

/** waitid(2) by pidfd, both architectures: 247 on x86_64, 95 on arm64. */
const waitid = process.arch === "x64" ? 247 : 95;
const P_PIDFD = 3;
const WEXITED = 4;

/** Takes the exit status of a child of this process as soon as it ends, so that no zombie stays; closes the pidfd. */
export function reapWhenDone(pidfd: number, done?: () => void): void {
  const watcher = watch(pidfd, "in", () => {
    watcher.close();
    const info = new Uint8Array(128);
    syscall(waitid, [P_PIDFD, pidfd, info, WEXITED, 0]);
    closeFd(pidfd);
    done?.();
  });
  watcher.unref();
}
