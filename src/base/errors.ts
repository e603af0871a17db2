import { type Fault, type Source, showFault, showSource } from "./source.js";

/**
 * Stable error codes: documented API (docs/reference/errors.md lists them; a test compares).
 * Front ends map them to their own world's numbers and texts.
 */
export const errorCodes = {
  ISLET_BAD_CONFIG: "a configuration or option has an unknown key or a bad value",
  ISLET_BAD_NAME: "a container name that cannot be used",
  ISLET_BAD_REQUEST: "a request that makes no sense as given",
  ISLET_NOT_FOUND: "there is no such container",
  ISLET_EXISTS: "a container of that name exists already",
  ISLET_PARTIAL: "the container is being created, or its creation was cut off",
  ISLET_RUNNING: "the container is running",
  ISLET_NOT_RUNNING: "the container is not running",
  ISLET_BUSY: "another operation on the container is under way",
  ISLET_HAS_CLONES: "other containers depend on this one",
  ISLET_HAS_SNAPSHOTS: "the container has snapshots",
  ISLET_NO_ROOTFS: "the root file system is missing or cannot be used",
  ISLET_NO_INIT: "the init program is missing or cannot be executed",
  ISLET_START_FAILED: "an operation of the start failed",
  ISLET_OPERATION_FAILED: "an operation of another program failed",
  ISLET_HOOK_FAILED: "a hook or a template ended with an error",
  ISLET_TIMEOUT: "the time allowed ran out",
  ISLET_PERMISSION: "the caller may not do this",
  ISLET_UNSUPPORTED: "the host lacks what this needs",
  ISLET_NETWORK: "a server cannot be reached, or does not answer as it should",
  ISLET_UNTRUSTED: "what was downloaded is not signed, or is not what was signed",
  ISLET_IO: "reading or writing something on the host failed",
  ISLET_NO_COMMAND: "the command is missing in the container, or cannot be executed",
  ISLET_DISCONNECTED: "the daemon cannot be reached, or went away before it answered",
  ISLET_PROTOCOL: "a peer broke the protocol",
  ISLET_INTERNAL: "a fault in islet itself",
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorDetails {
  readonly at?: Source | null;
  readonly hint?: string;
  readonly errno?: string;
  readonly syscall?: string;
  readonly faults?: readonly Fault[];
  readonly cause?: unknown;
}

/** The one error class. `message` is a complete line without a trailing full stop. */
export class IsletError extends Error {
  readonly code: ErrorCode;
  readonly at: Source | null;
  readonly hint: string | undefined;
  readonly errno: string | undefined;
  readonly syscall: string | undefined;
  readonly faults: readonly Fault[];

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "IsletError";
    this.code = code;
    this.at = details.at ?? null;
    this.hint = details.hint;
    this.errno = details.errno;
    this.syscall = details.syscall;
    this.faults = details.faults ?? [];
  }
}

/** The line(s) a person sees: message, source, hint; one line per fault where there are several. */
export function errorLines(error: unknown): readonly string[] {
  if (!(error instanceof IsletError)) {
    return [error instanceof Error ? `internal error: ${error.message}` : `internal error: ${String(error)}`];
  }
  if (error.faults.length > 0) return error.faults.map(showFault);
  const place = error.at === null ? "" : ` (${showSource(error.at)})`;
  const hint = error.hint === undefined ? "" : `; ${error.hint}`;
  return [`${error.message}${place}${hint}`];
}
