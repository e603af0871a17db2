import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";
import { hostArch } from "../host/probe.js";
import { O_CLOEXEC, O_NOCTTY, O_RDWR, TIOCGPTPEER, TIOCSWINSZ } from "../sys/flags.js";
import { winsize } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";

const most = 65535;

const ioctl = (fd: number, request: number, argument: number | Uint8Array): number =>
  syscall(requireSyscall(hostArch(), "ioctl"), [fd, request, argument]);

/** Rows and columns of a pty, by its master. */
export function setTerminalSize(master: number, size: { readonly rows: number; readonly columns: number }): void {
  for (const each of [size.rows, size.columns]) {
    if (!Number.isInteger(each) || each < 0 || each > most)
      throw new IsletError("ISLET_BAD_REQUEST", `a terminal has no ${each} rows or columns`);
  }
  ioctl(master, TIOCSWINSZ, winsize(size.rows, size.columns));
}

/** The other side of a pty, by its master; -1 where it cannot be had. */
export function openSlave(master: number): number {
  return Math.max(-1, ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}
