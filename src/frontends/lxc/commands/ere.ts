/**
 * POSIX extended regular expressions (regex(7)), as glibc's regcomp(3) takes them, as regular expressions of JavaScript, for names of
 * containers (C locale, single line). Differences that matter are translated: bracket expressions with classes, `\` inside brackets, a `*`
 * or `{` that repeats nothing (an error), escapes that only JavaScript knows. Back-references are no part of ERE, and leftmost-longest
 * differs only in what is matched, not in whether.
 */

/** RE_DUP_MAX of glibc. */
const mostRepeats = 32767;

const classes: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  blank: " \\t",
  cntrl: "\\x00-\\x1f\\x7f",
  digit: "0-9",
  graph: "\\x21-\\x7e",
  lower: "a-z",
  print: "\\x20-\\x7e",
  punct: "\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e",
  space: "\\s",
  upper: "A-Z",
  xdigit: "0-9A-Fa-f",
};

interface Piece {
  readonly text: string;
  /** Index behind it. */
  readonly next: number;
}

const escaped = (character: string): string => (/[\\^$.*+?()[\]{}|/-]/.test(character) ? `\\${character}` : character);

/** The bracket expression whose `[` is at `start`; null: it does not end. */
function bracket(source: string, start: number): Piece | null {
  let at = start + 1;
  let body = "";
  const negated = source[at] === "^";
  if (negated) at += 1;
  const first = at;
  while (at < source.length) {
    const character = source.charAt(at);
    if (character === "]" && at > first) return { text: `[${negated ? "^" : ""}${body}]`, next: at + 1 };
    if (character === "[" && /[:.=]/.test(source.charAt(at + 1))) {
      const kind = source.charAt(at + 1);
      const end = source.indexOf(`${kind}]`, at + 2);
      if (end < 0) return null;
      const inner = source.slice(at + 2, end);
      if (kind === ":") {
        const members = classes[inner];
        if (members === undefined) return null;
        body += members;
      } else {
        if (inner.length !== 1) return null;
        body += escaped(inner);
      }
      at = end + 2;
      continue;
    }
    const isRange = source.charAt(at + 1) === "-" && at + 2 < source.length && source.charAt(at + 2) !== "]";
    if (isRange) {
      const last = source.charAt(at + 2);
      if (last === "[" || last < character) return null;
      body += `${escaped(character)}-${escaped(last)}`;
      at += 3;
    } else {
      body += escaped(character);
      at += 1;
    }
  }
  return null;
}

/** The expression, or null where regcomp(3) would refuse it. */
export function compileEre(source: string): RegExp | null {
  /** One list of atoms for every group that is open; a quantifier wraps the last atom. */
  const open: string[][] = [[]];
  let at = 0;
  while (at < source.length) {
    const atoms = open.at(-1);
    if (atoms === undefined) return null;
    const character = source.charAt(at);
    const last = atoms.at(-1);
    const repeatable = last !== undefined && last !== "|" && last !== "^" && last !== "$";
    at += 1;
    switch (character) {
      case "[": {
        const piece = bracket(source, at - 1);
        if (piece === null) return null;
        atoms.push(piece.text);
        at = piece.next;
        break;
      }
      case "\\": {
        const next = source[at];
        if (next === undefined) return null;
        atoms.push(escaped(next));
        at += 1;
        break;
      }
      case "*":
      case "+":
      case "?":
        if (!repeatable) return null;
        atoms[atoms.length - 1] = `(?:${last})${character}`;
        break;
      case "{": {
        const interval = /^(?=[\d,])(\d{0,5})(?:(,)(\d{0,5}))?\}/.exec(source.slice(at));
        if (interval === null || !repeatable) return null;
        const [whole, low = "", comma = "", high = ""] = interval;
        if (high !== "" && Number(high) < Number(low)) return null;
        if (Math.max(Number(low), Number(high)) > mostRepeats) return null;
        atoms[atoms.length - 1] = `(?:${last}){${Number(low)}${comma}${high}}`;
        at += whole.length;
        break;
      }
      case "(":
        open.push([]);
        break;
      case ")":
        if (open.length === 1) atoms.push("\\)");
        else {
          open.pop();
          open.at(-1)?.push(`(?:${atoms.join("")})`);
        }
        break;
      case "|":
      case "^":
      case "$":
      case ".":
        atoms.push(character);
        break;
      default:
        atoms.push(escaped(character));
        break;
    }
  }
  if (open.length > 1) return null;
  try {
    return new RegExp((open[0] ?? []).join(""));
  } catch {
    return null;
  }
}
