/** lxc.init.cmd and lxc.execute.cmd: words with quotes, no other shell syntax (lxc_string_split_quoted of LXC 6). */

/**
 * Words between blanks. A quote at the beginning of a word keeps everything up to its pair together; elsewhere it is a character like any
 * other. null: a quote is not closed.
 */
export function splitCommand(text: string): readonly string[] | null {
  const words: string[] = [];
  let rest = text;
  for (;;) {
    rest = rest.replace(/^[ \t\v\f]+/, "");
    const quote = rest.charAt(0);
    if (quote === "") return words;
    const quoted = quote === '"' || quote === "'";
    const end = quoted ? rest.indexOf(quote, 1) : rest.search(/[ \t\v\f]|$/);
    if (end < 0) return null;
    words.push(quoted ? rest.slice(1, end) : rest.slice(0, end));
    rest = rest.slice(quoted ? end + 1 : end);
  }
}

/** A text that splitCommand takes apart into the same words; null where a word needs both kinds of quotes. */
export function joinCommand(words: readonly string[]): string | null {
  const quoted = words.map(quoteWord);
  return quoted.includes(null) ? null : quoted.join(" ");
}

function quoteWord(word: string): string | null {
  if (word !== "" && !/[ \t\v\f]|^["']/.test(word)) return word;
  if (!word.includes('"')) return `"${word}"`;
  return word.includes("'") ? null : `'${word}'`;
}
