import { closeFd, spawn, syscall } from "../host/addon.js";
import { openChannel } from "../host/channel.js";
import { clientFrames, reader, writer } from "../host/protocol.js";
import { reapWhenDone } from "../host/reap.js";
import { socketPair } from "../host/socket.js";
import { encodeProgram } from "../program/encode.js";
import type { LaunchProgram } from "../program/ops.js";
import { decodeRecord, failureError } from "../program/report.js";
import type { Arch } from "../sys/arch.js";
import { requireSyscall } from "../sys/syscalls.js";

/**
 * Programs of the daemon's own that change the namespaces of the process that runs them, or that may have to wait for somebody who does not
 * answer: a small process (`islet runner`) runs them, and is killed when its time is up.
 */

export type HelperResult =
  | { readonly kind: "done"; readonly result: number }
  | { readonly kind: "failed"; readonly record: Uint8Array }
  /** It was killed: its time was up, or somebody else did it. */
  | { readonly kind: "killed" };

/** What it came to. Throws ISLET_OPERATION_FAILED with the operation that failed; when it was killed, what `late` makes. */
export function helperOutcome(program: LaunchProgram, result: HelperResult, late: () => Error): number {
  if (result.kind === "done") return result.result;
  const record = result.kind === "failed" ? decodeRecord(result.record) : null;
  throw record === null ? late() : failureError(program, record, "ISLET_OPERATION_FAILED");
}

const maxFrame = 4096;
/** RUN: send the result. */
const sendResult = 2;
/** RESULT: the program has failed. */
const failed = 1;
const SIGKILL = 9;

/** `binary`: of islet. `fds` fill the preset slots and stay the caller's. `time`: milliseconds. Nobody need wait for the end. */
export function runHelper(
  arch: Arch,
  binary: string,
  program: LaunchProgram,
  fds: readonly number[],
  time: number,
): Promise<HelperResult> {
  const [ours, theirs] = socketPair(arch);
  let pidfd: number;
  try {
    // Nothing of the environment: what the program needs is in it.
    pidfd = spawn(binary, ["islet", "runner"], [], [[3, theirs]], { cwd: "/", setsid: true }).pidfd;
  } catch (error) {
    closeFd(ours);
    throw error;
  } finally {
    closeFd(theirs);
  }
  return new Promise((resolve) => {
    let isReaped = false;
    let outcome: HelperResult = { kind: "killed" };
    const timer = setTimeout(() => {
      if (!isReaped) syscall(requireSyscall(arch, "pidfd_send_signal"), [pidfd, SIGKILL, 0, 0]);
      // Even a kill may have to wait, for a disk perhaps: nobody waits for that.
      channel.close();
    }, time);
    const channel = openChannel(ours, maxFrame, {
      frame: ({ type, payload, fds: unwanted }) => {
        for (const fd of unwanted) closeFd(fd);
        if (type !== clientFrames.result) return;
        const from = reader(payload);
        outcome =
          from.u32() === failed
            ? { kind: "failed", record: from.rest().slice() }
            : { kind: "done", result: from.u32() };
        channel.close();
      },
      closed: () => {
        clearTimeout(timer);
        resolve(outcome);
      },
    });
    reapWhenDone(pidfd, () => {
      isReaped = true;
    });
    channel.send(
      clientFrames.run,
      writer()
        .u32(sendResult)
        .raw(encodeProgram(program, undefined, "without notes"))
        .finish(),
      fds,
    );
  });
}
