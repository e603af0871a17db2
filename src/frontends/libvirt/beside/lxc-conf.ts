import { existsSync, readFileSync } from "node:fs";
import { isErrno } from "../../../base/io-error.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { securityModels } from "../host/security-models.js";
import type { DomainDoc } from "../xml/domain.js";

/** /etc/libvirt/lxc.conf: what the host's administrator wants of all domains. */
export interface LxcConf {
  /** What is to be said of domains goes to the daemon's own log, not to one of each. */
  readonly logsWithDaemon: boolean;
  /** null: whichever there is. */
  readonly securityDriver: string | null;
  /** Domains that say nothing are confined. */
  readonly defaultConfined: boolean;
  /** Others are not started. */
  readonly requireConfined: boolean;
}

/** @throws LibvirtError 33 with the line */
export function parseLxcConf(text: string, file: string): LxcConf {
  const strings = new Map<string, string>();
  const flags = new Map<string, boolean>();
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const fault = (what: string): LibvirtError =>
      new LibvirtError(errorCodes.configSyntax, errorDomains.config, `${file}:${index + 1}: ${what}`);
    const [, key, value = ""] = /^\s*([a-z_]+)\s*=\s*(.*?)\s*(?:#[^"']*)?$/.exec(line) ?? [];
    if (key === undefined) throw fault("expecting a name, = and a value");
    if (key === "security_driver") {
      const [, , word] = /^(["'])([a-z]+)\1$/.exec(value) ?? [];
      if (word === undefined) throw fault(`${key} is a word in quotes, not ${value}`);
      strings.set(key, word);
    } else if (flagNames.some((name) => name === key)) {
      if (value !== "0" && value !== "1") throw fault(`${key} is 0 or 1, not ${value}`);
      flags.set(key, value === "1");
    } else throw fault(`there is no setting ${key}`);
  }
  return {
    logsWithDaemon: flags.get("log_with_libvirtd") ?? false,
    securityDriver: strings.get("security_driver") ?? null,
    defaultConfined: flags.get("security_default_confined") ?? true,
    requireConfined: flags.get("security_require_confined") ?? false,
  };
}

const flagNames = ["log_with_libvirtd", "security_default_confined", "security_require_confined"] as const;

/** Read anew for each start: a line that is changed holds from then on. `file`: null: there is none. @throws LibvirtError */
export function readLxcConf(file: string | null): LxcConf {
  const text = file === null ? null : readText(file);
  const conf = parseLxcConf(text ?? "", file ?? "");
  const { securityDriver: driver } = conf;
  if (driver !== null && driver !== "none" && !existsSync(securityModels[driver] ?? ""))
    throw new LibvirtError(errorCodes.internal, errorDomains.security, `Security driver ${driver} not enabled`);
  return conf;
}

/** Whether the administrator lets it start with the labels that it has. @throws LibvirtError */
export function checkConfined({ requireConfined }: LxcConf, { seclabels }: DomainDoc): void {
  const isConfined = seclabels.length > 0 && seclabels.every(({ type }) => type !== "none");
  if (requireConfined && !isConfined) {
    throw new LibvirtError(
      errorCodes.configUnsupported,
      errorDomains.security,
      "Unconfined guests are not allowed on this host",
    );
  }
}

/** Whether logs go to the daemon's own. A file that cannot be read says nothing of that: the start that it fails is told of where logs usually are. */
export function logsWithDaemon(file: string | null): boolean {
  try {
    const text = file === null ? null : readText(file);
    return text !== null && parseLxcConf(text, file ?? "").logsWithDaemon;
  } catch {
    return false;
  }
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw new LibvirtError(errorCodes.configSyntax, errorDomains.config, `${file}: it cannot be read`, {
      cause: error,
    });
  }
}
