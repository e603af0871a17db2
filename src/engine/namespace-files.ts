import { closeSync, openSync } from "node:fs";
import { ioError } from "../base/io-error.js";

/** In the order in which they must be joined (user first, mount last): names in /proc/PID/ns. */
const kinds = ["user", "ipc", "uts", "net", "pid", "mnt"] as const;

/** Descriptors of a process's namespaces, the caller's to close. ISLET_IO. */
export function openNamespacesOf(pid: number): readonly number[] {
  const fds: number[] = [];
  try {
    for (const kind of kinds) fds.push(openSync(`/proc/${pid}/ns/${kind}`, "r"));
    return fds;
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw ioError(`open the namespaces of ${pid}`, error);
  }
}
