/** Lines and values of lxc.container.conf, before any key means something. */

export interface RawLine {
  readonly text: string;
  /** Index of its first character in the whole text. */
  readonly start: number;
  /** As an editor counts: CR LF is one line end. */
  readonly number: number;
}

/** Split at LF, CR or CR LF. Lines without anything in them are left out. */
export function splitLines(text: string): readonly RawLine[] {
  const out: RawLine[] = [];
  const length = text.length;
  let start = 0;
  let number = 1;
  for (let i = 0; i <= length; i++) {
    const char = i === length ? 10 : text.charCodeAt(i);
    if (char !== 10 && char !== 13) continue;
    if (i > start) out.push({ text: text.slice(start, i), start, number });
    if (char === 13 && text.charCodeAt(i + 1) === 10) i++;
    start = i + 1;
    number++;
  }
  return out;
}

export type ParsedLine =
  | { readonly kind: "blank" }
  | { readonly kind: "comment" }
  /** Not ours: LXC accepts and ignores what does not begin with `lxc.`, islet what does not begin with `islet.` either. */
  | { readonly kind: "foreign" }
  /** Begins with `lxc.` or `islet.` and has no `=`. */
  | { readonly kind: "broken" }
  | { readonly kind: "setting"; readonly key: string; readonly value: string };

/** Space, tab, vertical tab, form feed. */
function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 11 || code === 12;
}

/** Without blanks at both ends. By hand, since every line of every start comes through here. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

export function parseLine(line: string): ParsedLine {
  const text = trimBlanks(line);
  if (text === "") return { kind: "blank" };
  if (text.startsWith("#")) return { kind: "comment" };
  if (!text.startsWith("lxc.") && !text.startsWith("islet.")) return { kind: "foreign" };
  const equals = text.indexOf("=");
  if (equals < 0) return { kind: "broken" };
  return {
    kind: "setting",
    key: trimBlanks(text.slice(0, equals)),
    value: unquote(trimBlanks(text.slice(equals + 1))),
  };
}

/** Without one matching pair of surrounding quotes. */
function unquote(value: string): string {
  const first = value.charAt(0);
  if (value.length < 2 || (first !== '"' && first !== "'") || !value.endsWith(first)) return value;
  return value.slice(1, -1);
}

/** `lxc.net.0.type` is under `lxc.net`, `lxc.network` is not. */
export function isUnderKey(key: string, parent: string): boolean {
  return key.length > parent.length && key.startsWith(parent) && key.charAt(parent.length) === ".";
}

/** Words between blanks. */
export function splitWords(value: string): readonly string[] {
  const words: string[] = [];
  let start = -1;
  for (let i = 0; i <= value.length; i++) {
    const code = i === value.length ? 32 : value.charCodeAt(i);
    if (code === 32 || code === 9) {
      if (start >= 0) words.push(value.slice(start, i));
      start = -1;
    } else if (start < 0) start = i;
  }
  return words;
}

/** A path as LXC stores it: `//` and `/./` collapsed, no slash at the end; `..` is left alone. */
export function normalisePath(path: string): string {
  if (!/\/\/|\/\.|\/$|^\./.test(path)) return path;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/")) return `/${parts.join("/")}`;
  return parts.length === 0 ? "." : parts.join("/");
}
