import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { maxString } from "../rpc/xdr.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";

/**
 * The document as it is kept. What clients are told is longer than what they may have sent (defaults, layout): one that would not fit a string of the
 * protocol could be defined and never be looked at or edited. Throws 39 for that.
 */
export function keptText({ xml }: Pick<DriverContext, "xml">, doc: DomainDoc): string {
  const text = xml.write(doc, { inactive: true, secure: true });
  const length = Buffer.byteLength(text);
  if (length <= maxString) return text;
  throw new LibvirtError(
    errorCodes.rpc,
    errorDomains.rpc,
    `Unable to encode message payload: the document of ${doc.name} has ${length} bytes, a string has ${maxString} at most`,
  );
}
