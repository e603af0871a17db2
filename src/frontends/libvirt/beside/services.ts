/** What the front end does outside the guest and outside the engine, by the daemon's hands. */
export interface Services {
  /** Gives records to the kernel's audit; what cannot be given is lost without a word. */
  readonly audit: (records: readonly AuditRecord[]) => void;
}

/** `type`: a message type of linux/audit.h; `text`: without what libaudit adds to it. */
export interface AuditRecord {
  readonly type: number;
  readonly text: string;
  readonly isSuccess: boolean;
}
