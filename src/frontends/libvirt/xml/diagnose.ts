/** Faults of form with the picture that libvirt's clients know: the reason, the line, and a pointer below it. */
import { Buffer } from "node:buffer";
import { errorCodes, type ErrorDomain, LibvirtError } from "../errors.js";
import { type FormFault, formFault } from "./form.js";

/** What the parser has to say; used where `formFault` finds nothing. */
export type Refusal = FormFault;

/** Code 35. `entities`: the names of those that the document declares. */
export function malformed(
  text: string,
  what: string,
  domain: ErrorDomain,
  refusal: Refusal,
  entities: Iterable<string> = [],
): LibvirtError {
  const { reason, line, position } = formFault(text, entities) ?? refusal;
  return new LibvirtError(
    errorCodes.malformedXml,
    domain,
    `${what}:${line}: ${reason.slice(0, mostShown)}\n${picture(text, position)}`,
  );
}

/** As much of a line is shown on each side of a position, and of a reason: messages have to fit frames. */
const mostShown = 2_000;

/** The line of a position and dashes up to it, a byte each, as libvirt counts. Of a very long line a part. */
export function picture(text: string, position: number): string {
  const ends = (at: number): boolean => text[at] === "\n" || text[at] === "\r";
  let start = position;
  while (start > 0 && ends(start)) start -= 1;
  while (start > 0 && !ends(start)) start -= 1;
  if (ends(start)) start += 1;
  start = Math.max(start, position - mostShown);
  const line = /[^\n\r]*/y;
  line.lastIndex = start;
  const shown = (line.exec(text)?.[0] ?? "").slice(0, 2 * mostShown);
  const pointer = text.slice(start, position).replace(/[^\t]/gu, (each) => "-".repeat(Buffer.byteLength(each)));
  return `${shown}\n${pointer.slice(0, Buffer.byteLength(shown))}^`;
}
