/** Whether a name matches one of the patterns, as glob(7) has them; without any, every name does. */
export function globs(patterns: readonly string[]): (name: string) => boolean {
  const parsed = patterns.map(parse);
  return (name) => parsed.length === 0 || parsed.some((pattern) => matches(pattern, Array.from(name)));
}

/** `null` stands for `*`. */
type Part = ((char: string) => boolean) | null;

function parse(pattern: string): readonly Part[] {
  const chars = Array.from(pattern);
  const parts: Part[] = [];
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

/** Linear but for the last star, to which it goes back: no pattern takes long. */
function matches(parts: readonly Part[], name: readonly string[]): boolean {
  let at = 0;
  let part = 0;
  let star = -1;
  let mark = 0;
  while (at < name.length) {
    const current = parts[part];
    if (current === null) {
      star = part;
      mark = at;
      part += 1;
    } else if (current !== undefined && current(name[at] ?? "")) {
      part += 1;
      at += 1;
    } else if (star >= 0) {
      part = star + 1;
      mark += 1;
      at = mark;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest === null);
}
