/**
 * Where a text stops being well formed, and why, in the words of libxml2, which are what libvirt's clients show. It is asked only after the parser has refused
 * a text: that decides, this explains. Positions are those at which libxml2 notices.
 */
export interface FormFault {
  readonly reason: string;
  /** UTF-16 units from the start; the line there, from 1. */
  readonly position: number;
  readonly line: number;
}

/** Elements within elements that libxml2 still takes. */
export const mostOpen = 256;

const nameStart = "[\\p{L}_:]";
const name = new RegExp(`${nameStart}[\\p{L}\\p{N}\\p{M}._:\\u00b7-]*`, "uy");
const blanks = /[ \t\n\r]*/y;
const control = /[^\P{Cc}\t\n\r\u007f-\u009f]/u;

/** What the walk stops with. */
class Stop extends Error {
  readonly position: number;
  constructor(reason: string, position: number) {
    super(reason);
    this.position = position;
  }
}

interface Walk {
  readonly text: string;
  /** Names of entities that the document declares. */
  readonly entities: ReadonlySet<string>;
  position: number;
  /** Lines up to a position that was asked before: positions only grow, so no part of a text is counted twice. */
  counted: { readonly position: number; readonly line: number };
}

const predefined = ["lt", "gt", "amp", "apos", "quot"];

/** null: nothing found. */
export function formFault(text: string, declared: Iterable<string> = []): FormFault | null {
  const entities = new Set([...predefined, ...declared]);
  const walk: Walk = { text, entities, position: 0, counted: { position: 0, line: 1 } };
  try {
    document(walk);
    return null;
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    return { reason: error.message, position: error.position, line: lineOf(walk, error.position) };
  }
}

function lineOf(walk: Walk, position: number): number {
  let { line } = walk.counted;
  for (let end = walk.text.indexOf("\n", walk.counted.position); end >= 0 && end < position;) {
    line += 1;
    end = walk.text.indexOf("\n", end + 1);
  }
  walk.counted = { position: Math.max(position, walk.counted.position), line };
  return line;
}

function match(walk: Walk, pattern: RegExp): string {
  pattern.lastIndex = walk.position;
  const [found = ""] = pattern.exec(walk.text) ?? [];
  walk.position += found.length;
  return found;
}

function at(walk: Walk, literal: string): boolean {
  return walk.text.startsWith(literal, walk.position);
}

function document(walk: Walk): void {
  if (walk.text === "") throw new Stop("Document is empty", 0);
  if (at(walk, "\ufeff")) walk.position = 1;
  if (/^\ufeff?<\?xml[ \t\n\r]/.test(walk.text)) {
    const end = walk.text.indexOf("?>");
    if (end < 0) throw new Stop("parsing XML declaration: '?>' expected", 5);
    walk.position = end + 2;
  }
  around(walk, true);
  if (!at(walk, "<")) throw new Stop("Start tag expected, '<' not found", walk.position);
  const open: { readonly name: string; readonly line: number }[] = [];
  do {
    if (open.length > 0) characters(walk);
    step(walk, open);
  } while (open.length > 0);
  around(walk, false);
  if (walk.position < walk.text.length) throw new Stop("Extra content at the end of the document", walk.position);
}

/** Comments, instructions and a document type outside of the root. */
function around(walk: Walk, before: boolean): void {
  for (;;) {
    match(walk, blanks);
    if (at(walk, "<!--")) comment(walk);
    else if (at(walk, "<?")) instruction(walk);
    else if (before && at(walk, "<!DOCTYPE")) documentType(walk);
    else return;
  }
}

const typePiece = /"[^"]*"|'[^']*'|[^]/y;

function documentType(walk: Walk): void {
  let depth = 0;
  while (walk.position < walk.text.length) {
    if (at(walk, "<!--")) {
      comment(walk);
      continue;
    }
    const piece = match(walk, typePiece);
    if (piece === "[" || piece === "<") depth += 1;
    if (piece === "]" || piece === ">") depth -= 1;
    if (depth === 0) return;
  }
  throw new Stop("DOCTYPE improperly terminated", walk.position);
}

/** One piece of markup. */
function step(walk: Walk, open: { readonly name: string; readonly line: number }[]): void {
  const last = open.at(-1);
  if (last !== undefined) {
    if (walk.position >= walk.text.length)
      throw new Stop(`Premature end of data in tag ${last.name} line ${last.line}`, walk.position);
    if (at(walk, "</")) return endTag(walk, open, last);
    if (at(walk, "<!--")) return comment(walk);
    if (at(walk, "<?")) return instruction(walk);
    if (at(walk, "<![CDATA[")) return section(walk);
  }
  if (open.length > mostOpen)
    throw new Stop(`Excessive depth in document: ${mostOpen} use XML_PARSE_HUGE option`, walk.position);
  const line = lineOf(walk, walk.position);
  walk.position += 1;
  const tag = match(walk, name);
  if (tag === "") throw new Stop("StartTag: invalid element name", walk.position);
  attributes(walk);
  if (at(walk, "/>")) walk.position += 2;
  else if (at(walk, ">")) {
    walk.position += 1;
    open.push({ name: tag, line });
  } else throw new Stop(`Couldn't find end of Start Tag ${tag} line ${line}`, walk.position);
}

