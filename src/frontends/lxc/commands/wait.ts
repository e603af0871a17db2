import { IsletError } from "../../../base/errors.js";
import { type Command, type State, states } from "../../../engine/engine.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import { rcfileIsGood } from "./freeze.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";

export const waitTable: CommandTable = {
  tool: "lxc-wait",
  synopsis: "--name=NAME --state=STATE[|STATE]... [-t T]",
  description: "Waits until a container is in one of the states.",
  options: [
    option("state", `states to wait for, joined by |: ${states.join(", ")}`, { short: "s", argument: "STATE" }),
    option("timeout", "seconds to wait at most (for ever; 0 looks once)", { short: "t", argument: "T" }),
    ...commonOptions,
    rcfileOption,
  ],
  operands: "any",
  named: true,
  notes: [
    "A container that does not exist is STOPPED. The moment of STOPPED between the two halves of a reboot does not count.",
    "Exit status: 0 the container is in one of the states, 1 the time is over, or failure.",
  ],
};

function statesOf(options: ParsedOptions): readonly State[] {
  const text = options.value("state");
  if (text === null) throw new UsageError("");
  const words = text.split("|").filter((word) => word !== "");
  // LXC would wait for no state at all, for ever.
  if (words.length === 0) throw new IsletError("ISLET_BAD_REQUEST", `invalid state '${text}'`);
  return words.map((word) => {
    const found = states.find((state) => state === word);
    if (found === undefined) throw new IsletError("ISLET_BAD_REQUEST", `invalid state '${word}'`);
    return found;
  });
}

/** Milliseconds; null for ever, which every negative number means to LXC. */
export function timeoutOf(options: ParsedOptions): number | null {
  const text = options.value("timeout");
  if (text === null) return null;
  if (!/^-?[0-9]{1,9}(\.[0-9]{1,9})?$/.test(text)) throw new UsageError(`"${text}" is no number of seconds`);
  const seconds = Number(text);
  return seconds < 0 ? null : seconds * 1000;
}

export async function waitForState(call: Call): Promise<number> {
  const { engine, id, options, report } = call;
  const wanted = statesOf(options);
  const timeout = timeoutOf(options);
  if (!(await rcfileIsGood(call))) return 1;
  const state = await reached(call, wanted.join(" or "), timeout, (aborted) =>
    engine.wait(id, wanted, timeout, aborted),
  );
  if (state === null) return 0;
  if (state !== "STOPPED") {
    // What LXC says, for those who look for it.
    report.error("Resource temporarily unavailable - Failed to receive message");
    report.error("Resource temporarily unavailable - Failed to receive state from monitor");
  }
  return 1;
}

/** Waits with progress for what `wait` waits for; null when that is reached. In time it was not: it has been said, and the state is given. */
export async function reached(
  call: Call,
  what: string,
  timeout: number | null,
  wait: (aborted: AbortSignal) => Promise<unknown>,
): Promise<State | null> {
  const { engine, id, report, session } = call;
  const left = new AbortController();
  try {
    await call.progress.during(
      {
        what: `waiting for ${id.name} to be ${what}`,
        limit: timeout === null ? null : { milliseconds: timeout, what: "given up" },
      },
      Promise.race([wait(left.signal), session.gone]),
    );
    return null;
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_TIMEOUT") throw error;
    const { state } = await engine.status(id);
    report.error(`${error.message}; it is ${state}`);
    return state;
  } finally {
    left.abort();
  }
}

export const wait: Command = lxcCommand(waitTable, waitForState);
