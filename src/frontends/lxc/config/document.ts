/** The raw document: the lines of the container's own file, for reading back and saving (comments kept, includes unexpanded). */
import { isUnderKey, parseLine, splitLines } from "./grammar.js";

export interface DocumentLine {
  /** As it stands in the file, without its line end. */
  readonly text: string;
  /** Counted from 1; 0 for a line that was added. */
  readonly line: number;
  /** null for comments and foreign lines. */
  readonly key: string | null;
}

export interface ConfigDocument {
  readonly file: string;
  /** Without blank lines: LXC does not keep them. */
  readonly lines: readonly DocumentLine[];
}

export function parseDocument(file: string, text: string): ConfigDocument {
  const lines: DocumentLine[] = [];
  for (const { text: line, number } of splitLines(text)) {
    const parsed = parseLine(line);
    if (parsed.kind !== "blank")
      lines.push({ text: line, line: number, key: parsed.kind === "setting" ? parsed.key : null });
  }
  return { file, lines };
}

/** The text to save: comments kept, blank lines gone, a line end after each line. */
export function documentText(document: ConfigDocument): string {
  return document.lines.map((line) => `${line.text}\n`).join("");
}

/** `key = value` at the end, as lxc-copy and the API add settings. */
export function appendKey(document: ConfigDocument, key: string, value: string): ConfigDocument {
  return { ...document, lines: [...document.lines, { text: `${key} = ${quoted(value)}`, line: 0, key }] };
}

/**
 * Without the lines of `key`. lxc.net, lxc.net.N, lxc.hook, lxc.cgroup and lxc.cgroup2 take everything below them along (config-keys.md
 * 1.4), and so do the old names of the same things.
 */
export function removeKey(document: ConfigDocument, key: string): ConfigDocument {
  const whole =
    /^lxc\.(net|network|hook|cgroup|cgroup2|prlimit|sysctl|proc|environment)$|^lxc\.net(work)?\.[0-9]+$/.test(key);
  const keep = (line: DocumentLine): boolean =>
    line.key === null || !(line.key === key || (whole && isUnderKey(line.key, key)));
  return { ...document, lines: document.lines.filter(keep) };
}

/** `key` with exactly this value: lines that gave it are removed, one is added at the end. */
export function setKey(document: ConfigDocument, key: string, value: string): ConfigDocument {
  return appendKey(removeKey(document, key), key, value);
}

/** The value so that it is read back as it is: blanks at its ends and a pair of quotes around it need quotes of their own. */
export function quoted(value: string): string {
  return value === value.trim() && !/^(["']).*\1$/s.test(value) ? value : `"${value}"`;
}
