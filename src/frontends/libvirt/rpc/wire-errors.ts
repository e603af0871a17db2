import { errorLines, type ErrorCode, IsletError } from "../../../base/errors.js";
import { errorCodes, type ErrorCode as LibvirtCode, type ErrorDomain, errorDomains, LibvirtError } from "../errors.js";
import type { WireError } from "./messages.js";

/** How a failure goes to a client (virError). */

/** What an engine's failure is called in libvirt's world; `says`: in its own words, that clients look for. */
const engineErrors: Readonly<
  Record<ErrorCode, { readonly code: LibvirtCode; readonly domain: ErrorDomain; readonly says?: string }>
> = (() => {
  const internal = { code: errorCodes.internal, domain: errorDomains.lxc };
  const invalid = { code: errorCodes.operationInvalid, domain: errorDomains.lxc };
  const failed = { code: errorCodes.operationFailed, domain: errorDomains.lxc };
  return {
    ISLET_BAD_CONFIG: { code: errorCodes.configUnsupported, domain: errorDomains.lxc },
    ISLET_BAD_NAME: { code: errorCodes.invalidArgument, domain: errorDomains.lxc },
    ISLET_BAD_REQUEST: { code: errorCodes.invalidArgument, domain: errorDomains.lxc },
    ISLET_NOT_FOUND: { code: errorCodes.noDomain, domain: errorDomains.lxc },
    ISLET_EXISTS: { code: errorCodes.operationFailed, domain: errorDomains.domain },
    ISLET_PARTIAL: invalid,
    ISLET_RUNNING: { ...invalid, says: "Domain is already running" },
    ISLET_NOT_RUNNING: {
      code: errorCodes.operationInvalid,
      domain: errorDomains.domain,
      says: "domain is not running",
    },
    ISLET_BUSY: invalid,
    ISLET_HAS_CLONES: invalid,
    ISLET_HAS_SNAPSHOTS: invalid,
    ISLET_NO_ROOTFS: internal,
    ISLET_NO_INIT: internal,
    ISLET_START_FAILED: internal,
    ISLET_OPERATION_FAILED: failed,
    ISLET_HOOK_FAILED: failed,
    ISLET_TIMEOUT: failed,
    ISLET_PERMISSION: { code: errorCodes.operationDenied, domain: errorDomains.lxc },
    ISLET_UNSUPPORTED: { code: errorCodes.configUnsupported, domain: errorDomains.lxc },
    ISLET_NETWORK: failed,
    ISLET_UNTRUSTED: failed,
    ISLET_IO: internal,
    ISLET_NO_COMMAND: internal,
    ISLET_DISCONNECTED: internal,
    ISLET_PROTOCOL: internal,
    ISLET_INTERNAL: internal,
  };
})();

/** What a procedure threw, as libvirt says it. */
export function toLibvirtError(error: unknown): LibvirtError {
  if (error instanceof LibvirtError) return error;
  if (error instanceof IsletError && error.cause instanceof LibvirtError) return error.cause;
  const text = errorLines(error).join("; ");
  if (!(error instanceof IsletError))
    return new LibvirtError(errorCodes.internal, errorDomains.lxc, text.replace(/^internal error: /, ""), {
      cause: error,
    });
  const { code, domain, says } = engineErrors[error.code];
  return new LibvirtError(code, domain, says ?? text, { cause: error });
}

const flagsError = /^unsupported flags \(0x[\da-f]+\) in function (\w+)$/;
const noDriver = "no connection driver available for ";

/** Format and detail of a message, as libvirt's own errors carry them; clients show the message. */
function parts({ message, detail, code }: LibvirtError): readonly [format: string, detail: string] {
  if (code === errorCodes.noConnect && message.startsWith(noDriver))
    return [`${noDriver}%s`, message.slice(noDriver.length)];
  return [`${message.slice(0, message.length - detail.length)}%s`, detail];
}

/** Characters of a text: it may repeat what a client sent, which may be as long as a message. libvirt's own are 1024. */
const longest = 4096;
const cut = (text: string): string => text.slice(0, longest);

export function toWireError(thrown: unknown): WireError {
  const error = toLibvirtError(thrown);
  const isFlags = flagsError.exec(error.message);
  const [str1, str2] = isFlags === null ? parts(error) : [isFlags[1] ?? "", "flags"];
  const number = isFlags === null ? -1 : 0;
  return {
    code: error.code,
    domain: error.domain,
    message: cut(error.message),
    // VIR_ERR_ERROR
    level: 2,
    dom: null,
    str1: cut(str1),
    str2: cut(str2),
    str3: null,
    int1: number,
    int2: number,
    net: null,
  };
}
