import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";

/** ioctl(2): 16 on x86_64, 29 on arm64; TIOCSWINSZ (ioctl_tty(2)) is the same on both. */
const ioctl = process.arch === "x64" ? 16 : 29;
const setSize = 0x5414;
const most = 65535;

/** Rows and columns of a pty, by its master. */
export function setTerminalSize(master: number, size: { readonly rows: number; readonly columns: number }): void {
  for (const each of [size.rows, size.columns]) {
    if (!Number.isInteger(each) || each < 0 || each > most)
      throw new IsletError("ISLET_BAD_REQUEST", `a terminal has no ${each} rows or columns`);
  }
  const winsize = new Uint8Array(new Uint16Array([size.rows, size.columns, 0, 0]).buffer);
  syscall(ioctl, [master, setSize, winsize]);
}

/** TIOCGPTPEER, and O_RDWR, O_NOCTTY and O_CLOEXEC for it. */
const getPeer = 0x5441;
const slaveFlags = 0o2000402;

/** The other side of a pty, by its master; -1 where it cannot be had. */
export function openSlave(master: number): number {
  return Math.max(-1, syscall(ioctl, [master, getPeer, slaveFlags]));
}
