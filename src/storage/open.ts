import { IsletError } from "../base/errors.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageHost } from "./driver.js";

/** A root file system that can be worked on, and that nobody else sees. */
export interface OpenRoot {
  /** Its top directory. */
  readonly fd: number;
  /** /proc/PID/fd/N of this process: for it and those that it starts. */
  readonly path: string;
  close(): void;
}

export function openRoot(
  _host: StorageHost,
  source: RootfsSource,
  _options: { readonly write: boolean },
): Promise<OpenRoot> {
  return Promise.reject(
    new IsletError("ISLET_UNSUPPORTED", `a root file system of the kind ${source.kind} cannot be opened`),
  );
}
