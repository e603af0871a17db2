import { printable } from "../../../base/printable.js";
import type { HostOutput } from "../../../engine/engine.js";
import type { Call } from "./frame.js";
import { execStatus } from "../errors.js";
import { IsletError } from "../../../base/errors.js";

/** Longer lines are cut into pieces: no program makes the daemon keep more. */
const maxLine = 1024 * 1024;

/** Runs a program of the host in the client and hands over the lines it prints, without control characters; resolves with its exit status. */
export async function runForLines(
  call: Call,
  program: string,
  packageName: string,
  made: HostOutput,
  lines: (lines: readonly string[]) => Promise<void>,
): Promise<number> {
  const finished = call.session.run(made.task);
  finished.catch(() => undefined);
  made.handedOver();
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of made.output) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > maxLine) {
        parts.push(rest);
        rest = "";
      }
      if (parts.length > 0) await lines(parts.map(printable));
    }
    if (rest !== "") await lines([printable(rest)]);
  };
  await Promise.race([read(), call.session.gone]);
  try {
    return await finished;
  } catch (error) {
    const status = execStatus(error);
    if (status === null) throw error;
    throw new IsletError("ISLET_UNSUPPORTED", `the program ${program} cannot be executed on this host`, {
      hint: `install the package ${packageName}`,
      cause: error,
    });
  }
}
