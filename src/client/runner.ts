import { type ChildProcess, spawn } from "node:child_process";
import { IsletError } from "../base/errors.js";
import type { Task } from "../engine/library.js";
import { closeFd } from "../host/addon.js";
import { openChannel } from "../host/channel.js";
import { hostArch } from "../host/probe.js";
import { clientFrames, reader, writer } from "../host/protocol.js";
import { socketPair } from "../host/socket.js";
import { binary } from "./paths.js";

/**
 * Runs tasks of the engine: a Node process has threads and cannot become part of a container, so a small process does (`islet runner`),
 * whose standard descriptors are the command's.
 */

const maxFrame = 4096;
/** RUN: send the result; hand descriptors over, take signals. */
const runFlags = 2 | 4;
const failed = 1;

export type Stdio = "pipe" | "ignore" | "inherit";

export interface Run {
  /** The small process; its streams are those of what it runs. */
  readonly child: ChildProcess;
  /** Resolves when the task's process has been made; rejects as `result` does. */
  readonly started: Promise<void>;
  /** A descriptor that the task hands over; rejects when it ends without. The caller closes it. */
  readonly descriptor: Promise<number>;
  /** Rejects with the failure in words. */
  readonly result: Promise<number>;
  /** To the task's process, which is still there or has just ended. */
  signal(number: number): void;
  /** Kills it at once; with a group of its own, all that it has started, too. `result` rejects. */
  endAll(): void;
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Not everybody waits for all three.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** `ownGroup`: in a session and process group of its own. */
export function runTask(
  task: Task,
  stdio: readonly [Stdio, Stdio, Stdio],
  { ownGroup = false }: { readonly ownGroup?: boolean } = {},
): Run {
  const started = deferred<void>();
  const descriptor = deferred<number>();
  const result = deferred<number>();
  const fail = (error: Error): void => {
    for (const each of [started, descriptor, result]) each.reject(error);
  };
  const [ours, theirs] = socketPair(hostArch());
  let child: ChildProcess;
  try {
    // Nothing of the environment: what the task needs is in it.
    child = spawn(binary, ["runner"], { argv0: "islet", env: {}, stdio: [...stdio, theirs], detached: ownGroup });
  } catch (error) {
    closeFd(ours);
    task.release();
    throw error;
  } finally {
    closeFd(theirs);
  }
  const channel = openChannel(ours, maxFrame, {
    frame: ({ type, payload, fds }) => {
      const from = reader(payload);
      switch (type) {
        case clientFrames.descriptor:
          if (fds[0] !== undefined) descriptor.resolve(fds[0]);
          return;
        case clientFrames.started:
          started.resolve();
          return;
        case clientFrames.result:
          if (from.u32() === failed) {
            task
              .explain(from.rest().slice())
              .then(fail, fail)
              .finally(() => {
                task.release();
              });
          } else {
            result.resolve(from.u32());
            started.resolve();
            descriptor.reject(new IsletError("ISLET_PROTOCOL", "the task handed no descriptor over"));
            task.release();
          }
          isOver = true;
          channel.end();
          return;
        default:
          for (const fd of fds) closeFd(fd);
      }
    },
    closed: () => {
      if (isOver) return;
      fail(new IsletError("ISLET_OPERATION_FAILED", "the process that ran the task was killed"));
      task.release();
    },
  });
  let isOver = false;
  child.on("error", (cause) => {
    fail(new IsletError("ISLET_IO", `cannot run ${binary}: ${cause.message}`, { cause }));
  });
  channel.send(clientFrames.run, writer().u32(runFlags).raw(task.image).finish(), task.fds);
  return {
    child,
    started: started.promise,
    descriptor: descriptor.promise,
    result: result.promise,
    signal: (number) => {
      channel.send(clientFrames.signal, writer().u32(number).finish());
    },
    endAll: () => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      // Node has not waited for it yet: the number is still its own.
      process.kill(ownGroup ? -child.pid : child.pid, "SIGKILL");
    },
  };
}
