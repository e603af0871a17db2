import type { Arch } from "../sys/arch.js";
import { closeFd, spawn } from "./addon.js";
import { openChannel } from "./channel.js";
import { clientFrames, reader } from "./protocol.js";
import { reapWhenDone } from "./reap.js";
import { socketPair } from "./socket.js";

/**
 * A process (`islet door`, native/door.c) that takes the connections of strangers and passes on what they say: what else they send must not come
 * near this one.
 */

/** A stranger, as the kernel describes it. */
export interface Visitor {
  /** Its words come from here, and answers go there: a socket of the door's. Belongs to whoever takes it. */
  readonly fd: number;
  /** null: this kernel cannot tell (before 6.5). Belongs to whoever takes it. */
  readonly pidfd: number | null;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Of a visitor's announcement. */
const maxFrame = 64;

/**
 * `listener`: the socket, which stays the caller's. `whose`: users of the host ask one question, a guest as many as it likes. `closed`: somebody has
 * killed it. Gives back what ends it.
 */
export function openDoor(
  arch: Arch,
  binary: string,
  listener: number,
  whose: "users" | "guest",
  visited: (visitor: Visitor) => void,
  closed: () => void,
): () => void {
  const [ours, theirs] = socketPair(arch);
  let pidfd: number;
  try {
    const fds = [
      [3, listener],
      [4, theirs],
    ] as const;
    const words = ["islet", "door", ...(whose === "guest" ? ["guest"] : [])];
    ({ pidfd } = spawn(binary, words, [], fds, { cwd: "/", setsid: true }));
  } catch (error) {
    closeFd(ours);
    throw error;
  } finally {
    closeFd(theirs);
  }
  reapWhenDone(pidfd);
  const channel = openChannel(ours, maxFrame, {
    frame: ({ type, payload, fds }) => {
      const [fd, its = null] = fds;
      if (type !== clientFrames.visitor || fd === undefined) return;
      const from = reader(payload);
      visited({ fd, pidfd: its, pid: from.u32(), uid: from.u32(), gid: from.u32() });
    },
    closed,
  });
  channel.unref();
  return () => {
    channel.abandon();
  };
}
