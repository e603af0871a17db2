/** Reads a configuration with everything it includes into values. Pure but for the files it is given. */
import type { Fault, Source } from "../../../base/source.js";
import type { ConfigDocument, DocumentLine } from "./document.js";
import { quoted } from "./document.js";
import { parseLine, splitLines } from "./grammar.js";
import { expandHwaddr, isHwaddrTemplate, type Nibble } from "./hwaddr.js";
import { legacyRows, renameLegacy } from "./legacy.js";
import { type ConfigFiles, type Draft, newDraft, type Notice, type ParsedConfig } from "./model.js";
import { Problem } from "./scalars.js";
import { findKey, includeKey, nearestKey } from "./table.js";

export interface ParseInput {
  /** Its path, for messages. */
  readonly file: string;
  readonly text: string;
  /** Where lxc.include reads from. */
  readonly files: ConfigFiles;
  /** Random digits for hwaddr templates; without it they stay as they are (nothing is to be written back). */
  readonly nibble?: Nibble;
  /** `lxc.key = value` lines that come after the file: lxc-start -s. */
  readonly defines?: readonly string[];
  /** Directory for relative lxc.include paths: that of whoever asks. Default /. */
  readonly cwd?: string;
}

/** Files within files: more than any sane tree needs, less than what exhausts anything. */
const maxIncludeDepth = 16;
const maxIncludedFiles = 1000;

interface Replacement {
  readonly line: number;
  /** Where the line begins in the text, and where the old value stands in the line. */
  readonly start: number;
  readonly column: number;
  readonly length: number;
  readonly text: string;
}

interface Reader {
  readonly input: ParseInput;
  readonly draft: Draft;
  readonly faults: Fault[];
  readonly notices: Notice[];
  readonly expanded: string[];
  included: number;
  /** What to replace in the text of the container's own file. */
  readonly replacements: Replacement[];
}

export function parseConfig(input: ParseInput): ParsedConfig {
  // prettier-ignore
  const reader: Reader = { input, draft: newDraft(), faults: [], notices: [], expanded: [], included: 0, replacements: [] };
  const lines = readText(reader, input.file, input.text, [input.file], true);
  for (const define of input.defines ?? []) readDefine(reader, define);
  const document: ConfigDocument = { file: input.file, lines };
  const expanded = reader.expanded.map((line) => `${line}\n`).join("");
  return {
    document: reader.replacements.length === 0 ? document : { ...document, lines: replaceInLines(reader, lines) },
    values: reader.draft,
    faults: reader.faults,
    notices: reader.notices,
    expanded,
    rewritten: reader.replacements.length === 0 ? null : replaceInText(reader, input.text),
  };
}

function readText(reader: Reader, file: string, text: string, chain: readonly string[], own: boolean): DocumentLine[] {
  const document: DocumentLine[] = [];
  for (const { text: line, start, number } of splitLines(text)) {
    const parsed = parseLine(line);
    if (own && parsed.kind !== "blank") {
      document.push({ text: line, line: number, key: parsed.kind === "setting" ? parsed.key : null });
    }
    switch (parsed.kind) {
      case "blank":
      case "comment":
      case "foreign":
        break;
      case "broken":
        reader.faults.push({
          message: `Invalid configuration line: ${line.trim()}`,
          at: { file, line: number, key: "" },
          hint: "write KEY = VALUE",
        });
        break;
      case "setting": {
        const at: Source = { file, line: number, key: parsed.key };
        if (parsed.key === includeKey) {
          if (parsed.value !== "") include(reader, parsed.value, at, chain);
          break;
        }
        const used = applySetting(reader, parsed.key, parsed.value, at);
        if (own && used !== parsed.value) {
          const column = line.indexOf(parsed.value, line.indexOf("="));
          reader.replacements.push({ line: number, start, column, length: parsed.value.length, text: used });
        }
        break;
      }
      default:
        parsed satisfies never;
    }
  }
  return document;
}

