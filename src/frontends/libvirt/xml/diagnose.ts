/** Faults of form in the words and with the picture that libvirt's clients know: the reason, the line, and a pointer below it. */
import { errorCodes, type ErrorDomain, LibvirtError } from "../errors.js";

/** Where a parser stands: `position` counts UTF-16 units from the text's start. */
export interface Standing {
  readonly line: number;
  readonly position: number;
}

/** Code 35. `at`: where to point; the text's start without it. */
export function malformed(
  text: string,
  what: string,
  domain: ErrorDomain,
  reason: string,
  at?: Standing,
): LibvirtError {
  const position = Math.min(at?.position ?? 0, text.length);
  return new LibvirtError(
    errorCodes.malformedXml,
    domain,
    `${what}:${at?.line ?? 1}: ${reason}\n${picture(text, position)}`,
  );
}

/** The line around a position and dashes up to it. */
function picture(text: string, position: number): string {
  let start = position;
  while (start > 0 && (text[start] === "\n" || text[start] === "\r" || start === text.length)) start -= 1;
  while (start > 0 && text[start - 1] !== "\n" && text[start - 1] !== "\r") start -= 1;
  const rest = text.slice(start);
  const line = /^[^\n\r]*/.exec(rest)?.[0] ?? "";
  let pointer = "";
  for (const character of line.slice(0, Math.max(0, position - start))) pointer += character === "\t" ? "\t" : "-";
  return `${line}\n${pointer}^`;
}
