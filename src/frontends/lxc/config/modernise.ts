/** A configuration of LXC 0.7 to 2.0 in today's words, line by line: what lxc-update-config does. */
import type { Fault } from "../../../base/source.js";
import { parseLine, type RawLine, splitLines } from "./grammar.js";
import { splitRootfsPath } from "./keys-mount.js";
import { legacyNames } from "./legacy.js";
import type { ParsedConfig } from "./model.js";
import { parseConfig, type ParseInput } from "./parse.js";

export type Modernised =
  /** `parsed`: what it was before. */
  | { readonly kind: "done"; readonly text: string; readonly isChanged: boolean; readonly parsed: ParsedConfig }
  /** Lines of which nobody can tell what they mean today. */
  | { readonly kind: "unclear"; readonly faults: readonly Fault[] };

/** In front of a path without a type: what lxc.rootfs.backend says, else a directory; a device is found out at the start. */
function rootfsValue(value: string, backend: string | null): string {
  const isTyped = splitRootfsPath(value).type !== null;
  if (value === "" || isTyped) return value;
  if (backend !== null) return `${backend}:${value}`;
  return value.startsWith("/dev/") ? value : `dir:${value}`;
}

/** The line under another key, blanks and all. */
function renamed(line: string, oldKey: string, newKey: string, backend: string | null): string {
  const at = line.indexOf(oldKey);
  const head = line.slice(0, at) + newKey;
  const rest = line.slice(at + oldKey.length);
  if (oldKey !== "lxc.rootfs") return head + rest;
  const parts = /^([^=]*=\s*["']?)(.*)$/s.exec(rest);
  return parts === null ? head + rest : head + (parts[1] ?? "") + rootfsValue(parts[2] ?? "", backend);
}

/** A setting that was commented out: its new name, where that does not depend on other lines. */
function newCommentKey(key: string): string | null {
  if (key.startsWith("lxc.limit.")) return `lxc.prlimit.${key.slice(10)}`;
  return (Object.hasOwn(legacyNames, key) ? legacyNames[key] : undefined) ?? null;
}

const comment = /^[ \t]*#[# \t]*(lxc\.[\w.-]+)[ \t]*=/;

/**
 * Every line with an old key gets today's; lines without effect go. The reader itself says what a line means, so network devices are numbered
 * as it numbers them, those of included files considered. Values are left as they are, faulty ones too.
 */
export function moderniseConfig(input: ParseInput): Modernised {
  const { text, file } = input;
  const parsed = parseConfig(input);
  const newKeys = new Map<number, string | null>();
  for (const notice of parsed.notices)
    if (notice.kind === "legacy" && notice.at.file === file) newKeys.set(notice.at.line, notice.newKey);
  const backend = parsed.values.rootfsBackend?.value ?? null;

  const faults: Fault[] = [];
  /** null: the line goes. */
  const lineNow = ({ text: line, number }: RawLine): string | null => {
    const old = parseLine(line);
    if (old.kind === "comment") {
      const key = comment.exec(line)?.[1];
      const newKey = key === undefined ? null : newCommentKey(key);
      return key === undefined || newKey === null ? line : renamed(line, key, newKey, backend);
    }
    if (old.kind !== "setting") return line;
    const newKey = newKeys.get(number);
    if (newKey === undefined) {
      if (old.key.startsWith("lxc.network."))
        faults.push(...parsed.faults.filter((fault) => fault.at?.file === file && fault.at.line === number));
      return line;
    }
    return newKey === null || old.key === "lxc.rootfs.backend" ? null : renamed(line, old.key, newKey, backend);
  };

  let out = "";
  let done = 0;
  for (const line of splitLines(text)) {
    const now = lineNow(line);
    const end = line.start + line.text.length;
    out += text.slice(done, line.start) + (now ?? "");
    done = now === null ? end + (/^(\r\n|\r|\n)?/.exec(text.slice(end, end + 2))?.[0].length ?? 0) : end;
  }
  out += text.slice(done);
  return faults.length > 0 ? { kind: "unclear", faults } : { kind: "done", text: out, isChanged: out !== text, parsed };
}
