import { closeFd, syscall, watch } from "./addon.js";

/** waitid(2) by pidfd, both architectures: 247 on x86_64, 95 on arm64. */
const waitid = process.arch === "x64" ? 247 : 95;
const P_PIDFD = 3;
const WEXITED = 4;

/**
 * Takes the exit status of a child of this process as soon as it ends, so that no zombie stays; closes the pidfd. `done` gets it as a shell
 * shows it. `keep`: the event loop lives until then, because somebody waits for it.
 */
export function reapWhenDone(pidfd: number, done?: (exitCode: number) => void, keep: boolean = false): void {
  const watcher = watch(pidfd, "in", () => {
    watcher.close();
    const info = new Uint8Array(128);
    syscall(waitid, [P_PIDFD, pidfd, info, WEXITED, 0]);
    closeFd(pidfd);
    const view = new DataView(info.buffer);
    // siginfo_t: si_code at 8, si_status at 24; CLD_EXITED is 1.
    const status = view.getInt32(24, true);
    done?.(view.getInt32(8, true) === 1 ? status : 128 + (status & 0x7f));
  });
  if (!keep) watcher.unref();
}
