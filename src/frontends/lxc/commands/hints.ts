import { IsletError } from "../../../base/errors.js";
import { likelySlips, nearest } from "../../../base/nearest.js";
import type { Call } from "./frame.js";
import { defaultStore } from "./system.js";
import { harmless, isUtf8 } from "./look.js";

/**
 * What a person can do about an error: a further line on standard error, where that is a terminal. Scripts compare what LXC says, and see
 * just that.
 */

/** A word as a shell takes it. */
const word = (text: string): string => (/^[\w./@%+:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

type Subject = Pick<Call, "table" | "id" | "engine" | "caller" | "options">;

/** Another command for the same container. */
function commandFor({ id, options }: Subject, tool: string, name: string = id.name): string {
  const where = options.has("lxcpath") ? ` -P ${word(id.storePath)}` : "";
  return `${tool}${where} -n ${word(name)}`;
}

/** There is no container of that name. */
async function missingHint(subject: Subject, names: readonly string[]): Promise<string> {
  const { id, engine, caller } = subject;
  const near = nearest(id.name, names, likelySlips(id.name));
  if (near !== null) return `there is no ${id.name} in ${id.storePath}; did you mean ${near}?`;
  const usual = defaultStore(caller);
  if (usual !== id.storePath && (await engine.defined(usual)).includes(id.name))
    return `there is no ${id.name} in ${id.storePath}, but there is one in ${usual}: leave out -P`;
  if (names.length === 0) return `there are no containers in ${id.storePath}; -P names another directory`;
  return `there is no ${id.name} in ${id.storePath}; islet ls shows those there are, -P names another directory`;
}

async function absentHint(subject: Subject): Promise<string> {
  const { id, engine } = subject;
  const names = await engine.defined(id.storePath);
  return names.includes(id.name)
    ? `to start it: ${commandFor(subject, "lxc-start")}`
    : await missingHint(subject, names);
}

function runningHint(subject: Subject): string {
  switch (subject.table.tool) {
    case "lxc-destroy":
      return `to stop it: ${commandFor(subject, "lxc-stop")}; lxc-destroy -f kills it first`;
    case "lxc-execute":
      return `to run a command in it: ${commandFor(subject, "lxc-attach")} -- COMMAND`;
    default:
      return `to go into it: ${commandFor(subject, "lxc-attach")}; to stop it: ${commandFor(subject, "lxc-stop")}`;
  }
}

/** null: there is nothing to say that the error does not say. */
export async function hintFor(subject: Subject, error: unknown): Promise<string | null> {
  if (!(error instanceof IsletError) || !subject.table.named) return null;
  switch (error.code) {
    case "ISLET_NOT_FOUND":
    case "ISLET_NOT_RUNNING":
      return await absentHint(subject);
    case "ISLET_RUNNING":
      return runningHint(subject);
    case "ISLET_EXISTS":
      return `choose another name, or remove that one: ${commandFor(subject, "lxc-destroy")}`;
    case "ISLET_HAS_CLONES":
    case "ISLET_HAS_SNAPSHOTS":
      return `to remove them as well: ${commandFor(subject, "lxc-destroy")} -s`;
    case "ISLET_PERMISSION":
      return subject.caller.uid === 0 ? null : "only root may do that: sudo";
    default:
      return null;
  }
}

type Teller = Pick<Call, "session" | "options" | "tool">;

/** One line, if a person reads it. */
export function tellHint({ session, options, tool }: Teller, hint: string): void {
  if (!session.terminals[2] || options.has("quiet")) return;
  const unicode = isUtf8(session.caller.environment);
  session.write(2, `${tool}: hint: ${harmless(hint, { unicode })}\n`);
}

/** About an error that was reported. Whatever goes wrong here, the error was told: that counts. */
export async function tellHintFor(call: Subject & Teller, error: unknown): Promise<void> {
  if (!call.session.terminals[2] || call.options.has("quiet")) return;
  const hint = await hintFor(call, error).catch(() => null);
  if (hint !== null) tellHint(call, hint);
}
