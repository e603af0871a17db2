import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ContainerId } from "../engine/engine.js";
import type { LibraryCalls } from "../engine/library.js";
import { closeFd, watch } from "../host/addon.js";
import { duplicate } from "../host/channel.js";
import { hostArch } from "../host/probe.js";
import type { TerminalSize } from "./process.js";
import { ptyStream } from "../host/pty-stream.js";
import { openSlave, setTerminalSize } from "./terminal.js";

/** The console and the ttys of a running container. */

export interface ConsoleOptions {
  /** What the console showed before is shown first, as far as its ring buffer (lxc.console.buffer.size) has it. */
  readonly replay?: boolean;
  readonly tty?: number | "free";
}

export interface ContainerConsole {
  /** 0: the console itself. */
  readonly number: number;
  /** What is typed, and what is shown. Ends with the container; `destroy` leaves. */
  readonly stream: Duplex;
  resize(size: TerminalSize): Promise<void>;
}

export async function joinConsole(calls: LibraryCalls, id: ContainerId, replay: boolean): Promise<ContainerConsole> {
  const stream = new Socket({ fd: await calls.console(id, replay), readable: true, writable: true });
  // The container's end is the stream's; there is no more to say about it.
  stream.on("error", () => stream.destroy());
  return { number: 0, stream, resize: ({ rows, columns }) => calls.resizeConsole(id, rows, columns) };
}

export async function joinTty(calls: LibraryCalls, id: ContainerId, number: number | null): Promise<ContainerConsole> {
  const taken = await calls.terminal(id, number);
  if (taken.number === 0) {
    const stream = new Socket({ fd: taken.descriptor, readable: true, writable: true });
    stream.on("error", () => stream.destroy());
    return { number: 0, stream, resize: ({ rows, columns }) => calls.resizeConsole(id, rows, columns) };
  }
  // As long as somebody holds the other side, a getty that starts anew is no hang-up; the lease tells the real end.
  let slave = openSlave(taken.descriptor);
  const letGo = (): void => {
    if (slave >= 0) closeFd(slave);
    slave = -1;
  };
  const lease =
    taken.lease === null
      ? null
      : watch(taken.lease, "in", () => {
          lease?.close();
          letGo();
        });
  const stream = ptyStream(hostArch(), duplicate(taken.descriptor));
  stream.on("close", () => {
    lease?.close();
    letGo();
    taken.release();
  });
  return {
    number: taken.number,
    stream,
    resize: (size) => {
      if (!stream.destroyed) setTerminalSize(taken.descriptor, size);
      return Promise.resolve();
    },
  };
}
