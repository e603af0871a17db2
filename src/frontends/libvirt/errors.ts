import { type ErrorCode as EngineCode, IsletError } from "../../base/errors.js";

/**
 * What goes wrong, in libvirt's own words: clients test `code`, people read the message. Numbers: virErrorNumber and virErrorDomain of libvirt 9.0 (virterror.h).
 */

export const errorCodes = {
  internal: 1,
  noMemory: 2,
  noSupport: 3,
  noConnect: 5,
  invalidArgument: 8,
  operationFailed: 9,
  noName: 21,
  noSource: 19,
  noTarget: 20,
  xml: 27,
  operationDenied: 29,
  configSyntax: 33,
  malformedXml: 35,
  system: 38,
  rpc: 39,
  noDomain: 42,
  noNetwork: 43,
  operationInvalid: 55,
  configUnsupported: 67,
  timeout: 68,
  hookScriptFailed: 70,
  argumentUnsupported: 74,
  noDomainMetadata: 80,
  overflow: 82,
  operationUnsupported: 84,
  accessDenied: 88,
  xmlInvalidSchema: 92,
  deviceMissing: 99,
  noHostname: 108,
} as const;
export type ErrorCode = (typeof errorCodes)[keyof typeof errorCodes];

export const errorDomains = {
  none: 0,
  xml: 5,
  rpc: 7,
  config: 9,
  lxc: 17,
  network: 19,
  domain: 20,
  security: 24,
  nodedev: 22,
  hook: 34,
  storage: 18,
  domainSnapshot: 35,
  streams: 38,
  capabilities: 44,
  domainCheckpoint: 69,
} as const;
export type ErrorDomain = (typeof errorDomains)[keyof typeof errorDomains];

/** What stands before the message of a code. */
const prefixes: Readonly<Partial<Record<ErrorCode, string>>> = {
  [errorCodes.internal]: "internal error: ",
  [errorCodes.noSupport]: "this function is not supported by the connection driver: ",
  [errorCodes.invalidArgument]: "invalid argument: ",
  [errorCodes.operationFailed]: "operation failed: ",
  [errorCodes.xml]: "XML error: ",
  [errorCodes.operationDenied]: "operation forbidden: ",
  [errorCodes.configSyntax]: "configuration file syntax error: ",
  [errorCodes.noDomain]: "Domain not found: ",
  [errorCodes.noNetwork]: "Network not found: ",
  [errorCodes.operationInvalid]: "Requested operation is not valid: ",
  [errorCodes.configUnsupported]: "unsupported configuration: ",
  [errorCodes.hookScriptFailed]: "Hook script execution failed: ",
  [errorCodes.argumentUnsupported]: "argument unsupported: ",
  [errorCodes.noDomainMetadata]: "metadata not found: ",
  [errorCodes.overflow]: "numerical overflow: ",
  [errorCodes.operationUnsupported]: "Operation not supported: ",
  [errorCodes.xmlInvalidSchema]: "XML document failed to validate against schema: ",
  [errorCodes.deviceMissing]: "device not found: ",
  [errorCodes.noHostname]: "no hostname found: ",
};

export interface LibvirtErrorOptions extends ErrorOptions {
  /** The whole message, without the code's prefix: `unsupported flags (0x1) in function lxcDomainShutdownFlags`. */
  readonly bare?: boolean;
}

/** The only error that a procedure answers with; anything else is an internal error of ours. */
export class LibvirtError extends Error {
  readonly code: ErrorCode;
  readonly domain: ErrorDomain;
  /** Without the prefix: libvirt's str2. */
  readonly detail: string;
  constructor(code: ErrorCode, domain: ErrorDomain, detail: string, options: LibvirtErrorOptions = {}) {
    super(options.bare === true ? detail : `${prefixes[code] ?? ""}${detail}`, options);
    this.name = "LibvirtError";
    this.code = code;
    this.domain = domain;
    this.detail = detail;
  }
}

const engineCodes: Readonly<Partial<Record<ErrorCode, EngineCode>>> = {
  [errorCodes.hookScriptFailed]: "ISLET_HOOK_FAILED",
  [errorCodes.configSyntax]: "ISLET_BAD_CONFIG",
  [errorCodes.configUnsupported]: "ISLET_UNSUPPORTED",
};

/** Why a start of a domain has failed, for whoever asked the engine for it; libvirt's clients are told the cause. */
export function toEngineError(error: unknown): unknown {
  if (!(error instanceof LibvirtError)) return error;
  // That it is internal is libvirt's word.
  const text = error.code === errorCodes.internal ? error.detail : error.message;
  return new IsletError(engineCodes[error.code] ?? "ISLET_START_FAILED", text, { cause: error });
}
