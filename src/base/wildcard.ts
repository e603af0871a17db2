/** One letter of a pattern, as a test; null: any text, slashes, too. */
export type WildcardPart = ((letter: string) => boolean) | null;

/** Does a pattern match all of a text, letter by letter? Linear but for the last null, to which it goes back: no pattern takes long. */
export function matchesParts(parts: readonly WildcardPart[], text: ArrayLike<string>): boolean {
  let at = 0;
  let part = 0;
  /** Where the last null is, and up to where of the text it has eaten. */
  let star = -1;
  let eaten = 0;
  while (at < text.length) {
    const current = parts[part];
    if (current === null) {
      star = part;
      eaten = at;
      part += 1;
    } else if (current?.(text[at] ?? "") === true) {
      part += 1;
      at += 1;
    } else if (star >= 0) {
      part = star + 1;
      eaten += 1;
      at = eaten;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest === null);
}

/** The same for patterns with "*" and "?" (one letter) alone. */
export function matchesWildcard(pattern: string, text: string): boolean {
  const parts = pattern
    .split("")
    .map((letter): WildcardPart => (letter === "*" ? null : (other) => letter === "?" || letter === other));
  return matchesParts(parts, text);
}
