import { IsletError } from "./errors.js";

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}

export function ioError(what: string, error: unknown): IsletError {
  const reason = error instanceof Error ? error.message.replace(/^[A-Z0-9]+: /, "") : String(error);
  const errno = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
  const code = errno === "EACCES" || errno === "EPERM" ? "ISLET_PERMISSION" : "ISLET_IO";
  return new IsletError(code, `cannot ${what}: ${reason}`, { cause: error, ...(errno === undefined ? {} : { errno }) });
}
