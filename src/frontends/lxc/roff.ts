/** Man pages as roff source with the macros of man(7). Everything that comes in as text is escaped: a table cannot make a request. */

const special: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
  '"': "\\(dq",
};

/** groff_char(7): as \[uXXXX], since not every formatter is told how its input is encoded. */
const codePoint = (char: string): string =>
  `\\[u${(char.codePointAt(0) ?? 0xfffd).toString(16).toUpperCase().padStart(4, "0")}]`;

/**
 * Plain text that comes out as it is, typed on one line. All hyphens are minus signs, so that what is copied from a page can be
 * run; control characters become blanks.
 */
export function escape(text: string): string {
  const out = text
    .replace(/\p{Cc}+/gu, " ")
    .replace(/[\\\-'`^~"]/g, (char) => special[char] ?? char)
    .replace(/[^\x20-\x7e]/gu, codePoint);
  // A line that begins with a control character is a request: the zero-width \& is none.
  return /^[.']/.test(out) ? `\\&${out}` : out;
}

export const bold = (text: string): string => (text === "" ? "" : `\\fB${escape(text)}\\fR`);
export const italic = (text: string): string => (text === "" ? "" : `\\fI${escape(text)}\\fR`);

/** A line made of parts that are escaped already. */
export const line = (...parts: readonly string[]): string => {
  const joined = parts.join("");
  return /^[.']/.test(joined) ? `\\&${joined}` : joined;
};

/** The first line of a page. Without a date: a page changes when its text does. */
export function title(name: string, section: number, release: string): string {
  return `.TH "${escape(name.toUpperCase())}" "${section}" "" "${escape(release)}" "islet"`;
}

export const heading = (text: string): string => `.SH "${escape(text.toUpperCase())}"`;

/** Text with `code` and **strong** of Markdown, both bold. */
export function inline(text: string): string {
  return line(
    ...text
      .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
      .map((part, index) => (index % 2 === 0 ? escapeInside(part) : bold(part.replace(/^(`|\*\*)|(`|\*\*)$/g, "")))),
  );
}

// In the middle of a line nothing is a request.
const escapeInside = (text: string): string => escape(text).replace(/^\\&(?=\.)/, "");

/** Words of a usage line: options bold, names of arguments italic. */
export function usage(text: string): string {
  return line(
    ...text
      .split(/(--?[a-zA-Z0-9?][-a-zA-Z0-9]*|\b[A-Z][A-Z_]*\b)/)
      .map((part, index) => (index % 2 === 0 ? escapeInside(part) : part.startsWith("-") ? bold(part) : italic(part))),
  );
}

/** A paragraph with a mark or a name in front: .TP of man(7). `tag` is escaped already. */
export const tagged = (tag: string, body: string): readonly string[] => [".TP", tag, body];

/** Of Markdown what our pages' running text uses: second-level headings, one-line items, paragraphs, comments (left out). */
export function fromMarkdown(text: string): readonly string[] {
  const out: string[] = [];
  let open = false;
  for (const row of text.split("\n")) {
    if (row === "" || row.startsWith("# ") || row.startsWith("<!--")) {
      open = false;
    } else if (row.startsWith("## ")) {
      out.push(heading(row.slice(3)));
      open = false;
    } else if (row.startsWith("- ")) {
      out.push('.IP "\\(bu" 2', inline(row.slice(2)));
      open = true;
    } else {
      if (!open && out.at(-1)?.startsWith(".SH") === false) out.push(".PP");
      out.push(inline(row.trim()));
      open = true;
    }
  }
  return out;
}

/** The whole page: a comment that says where it comes from, and the lines. */
export function page(origin: string, lines: readonly string[]): string {
  return `${[`.\\" Made by node scripts/docs.mjs from ${origin}; change it there.`, ...lines].join("\n")}\n`;
}
