import { IsletError } from "../../../base/errors.js";
import { unreachable } from "../../../base/never.js";
import type { Command, StopOptions } from "../../../engine/engine.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import { rcfileIsGood } from "./freeze.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";
import type { Waiting } from "./progress.js";

export const stopTable: CommandTable = {
  tool: "lxc-stop",
  synopsis: "--name=NAME [-r|-k] [-W] [-t T] [--nokill]",
  description: "Shuts a container down, reboots it, or kills it.",
  options: [
    option("reboot", "reboot it and wait until it runs again", { short: "r" }),
    option("nowait", "do not wait for the end", { short: "W" }),
    option("timeout", "seconds until it is killed (60; -1 never)", { short: "t", argument: "T" }),
    option("kill", "kill it at once", { short: "k" }),
    option("nokill", "do not kill it when the time is over"),
    option("nolock", "accepted with -k; there is no lock to leave out"),
    ...commonOptions,
    rcfileOption,
  ],
  operands: "any",
  named: true,
  containers: "running",
  notes: [
    "Exit status: 0 stopped (killed after the timeout included), 1 failure or timeout with --nokill or -r, 2 the container is not running.",
    "Without -k, -W and -t 0 a container that had to be killed is reported on standard error.",
  ],
};

const defaultTimeout = 60;

/** Seconds; null for ever. */
function timeoutOf(options: ParsedOptions): number | null {
  const last = options.given.findLast(([long]) => long === "nowait" || long === "timeout");
  if (last === undefined) return defaultTimeout;
  if (last[0] === "nowait") return 0;
  const text = last[1];
  if (!/^-?[0-9]{1,9}$/.test(text)) throw new UsageError(`"${text}" is no number of seconds`);
  const seconds = Number(text);
  if (seconds < -1) throw new IsletError("ISLET_BAD_REQUEST", "Invalid timeout");
  return seconds === -1 ? null : seconds;
}

/** What the options ask for, after LXC's own checks in LXC's order. */
export function stopOptions(options: ParsedOptions): StopOptions {
  const kill = options.has("kill");
  const noKill = options.has("nokill");
  const reboot = options.has("reboot");
  const refuse = (text: string): never => {
    throw new IsletError("ISLET_BAD_REQUEST", text);
  };
  const timeout = timeoutOf(options);
  if (kill && noKill) refuse("-k can't be used with --nokill");
  if (kill && reboot) refuse("-k can't be used with -r");
  if (kill && options.has("timeout") && timeout !== 0) refuse("-k doesn't allow timeouts");
  if (options.has("nolock") && !kill) refuse("--nolock may only be used with -k");
  return {
    kind: kill ? "kill" : reboot ? "reboot" : "clean",
    timeout: timeout === null ? null : timeout * 1000,
    noKill,
  };
}

function waiting(name: string, { kind, timeout, noKill }: StopOptions): Waiting {
  const limit = timeout === null || timeout === 0 ? null : timeout;
  switch (kind) {
    case "kill":
      return { what: `killing ${name}` };
    case "reboot":
      return {
        what: `waiting for ${name} to reboot`,
        limit: limit === null ? null : { milliseconds: limit, what: "given up" },
      };
    case "clean":
      return {
        what: `waiting for ${name} to shut down`,
        limit: limit === null ? null : { milliseconds: limit, what: noKill ? "given up" : "killed" },
      };
    default:
      return unreachable(kind);
  }
}

async function body(call: Call): Promise<number> {
  const { engine, id, report } = call;
  const wanted = stopOptions(call.options);
  if (!(await rcfileIsGood(call))) return 1;
  if ((await engine.status(id)).state === "STOPPED")
    throw new IsletError("ISLET_NOT_RUNNING", `${id.name} is not running`);
  const stopping = Promise.race([engine.stop(id, wanted), call.session.gone]);
  const result = await call.progress.during(waiting(id.name, wanted), stopping);
  if (result.killed && wanted.kind === "clean" && wanted.timeout !== null) {
    report.notice(`did not shut down within ${wanted.timeout / 1000} seconds and was killed`);
  }
  return 0;
}

export const stop: Command = lxcCommand(stopTable, body);
