/** What a client's process does for the engine, and how a front end's command speaks to it; part of the engine's list of requests (engine.ts). */

/** Whoever asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/**
 * A program that the caller's own process runs (docs/protocol/control.md RUN), so that its terminal, pipes, signals and job control are the
 * caller's. The descriptors belong to whoever holds the task, who closes them after use.
 */
export interface ClientTask {
  readonly image: Uint8Array;
  readonly fds: readonly number[];
  /** Turns the record of a failure into an error with words. */
  readonly explainFailure: (record: Uint8Array) => Error;
}

/** `output` ends when the program, and all that inherited it, is gone. */
export interface HostOutput {
  readonly task: ClientTask;
  readonly output: AsyncIterable<Uint8Array>;
  /** To be called, once, when the session has the task (or never will): closes what was opened for it. */
  readonly handedOver: () => void;
}

export interface ListenSockets {
  readonly fds: readonly number[];
  /** $LISTEN_FDNAMES. */
  readonly names: string | null;
}

/** One command of a client: what the daemon gives to a front end's command. */
export interface CommandSession {
  /** argv[0] is the name the client was called by: lxc-start, islet. */
  readonly argv: readonly string[];
  readonly caller: Caller;
  /** The client's descriptors 0-2, open in the daemon as long as the session lives. */
  readonly stdio: readonly [number, number, number];
  /** Sockets that the client was started with by the protocol of sd_listen_fds(3); open as long as the session lives. */
  readonly listen: ListenSockets;
  /** Which of them are terminals. */
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly rows: number;
  readonly columns: number;
  /** Queued; written by the client in order. */
  write(descriptor: 1 | 2, text: string | Uint8Array): void;
  /** The client runs the program; resolves with its result. A failed program rejects with `explainFailure`'s error. */
  run(task: ClientTask): Promise<number>;
  /**
   * Joins the client's terminal (raw) with the descriptor until it closes or the user leaves: the escape key (a byte, or null) and q, or
   * with `endsWithInput` the end of the input. With a `lease` the client keeps it open as long, and hang-ups of the pty do not end the
   * relay, only the end of the lease's other side.
   */
  relay(
    descriptor: number,
    options: {
      readonly escape: number | null;
      readonly onResize: (rows: number, columns: number) => void;
      readonly onSignal: ((signal: number) => void) | null;
      readonly endsWithInput?: boolean;
      readonly lease?: number | null;
      /** The terminal shows its alternate screen meanwhile, without a cursor; the client sees to it that it is as before, whatever happens. */
      readonly alternate?: boolean;
    },
  ): Promise<"closed" | "escape">;
  /** Rejects when the client goes away: long operations race against it. */
  readonly gone: Promise<never>;
  /** The client's terminal, raw, in the hands of the command until `close`. Neither `run` nor `relay` meanwhile. */
  screen(on: ScreenEvents): Screen;
}

export interface ScreenEvents {
  /** As in `relay`. */
  readonly alternate?: boolean;
  /** What is typed; ^C and its like among it. */
  readonly input: (bytes: Uint8Array) => void;
  readonly resize: (rows: number, columns: number) => void;
  /** One that the client got: HUP, INT, QUIT, TERM, USR1, USR2. */
  readonly signal: (signal: number) => void;
}

export interface Screen {
  /** Lines need \r\n. */
  write(text: string): void;
  /** The terminal has not taken all of it yet. */
  readonly busy: boolean;
  close(): void;
  /** Resolves when the terminal is as it was before: after `close`, or because the client left. */
  readonly over: Promise<void>;
}