/** One `key = value`. Answers the value as it was used: different where an hwaddr template was filled in. */
function applySetting(reader: Reader, key: string, value: string, at: Source): string {
  const { draft } = reader;
  let name = key;
  let found = findKey(key);
  if (found === null) {
    const renamed = renameLegacy(draft, key, value);
    if (renamed instanceof Problem) {
      reader.faults.push({ message: renamed.message, at });
      return value;
    }
    if (renamed !== null) {
      noteLegacy(reader, key, renamed.key, at);
      if (renamed.key === null) return value;
      name = renamed.key;
      found = findKey(name);
    }
  }
  if (found === null) {
    const nearest = nearestKey(name);
    const hint = nearest === null ? {} : { hint: `did you mean ${nearest}?` };
    reader.faults.push({ message: `Unsupported config key "${key}"`, at, ...hint });
    return value;
  }
  if (legacyRows.includes(found.row)) noteLegacy(reader, key, "lxc.rootfs.path", at);
  let used = value;
  if (
    reader.input.nibble !== undefined &&
    name.endsWith(".hwaddr") &&
    name.startsWith("lxc.net.") &&
    isHwaddrTemplate(value)
  ) {
    used = expandHwaddr(value, reader.input.nibble);
  }
  const problem = used === "" ? found.row.clear(draft, found.rest) : found.row.set(draft, used, at, found.rest);
  if (problem !== undefined) reader.faults.push({ message: problem.message, at });
  else reader.expanded.push(`${name} = ${quoted(used)}`);
  return used;
}

function noteLegacy(reader: Reader, oldKey: string, newKey: string | null, at: Source): void {
  const place = `${at.file}:${at.line}`;
  const message = newKey === null ? `${place}: ${oldKey} has no effect any more` : `${place}: ${oldKey} -> ${newKey}`;
  reader.notices.push({ kind: "legacy", oldKey, newKey, message, at });
}

function readDefine(reader: Reader, define: string): void {
  const parsed = parseLine(define);
  if (parsed.kind !== "setting") {
    reader.faults.push({
      message: `"${define}" is not a setting: write KEY=VALUE`,
      at: { file: "command line", line: 0, key: "" },
    });
    return;
  }
  const at: Source = { file: "command line", line: 0, key: parsed.key };
  if (parsed.key === includeKey) include(reader, parsed.value, at, [reader.input.file]);
  else applySetting(reader, parsed.key, parsed.value, at);
}

/** A file, or a directory whose *.conf files are read in the order of their names. A missing directory is fine when written with a slash. */
function include(reader: Reader, value: string, at: Source, chain: readonly string[]): void {
  const path = value.startsWith("/") ? value : `${(reader.input.cwd ?? "/").replace(/\/+$/, "")}/${value}`;
  const { files } = reader.input;
  if (!path.endsWith("/")) {
    const text = files.read(path);
    if (text !== null) {
      includeText(reader, path, text, at, chain);
      return;
    }
  }
  const names = files.list(path);
  if (names === null) {
    if (path.endsWith("/")) return;
    reader.faults.push({
      message: `the included file "${value}" cannot be read: it is missing, or not a plain file of a sane size`,
      at,
    });
    return;
  }
  const directory = path.replace(/\/+$/, "");
  for (const name of names.filter((entry) => entry.endsWith(".conf") && entry.length >= 6).sort(byBytes)) {
    const text = files.read(`${directory}/${name}`);
    if (text === null) reader.faults.push({ message: `the included file "${directory}/${name}" cannot be read`, at });
    else includeText(reader, `${directory}/${name}`, text, at, chain);
  }
}

function includeText(reader: Reader, path: string, text: string, at: Source, chain: readonly string[]): void {
  const way = [...chain, path].join(" includes ");
  if (chain.includes(path)) {
    reader.faults.push({ message: `lxc.include goes in a circle: ${way}`, at });
  } else if (chain.length > maxIncludeDepth) {
    reader.faults.push({ message: `lxc.include goes deeper than ${maxIncludeDepth} files: ${way}`, at });
  } else if (reader.included === maxIncludedFiles) {
    reader.included++;
    reader.faults.push({ message: `more than ${maxIncludedFiles} files are included`, at });
  } else if (reader.included < maxIncludedFiles) {
    reader.included++;
    readText(reader, path, text, [...chain, path], false);
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function replaceInText(reader: Reader, text: string): string {
  let out = "";
  let done = 0;
  for (const { start, column, length, text: replacement } of reader.replacements) {
    out += text.slice(done, start + column) + replacement;
    done = start + column + length;
  }
  return out + text.slice(done);
}

function replaceInLines(reader: Reader, lines: readonly DocumentLine[]): readonly DocumentLine[] {
  const byLine = new Map(reader.replacements.map((one) => [one.line, one]));
  return lines.map((line) => {
    const one = byLine.get(line.line);
    if (one === undefined) return line;
    return { ...line, text: line.text.slice(0, one.column) + one.text + line.text.slice(one.column + one.length) };
  });
}
