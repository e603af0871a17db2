import { IsletError } from "../../../../base/errors.js";
import { nearest, likelySlips } from "../../../../base/nearest.js";
import type { Command } from "../../../../engine/engine.js";
import { keyProblem, maxValue, settingKeys, volatileKeys } from "../../../../spec/settings.js";
import { type Call, jsonText, lxcCommand, outputFormat, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { harmless } from "../look.js";
import { option } from "../options.js";
import { ownOptions } from "./options.js";

/** The settings of a container beside its configuration: what its guest is told (docs/guests/settings.md). */

const keyNotes = settingKeys.map(
  ({ key, values, doc }) => `\`${key}\`${values === undefined ? "" : ` (${values})`}: ${doc}`,
);

export const setTable: CommandTable = {
  tool: "islet-set",
  synopsis: "[-P PATH] NAME KEY=VALUE...",
  description: "Changes settings of a container that its guest is told of, whether it runs or not.",
  options: ownOptions,
  operands: "any",
  named: true,
  notes: [
    "`KEY=@FILE` takes what is in FILE, `KEY=-` the standard input, byte for byte. All are set, or none.",
    ...keyNotes,
    "Exit status: 0; 1 nothing was changed, or the guest's API could not be taken out of its sight or put back.",
  ],
};

export const getTable: CommandTable = {
  tool: "islet-get",
  synopsis: "[-P PATH] NAME KEY",
  description: "Prints a setting of a container.",
  options: ownOptions,
  operands: "any",
  named: true,
  notes: [
    "The value is printed as it is, with a line end if it has none. `islet settings` shows all of them.",
    ...volatileKeys.map(({ key, doc }) => `\`${key}\` (islet's own): ${doc}`),
    "Exit status: 0; 1 there is no such setting.",
  ],
};

export const unsetTable: CommandTable = {
  tool: "islet-unset",
  synopsis: "[-P PATH] NAME KEY...",
  description: "Takes settings of a container away.",
  options: ownOptions,
  operands: "any",
  named: true,
  notes: ["What is not set is no failure.", "Exit status: 0; 1 nothing was changed."],
};

export const settingsTable: CommandTable = {
  tool: "islet-settings",
  synopsis: "[--format=text|json] [-P PATH] NAME",
  description: "Shows the settings of a container.",
  options: [
    option("format", "text (default) or json, an object", { argument: "FORMAT", words: ["text", "json"] }),
    ...ownOptions,
  ],
  operands: "any",
  named: true,
  notes: ["As text, a value of several lines has them indented below its key."],
};

/** `-` or `@FILE`. The client reads it: what it reads from may block, and may be its own alone. */
async function contentOf(call: Call, given: string): Promise<string> {
  const { engine, session, caller } = call;
  const path = given === "-" ? null : given.slice(1);
  const what = path === null ? "the standard input" : harmless(path, { unicode: true });
  const made = await engine.hostOutput(path === null ? ["cat"] : ["cat", "--", path], caller, null);
  const finished = session.run(made.task);
  finished.catch(() => undefined);
  made.handedOver();
  const parts: Uint8Array[] = [];
  let size = 0;
  const read = async (): Promise<void> => {
    for await (const part of made.output) {
      size += part.length;
      if (size <= maxValue) parts.push(part);
    }
  };
  await Promise.race([read(), session.gone]);
  const status = await finished;
  if (status !== 0) throw new IsletError("ISLET_IO", `cannot read ${what}`);
  if (size > maxValue)
    throw new IsletError("ISLET_BAD_REQUEST", `${what} has more than ${maxValue} bytes, which no setting may have`);
  return decode(Buffer.concat(parts), what);
}

function decode(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new IsletError("ISLET_BAD_REQUEST", `${what} is no UTF-8 text`, { cause });
  }
}

async function apply(call: Call, changes: Readonly<Record<string, string | null>>): Promise<number> {
  const task = await call.engine.changeSettings(call.id, changes);
  if (task === null) return 0;
  const result = call.session.run(task.task);
  task.handedOver();
  await result;
  return 0;
}

async function setBody(call: Call): Promise<number> {
  if (call.operands.length === 0) throw new UsageError("give KEY=VALUE");
  const changes: Record<string, string> = {};
  for (const word of call.operands) {
    const at = word.indexOf("=");
    if (at < 0)
      throw new UsageError(`"${harmless(word, { unicode: true })}" is not KEY=VALUE; islet unset takes a key away`);
    const key = word.slice(0, at);
    const given = word.slice(at + 1);
    // Before a file is looked for.
    const problem = keyProblem(key);
    if (problem !== null) throw new IsletError("ISLET_BAD_REQUEST", problem);
    changes[key] = given === "-" || given.startsWith("@") ? await contentOf(call, given) : given;
  }
  return await apply(call, changes);
}

async function unsetBody(call: Call): Promise<number> {
  if (call.operands.length === 0) throw new UsageError("give a KEY");
  return await apply(call, Object.fromEntries(call.operands.map((key) => [key, null])));
}

async function getBody(call: Call): Promise<number> {
  const { operands, report, session } = call;
  const [key] = operands;
  if (key === undefined || operands.length > 1) throw new UsageError("give one KEY");
  const all = await call.engine.settings(call.id);
  const value = Object.hasOwn(all, key) ? all[key] : undefined;
  if (value === undefined) {
    const meant = nearest(key, Object.keys(all), likelySlips(key));
    report.error(`${harmless(key, { unicode: true })} is not set${meant === null ? "" : `; ${meant} is`}`);
    return 1;
  }
  session.write(1, value.endsWith("\n") ? value : `${value}\n`);
  return 0;
}

async function settingsBody(call: Call): Promise<number> {
  const { options, session } = call;
  if (call.operands.length > 0) throw new UsageError("give one NAME");
  const format = outputFormat(options);
  const all = await call.engine.settings(call.id);
  if (format === "json") session.write(1, jsonText(all));
  else
    session.write(
      1,
      Object.entries(all)
        .map(([key, value]) => settingText(key, value))
        .join(""),
    );
  return 0;
}

function settingText(key: string, value: string): string {
  const lines = value
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => harmless(line, { unicode: true }));
  const [only = ""] = lines;
  return lines.length === 1 ? `${key}: ${only}\n` : `${key}:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

export const set: Command = lxcCommand(setTable, setBody, { isOwn: true });
export const get: Command = lxcCommand(getTable, getBody, { isOwn: true });
export const unset: Command = lxcCommand(unsetTable, unsetBody, { isOwn: true });
export const settings: Command = lxcCommand(settingsTable, settingsBody, { isOwn: true });
