/** Mount entries: lines of fstab(5) with LXC's own options. */
import type { Source } from "../../../base/source.js";
import type { MountEntry, MountOptions } from "../../../spec/mount.js";
import { parseMountOptions, showMountOptions } from "../../../spec/mount-options.js";
import { splitLines, splitWords, trimBlanks } from "./grammar.js";

/** `\040` and its like: how fstab writes blanks, tabs, line ends, backslashes and `#`. */
function decodeField(field: string): string {
  return field.includes("\\")
    ? field.replace(/\\(040|011|012|134|043|\\)/g, (_, code: string) =>
        code === "\\" ? "\\" : String.fromCharCode(Number.parseInt(code, 8)),
      )
    : field;
}

function encodeField(field: string): string {
  return field.replace(/[ \t\n\\#]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

export interface ParsedMount {
  readonly source: string;
  /** As written: relative, or a path of the host. */
  readonly target: string;
  readonly fstype: string;
  readonly options: MountOptions;
  readonly optional: boolean;
  readonly create: "dir" | "file" | null;
  readonly sourceInContainer: boolean;
  readonly idmap: MountEntry["idmap"];
  /** Options nobody knows how to do: create=link. */
  readonly problem: string | null;
}

/** One line; null for one that says nothing (blank, comment). A text answer is what is wrong. */
export function parseMountLine(line: string): ParsedMount | string | null {
  const text = trimBlanks(line);
  if (text === "" || text.startsWith("#")) return null;
  const [source, target, fstype, options = "defaults"] = splitWords(text).map(decodeField);
  if (source === undefined || target === undefined)
    return `"${text}" is not a mount: write SOURCE TARGET TYPE OPTIONS 0 0`;
  return { source, target, fstype: fstype ?? "none", ...parseOptions(options) };
}

type OptionPart = Pick<ParsedMount, "options" | "optional" | "create" | "sourceInContainer" | "idmap" | "problem">;

function parseOptions(text: string): OptionPart {
  let optional = false;
  let sourceInContainer = false;
  let create: "dir" | "file" | null = null;
  let idmap: MountEntry["idmap"] = null;
  let problem: string | null = null;
  const rest: string[] = [];
  for (const word of text.split(",")) {
    if (word === "optional" || word === "nofail") optional = true;
    else if (word === "relative") sourceInContainer = true;
    else if (word === "create=dir") create = "dir";
    else if (word === "create=file") create = "file";
    else if (word.startsWith("create=")) problem = `"${word}" is unknown: write create=dir or create=file`;
    else if (word.startsWith("idmap=")) {
      const value = word.slice(6);
      if (value === "container") idmap = "container";
      else if (value.startsWith("/")) idmap = { userns: value };
      else problem = `"${word}" is unknown: write idmap=container or idmap=/path/to/a/user/namespace`;
    } else rest.push(word);
  }
  return { options: parseMountOptions(rest), optional, create, sourceInContainer, idmap, problem };
}

/** An entry as a line that is read back as the same. */
export function showMountEntry(entry: MountEntry): string {
  const words = [...showMountOptions(entry.options)];
  if (entry.optional) words.push("optional");
  if (entry.sourceInContainer) words.push("relative");
  if (entry.create !== null) words.push(`create=${entry.create}`);
  if (entry.idmap !== null) words.push(`idmap=${entry.idmap === "container" ? "container" : entry.idmap.userns}`);
  const options = words.length === 0 ? "defaults" : words.join(",");
  const target = entry.target === "" ? "." : entry.target;
  return [entry.source, target, entry.fstype, options].map(encodeField).join(" ") + " 0 0";
}

/** The lines of an fstab file with their places. */
export function fstabLines(file: string, text: string): readonly { readonly text: string; readonly at: Source }[] {
  return splitLines(text).map((line) => ({ text: line.text, at: { file, line: line.number, key: "lxc.mount.fstab" } }));
}
