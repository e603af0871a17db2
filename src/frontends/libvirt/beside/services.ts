/** What the front end does outside the guest and outside the engine, by the daemon's hands. */
export interface Services {
  /** Gives records to the kernel's audit; what cannot be given is lost without a word. */
  readonly audit: (records: readonly AuditRecord[]) => void;
  /** Appends lines to the log of a domain, where logs of domains are kept; null: nowhere. Never fails. */
  readonly appendLog: ((name: string, lines: readonly string[]) => void) | null;
  /** Runs a program of the host's for at most `time` milliseconds. `dies`: with the daemon, by SIGTERM. Never fails. */
  readonly runProgram: (
    file: string,
    words: readonly string[],
    input: string,
    time: number,
    dies: boolean,
  ) => Promise<{ readonly kind: "done" | "late" } | { readonly kind: "refused"; readonly why: string }>;
}

/** `type`: a message type of linux/audit.h; `text`: without what libaudit adds to it. */
export interface AuditRecord {
  readonly type: number;
  readonly text: string;
  readonly isSuccess: boolean;
}
