import type { CommandSession } from "../../../engine/engine.js";

/** How things may look to whoever sees them: what the terminal and the locale of the client allow. */
export interface Look {
  /** Columns of the terminal; null: no terminal, as wide as it takes. */
  readonly columns: number | null;
  readonly colours: boolean;
  /** Other signs than those of ASCII. */
  readonly unicode: boolean;
}

/** Of a terminal that does not tell its width. */
const usualColumns = 80;

/** UTF-8 by setlocale(3)'s rule: the first of these that is set counts. */
export function isUtf8(environment: Readonly<Record<string, string>>): boolean {
  const locale = ["LC_ALL", "LC_CTYPE", "LANG"].map((name) => environment[name] ?? "").find((value) => value !== "");
  return locale !== undefined && /utf-?8/i.test(locale);
}

/** Of what is written to standard output or standard error. Colours: no-color.org. */
export function lookOf(session: Pick<CommandSession, "terminals" | "columns" | "caller">, descriptor: 1 | 2): Look {
  const { environment } = session.caller;
  const isTerminal = session.terminals[descriptor];
  return {
    columns: isTerminal ? (session.columns > 0 ? session.columns : usualColumns) : null,
    colours: isTerminal && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb",
    unicode: isUtf8(environment),
  };
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan" | "reverse";

const codes: Readonly<Record<Style, string>> = {
  bold: "1",
  dim: "2",
  red: "31",
  green: "32",
  yellow: "33",
  cyan: "36",
  reverse: "7",
};

/** A piece of a line, all of one style. */
export interface Span {
  readonly text: string;
  readonly style?: Style;
}
/** What stands in one place: a cell, a line. */
export type Spans = readonly Span[];

export const plain = (text: string): Spans => [{ text }];
export const styled = (style: Style, text: string): Spans => [{ text, style }];

const wide =
  /[\u1100-\u115f\u231a\u231b\u23e9-\u23ec\u25fd\u25fe\u2614\u2615\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const none = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** Columns that one character takes on a terminal: 0, 1 or 2 (Unicode's East Asian Width, in its main blocks). */
const charWidth = (char: string): number =>
  char < "\u0300" ? (char === "\u00ad" ? 0 : 1) : none.test(char) ? 0 : wide.test(char) ? 2 : 1;

/** Most texts are nothing else, and need no look at each character. */
const isAscii = (text: string): boolean => /^[ -~]*$/.test(text);

export function widthOf(text: string): number {
  if (isAscii(text)) return text.length;
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

/** Text of others: a terminal would obey its control characters, and characters that change the direction of writing move what stands beside them. */
export function harmless(text: string, look: Pick<Look, "unicode">): string {
  if (isAscii(text)) return text;
  // oxlint-disable-next-line no-control-regex -- control characters are just what is looked for
  const visible = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\u200e\u200f]/g, "?");
  return look.unicode ? visible : visible.replace(/[^\u0020-\u007e]/gu, "?");
}

export const spansWidth = (spans: Spans): number => spans.reduce((sum, span) => sum + widthOf(span.text), 0);

const ellipsis = (look: Pick<Look, "unicode">): string => (look.unicode ? "…" : "~");

/** At most `columns` wide; what is cut off is shown to be. */
export function cutSpans(spans: Spans, columns: number, look: Pick<Look, "unicode">): Spans {
  if (spansWidth(spans) <= columns) return spans;
  const out: Span[] = [];
  let room = columns - 1;
  if (room < 0) return out;
  for (const span of spans) {
    let text = "";
    for (const char of span.text) {
      const width = charWidth(char);
      if (width > room) {
        room = -1;
        break;
      }
      text += char;
      room -= width;
    }
    out.push({ ...span, text: room < 0 ? text + ellipsis(look) : text });
    if (room < 0) return out;
  }
  return out;
}

export type Side = "left" | "right";

/** Just `columns` wide. */
export function fitSpans(spans: Spans, columns: number, side: Side, look: Pick<Look, "unicode">): Spans {
  const cut = cutSpans(spans, columns, look);
  const blanks = columns - spansWidth(cut);
  if (blanks <= 0) return cut;
  const space: Span = { text: " ".repeat(blanks) };
  return side === "left" ? [...cut, space] : [space, ...cut];
}

/** The text with the terminal's codes for its styles. */
export function render(spans: Spans, look: Pick<Look, "colours">): string {
  return spans
    .map(({ text, style }) =>
      style === undefined || !look.colours || text === "" ? text : `\u001b[${codes[style]}m${text}\u001b[0m`,
    )
    .join("");
}

/** A share of something, `columns` wide. `share`: 0 to 1, beyond is full. */
export function bar(share: number, columns: number, look: Pick<Look, "unicode">, style: Style): Spans {
  const full = Math.max(0, Math.min(1, Number.isFinite(share) ? share : 0));
  if (!look.unicode) {
    const done = Math.round(full * (columns - 2));
    return [
      { text: "[" },
      { text: "#".repeat(done), style },
      { text: `${".".repeat(Math.max(0, columns - 2 - done))}]` },
    ];
  }
  const eighths = Math.round(full * columns * 8);
  const whole = Math.floor(eighths / 8);
  const part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8] ?? "";
  const rest = columns - whole - (part === "" ? 0 : 1);
  return [
    { text: `${"█".repeat(whole)}${part}`, style },
    { text: "·".repeat(Math.max(0, rest)), style: "dim" },
  ];
}

/** How full something with a limit is: green, from three quarters on yellow, from nine tenths on red. */
export const fillStyle = (share: number): Style => (share >= 0.9 ? "red" : share >= 0.75 ? "yellow" : "green");

/** Small and exact enough for a column: 980K, 61M, 1.5G. */
export function shortBytes(bytes: bigint): string {
  const units = ["B", "K", "M", "G", "T", "P"];
  let value = Number(bytes);
  let unit = 0;
  // 1000K would be wider than 1.0M.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)}${units[unit] ?? ""}`;
}

/** The two greatest units: 45s, 3m12s, 5h07m, 12d3h. */
export function shortTime(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${Math.floor((whole % 86400) / 3600)}h`;
}
