import { rmSync, statSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { acceptSlowly, listenForAnybody } from "../host/socket.js";
import type { HostFacts } from "../spec/host.js";

/** The socket that every user of the host may connect to. It is there only while somebody may have something from it. */
export interface UserDoor {
  /** Opens it, or shuts it, as it is wanted now. */
  readonly look: () => void;
  readonly isOpen: boolean;
  readonly close: () => void;
}

/** `given`: the socket of a service manager, which stays open; else it is made at `path`. */
export function createUserDoor(
  { arch }: Pick<HostFacts, "arch">,
  path: string,
  given: number | null,
  isWanted: () => boolean,
  accepted: (connection: number) => void,
): UserDoor {
  let shut: (() => void) | null = null;
  const open = (): (() => void) => {
    const fd = given ?? listenForAnybody(arch, path);
    const own = identity(path);
    const accepting = acceptSlowly(arch, fd, accepted);
    return () => {
      accepting.close();
      if (given !== null) return;
      closeFd(fd);
      // Not what somebody has put in the place of ours.
      if (identity(path) === own) rmSync(path, { force: true });
    };
  };
  const close = (): void => {
    shut?.();
    shut = null;
  };
  return {
    get isOpen() {
      return shut !== null;
    },
    look() {
      try {
        if (given === null && !isWanted()) close();
        else shut ??= open();
      } catch (error) {
        // Root's commands work without it.
        console.error(error instanceof IsletError ? error.message : error);
      }
    },
    close,
  };
}

/** What stands at a path, to be known again; null: nothing. */
export function identity(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}:${found.ino}`;
}
