/** lxc.init.cmd and lxc.execute.cmd: words with quotes, no other shell syntax. */

/** Words between blanks; single and double quotes keep blanks, also in the middle of a word. null: a quote is not closed. */
export function splitCommand(text: string): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = "";
  for (const char of text) {
    if (quote !== "") {
      if (char === quote) quote = "";
      else word = (word ?? "") + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= "";
    } else if (char === " " || char === "\t") {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + char;
  }
  if (quote !== "") return null;
  return word === null ? words : [...words, word];
}

/** A text that splitCommand takes apart into the same words. */
export function joinCommand(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  if (word !== "" && !/[ \t"']/.test(word)) return word;
  if (!word.includes('"')) return `"${word}"`;
  return word
    .split('"')
    .map((part) => (part === "" ? "" : `"${part}"`))
    .join(`'"'`);
}
