/** Does a pattern with "*" (any text, slashes, too) and "?" (one letter) match all of a text? Takes at most pattern times text steps. */
export function matchesWildcard(pattern: string, text: string): boolean {
  let at = 0;
  let next = 0;
  /** Where the last "*" is, and up to where of the text it has eaten. */
  let star = -1;
  let eaten = 0;
  while (at < text.length) {
    const letter = pattern[next];
    if (letter === "*") {
      star = next;
      eaten = at;
      next += 1;
    } else if (next < pattern.length && (letter === "?" || letter === text[at])) {
      at += 1;
      next += 1;
    } else if (star >= 0) {
      eaten += 1;
      at = eaten;
      next = star + 1;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(next));
}
