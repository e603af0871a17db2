/**
 * A line of others' text (names, output of programs, last words of hooks) without what a terminal would obey or a line would end
 * at: control characters but tabs, C0, DEL and C1.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are just what is removed
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, "");
}

/**
 * The same for a record that is kept: nothing is lost, what a terminal would obey, what ends a line or turns the direction of writing is written as an
 * escape. A backslash is doubled, so that nobody's text can look like one.
 */
export function escaped(text: string): string {
  return text.replace(
    // oxlint-disable-next-line no-control-regex -- control characters are just what is escaped
    /[\\\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => {
      const short = shortEscapes[character];
      if (short !== undefined) return short;
      const hex = (character.codePointAt(0) ?? 0).toString(16);
      return hex.length > 2 ? `\\u${hex.padStart(4, "0")}` : `\\x${hex.padStart(2, "0")}`;
    },
  );
}

const shortEscapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
