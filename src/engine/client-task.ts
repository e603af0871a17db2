import { IsletError } from "../base/errors.js";
import { encodeProgram } from "../program/encode.js";
import type { LaunchProgram } from "../program/ops.js";
import { decodeRecord, failureError } from "../program/report.js";
import type { ClientTask } from "./engine.js";

/** An image of its own, not part of a frame. */
export const room = (bytes: number): Uint8Array => new Uint8Array(bytes);

export function clientTask(program: LaunchProgram, fds: readonly number[]): ClientTask {
  return {
    image: encodeProgram(program, room, "without notes"),
    fds,
    explainFailure: (record) => {
      const decoded = decodeRecord(record);
      return decoded === null
        ? new IsletError("ISLET_PROTOCOL", "the client sent a report that cannot be read")
        : failureError(program, decoded, "ISLET_OPERATION_FAILED");
    },
  };
}
