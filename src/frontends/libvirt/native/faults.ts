import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

/** What is wrong with a document of LXC's, by the words and numbers that libvirt has for it. */
export const internal = (message: string): LibvirtError =>
  new LibvirtError(errorCodes.internal, errorDomains.lxc, message);
export const unsupported = (message: string): LibvirtError =>
  new LibvirtError(errorCodes.configUnsupported, errorDomains.lxc, message);
export const invalid = (message: string): LibvirtError =>
  new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, message);
export const badDomain = (message: string): LibvirtError =>
  new LibvirtError(errorCodes.xml, errorDomains.domain, message);

/** The only format there is: an LXC configuration. Throws 8. */
export function checkFormat(format: string): void {
  if (format !== "lxc-tools") throw invalid(`unsupported config type ${format}`);
}
