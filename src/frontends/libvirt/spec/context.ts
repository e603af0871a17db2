/** What a conversion needs to know beside the document, and how it refuses. */
import type { AbsPath } from "../../../base/brand.js";
import { type ErrorCode, type ErrorDomain, errorCodes, errorDomains, LibvirtError } from "../errors.js";

/** What a path of the host is, links followed. */
export type HostFile =
  | { readonly kind: "c" | "b"; readonly major: number; readonly minor: number }
  | { readonly kind: "dir" | "file" | "other" };

export interface SpecContext {
  /** The directory that holds the containers' directories: /var/lib/lxc. */
  readonly storePath: AbsPath;
  /** The document it comes from, for messages. */
  readonly configFile: string;
  /** The bridge of a network; null: there is no such network. */
  readonly networks: (name: string) => { readonly bridge: string } | null;
  /** Pid of a running domain's init; null: there is none of that name, or it does not run. */
  readonly shared: (domain: string) => number | null;
  /** Descriptors that whoever starts it passes: they become init's 3, 4 and so on. */
  readonly passedFds: number;
  /** null: nothing is there. `hostFile` of host-file.ts, or a table in tests. */
  readonly stat: (path: string) => HostFile | null;
}

/** What the LXC driver itself refuses at a start. */
export function unsupported(message: string): LibvirtError {
  return new LibvirtError(errorCodes.configUnsupported, errorDomains.lxc, message);
}

/** A start that would end at once, or leave something out. */
export function failedStart(reason: string): LibvirtError {
  return new LibvirtError(errorCodes.internal, errorDomains.lxc, `guest failed to start: ${reason}`);
}

export function refusal(code: ErrorCode, domain: ErrorDomain, message: string): LibvirtError {
  return new LibvirtError(code, domain, message);
}
