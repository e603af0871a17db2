import { matchesParts, type WildcardPart } from "../../../../base/wildcard.js";

/** Whether a name matches one of the patterns, as glob(7) has them; without any, every name does. */
export function globs(patterns: readonly string[]): (name: string) => boolean {
  const parsed = patterns.map(parse);
  return (name) => parsed.length === 0 || parsed.some((pattern) => matchesParts(pattern, Array.from(name)));
}

function parse(pattern: string): readonly WildcardPart[] {
  const chars = Array.from(pattern);
  const parts: WildcardPart[] = [];
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] ?? "";
    if (char === "*") parts.push(null);
    else if (char === "?") parts.push(() => true);
    else if (char === "[") {
      // A ] right behind the opening stands for itself; without an end, the [ does.
      const isNot = chars[at + 1] === "!" || chars[at + 1] === "^";
      const begin = at + (isNot ? 2 : 1);
      const end = chars.indexOf("]", begin + 1);
      if (end < 0) parts.push((other) => other === "[");
      else {
        parts.push(oneOf(chars.slice(begin, end), isNot));
        at = end;
      }
    } else if (char === "\\" && at + 1 < chars.length) {
      at += 1;
      const literal = chars[at] ?? "";
      parts.push((other) => other === literal);
    } else parts.push((other) => other === char);
  }
  return parts;
}

function oneOf(set: readonly string[], isNot: boolean): (char: string) => boolean {
  return (char) => {
    let found = false;
    for (let at = 0; at < set.length; at += 1) {
      const low = set[at] ?? "";
      const isRange = set[at + 1] === "-" && at + 2 < set.length;
      const high = isRange ? (set[at + 2] ?? "") : low;
      if (isRange) at += 2;
      found ||= low <= char && char <= high;
    }
    return found !== isNot;
  };
}