function endTag(
  walk: Walk,
  open: { readonly name: string; readonly line: number }[],
  last: { readonly name: string; readonly line: number },
): void {
  walk.position += 2;
  const tag = match(walk, name);
  match(walk, blanks);
  if (!at(walk, ">")) throw new Stop("expected '>'", walk.position);
  walk.position += 1;
  if (tag !== last.name)
    throw new Stop(
      `Opening and ending tag mismatch: ${last.name} line ${last.line} and ${tag === "" ? "unparsable" : tag}`,
      walk.position,
    );
  open.pop();
}

function attributes(walk: Walk): void {
  const seen = new Set<string>();
  let twice: string | null = null;
  match(walk, blanks);
  while (walk.position < walk.text.length && !at(walk, ">") && !at(walk, "/>")) {
    const attribute = match(walk, name);
    if (attribute === "") throw new Stop("error parsing attribute name", walk.position);
    match(walk, blanks);
    if (!at(walk, "=")) throw new Stop(`Specification mandates value for attribute ${attribute}`, walk.position);
    walk.position += 1;
    match(walk, blanks);
    value(walk);
    if (seen.has(attribute)) twice ??= attribute;
    seen.add(attribute);
    if (at(walk, ">") || at(walk, "/>")) break;
    if (match(walk, blanks) === "") throw new Stop("attributes construct error", walk.position);
  }
  if (twice !== null) throw new Stop(`Attribute ${twice} redefined`, walk.position);
}

function value(walk: Walk): void {
  const quote = walk.text[walk.position];
  if (quote !== '"' && quote !== "'") throw new Stop("AttValue: \" or ' expected", walk.position);
  walk.position += 1;
  while (walk.position < walk.text.length) {
    const character = walk.text[walk.position] ?? "";
    if (character === quote) {
      walk.position += 1;
      return;
    }
    if (character === "<") throw new Stop("Unescaped '<' not allowed in attributes values", walk.position);
    if (control.test(character) || character > "\ufffd")
      throw new Stop("invalid character in attribute value", walk.position);
    if (character === "&") reference(walk);
    else walk.position += 1;
  }
  throw new Stop("AttValue: ' expected", walk.position);
}

/** Text up to the next markup. */
function characters(walk: Walk): void {
  while (walk.position < walk.text.length && !at(walk, "<")) {
    const character = walk.text[walk.position] ?? "";
    if (at(walk, "]]>")) throw new Stop("Sequence ']]>' not allowed in content", walk.position);
    if (control.test(character)) throw new Stop(`PCDATA invalid Char value ${character.charCodeAt(0)}`, walk.position);
    if (character > "\ufffd")
      throw new Stop(
        `Char 0x${character.charCodeAt(0).toString(16).toUpperCase()} out of allowed range`,
        walk.position,
      );
    if (character === "&") reference(walk);
    else walk.position += 1;
  }
}

function reference(walk: Walk): void {
  walk.position += 1;
  if (at(walk, "#")) {
    const hex = at(walk, "#x");
    walk.position += hex ? 2 : 1;
    const digits = match(walk, hex ? /[0-9a-fA-F]*/y : /[0-9]*/y);
    const kind = hex ? "hexadecimal" : "decimal";
    if (!at(walk, ";")) throw new Stop(`CharRef: invalid ${kind} value`, walk.position);
    walk.position += 1;
    const number = digits === "" ? 0 : Number.parseInt(digits, hex ? 16 : 10);
    if (number > 0x10ffff) throw new Stop("xmlParseCharRef: character reference out of bounds", walk.position);
    const character = String.fromCodePoint(number);
    if (control.test(character) || (number >= 0xd800 && number < 0xe000))
      throw new Stop(`xmlParseCharRef: invalid xmlChar value ${number}`, walk.position);
    return;
  }
  const entity = match(walk, name);
  if (entity === "") throw new Stop("xmlParseEntityRef: no name", walk.position);
  if (!at(walk, ";")) throw new Stop("EntityRef: expecting ';'", walk.position);
  walk.position += 1;
  if (!walk.entities.has(entity)) throw new Stop(`Entity '${entity}' not defined`, walk.position);
}

function comment(walk: Walk): void {
  const start = walk.position + 4;
  const end = walk.text.indexOf("--", start);
  if (end < 0) throw new Stop("Comment not terminated", walk.text.length);
  if (walk.text[end + 2] !== ">")
    throw new Stop(`Double hyphen within comment: <!--${walk.text.slice(start, end).slice(0, 50)}`, end);
  walk.position = end + 3;
}

function section(walk: Walk): void {
  const start = walk.position + "<![CDATA[".length;
  const end = walk.text.indexOf("]]>", start);
  if (end < 0)
    throw new Stop(`CData section not finished\n${walk.text.slice(start, -2).slice(0, 50)}`, walk.text.length);
  walk.position = end + 3;
}

function instruction(walk: Walk): void {
  walk.position += 2;
  const target = match(walk, name);
  if (target === "") throw new Stop("xmlParsePI : no target name", walk.position);
  if (target === "xml") throw new Stop("XML declaration allowed only at the start of the document", walk.position);
  if (!at(walk, "?>") && match(walk, blanks) === "")
    throw new Stop(`ParsePI: PI ${target} space expected`, walk.position);
  const end = walk.text.indexOf("?>", walk.position);
  if (end < 0) throw new Stop(`ParsePI: PI ${target} never end ...`, walk.text.length);
  walk.position = end + 2;
}
