import { rmSync, statSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { openDoor, type Visitor } from "../host/door.js";
import { listenUnix } from "../host/socket.js";
import type { HostFacts } from "../spec/host.js";

/**
 * The socket that every user of the host may connect to, there only while somebody may have something from it. Connections are taken by a
 * process of its own (`islet door`, native/door.c), which passes on what they say: what else they send must not come near the daemon.
 */
export interface UserDoor {
  /** Opens it, or shuts it, as it is wanted now. */
  readonly look: () => void;
  readonly isOpen: boolean;
  readonly close: () => void;
}

/** Strangers who may wait to be let in. */
const backlog = 64;
/** Milliseconds until a door that somebody has killed is there again. */
const repairTime = 1000;

/** `given`: the socket of a service manager, which stays open; else it is made at `path`. `binary`: of islet. */
export function createUserDoor(
  { arch }: Pick<HostFacts, "arch">,
  binary: string,
  path: string,
  given: number | null,
  isWanted: () => boolean,
  visited: (visitor: Visitor) => void,
): UserDoor {
  let shut: (() => void) | null = null;
  let isClosed = false;

  /** Gives back what ends the process. */
  const station = (listener: number): (() => void) =>
    openDoor(arch, binary, listener, "users", visited, () => {
      if (isClosed) return;
      close();
      setTimeout(look, repairTime).unref();
    });

  const open = (): (() => void) => {
    const listener = given ?? listenUnix(arch, path, backlog, 0o666);
    const own = identity(path);
    try {
      const leave = station(listener);
      return () => {
        leave();
        // Not what somebody has put in the place of ours.
        if (given === null && identity(path) === own) rmSync(path, { force: true });
      };
    } finally {
      // From now on it is the door's alone: whoever closes it last has to close what waits in it.
      if (given === null) closeFd(listener);
    }
  };
  const close = (): void => {
    shut?.();
    shut = null;
  };
  const look = (): void => {
    try {
      if (isClosed || (given === null && !isWanted())) close();
      else shut ??= open();
    } catch (error) {
      // Root's commands work without it.
      console.error(error instanceof IsletError ? error.message : error);
    }
  };
  return {
    get isOpen() {
      return shut !== null;
    },
    look,
    close: () => {
      isClosed = true;
      close();
    },
  };
}

/** What stands at a path, to be known again; null: nothing. */
export function identity(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}:${found.ino}`;
}
