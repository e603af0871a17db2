/** /dev/console and /dev/ttyN. */
export interface ConsoleSpec {
  /** pty: a pty whose master the monitor holds. none: no /dev/console. device: a file or device of the host. */
  readonly kind: "pty" | "none" | "device";
  /** With `device`: the path on the host. */
  readonly path: string | null;
  readonly logFile: string | null;
  /** Bytes; 0 no limit. */
  readonly logSize: number;
  readonly logRotate: boolean;
  /** Bytes kept in memory; 0 none. */
  readonly bufferSize: number;
  /** Number of /dev/ttyN, from 1, or from 2 with `isTty1`. */
  readonly ttys: number;
  /** The console is /dev/tty1 as well, and the ttys follow it. It must be a pty. */
  readonly isTty1: boolean;
  /** Directory below /dev for console and ttys, with links to it from /dev; null: directly in /dev. */
  readonly ttyDir: string | null;
  /** Console and ttys have ptys of the host's as well, which programs there find by their paths; the first 16. With `pty`, and a console of the container's own devpts. */
  readonly outer?: true;
  /** Ptys the container may open itself (max of its devpts, beside the ttys). */
  readonly ptys: number;
}
