/** What a conversion finds on its way. */
import type { Fault, Source } from "../../../base/source.js";
import type { ConfigFiles, FileKind, Notice } from "./model.js";

export interface SpecContext {
  readonly name: string;
  /** LXC's lxcpath, absolute. */
  readonly storePath: string;
  readonly files: ConfigFiles;
  /** For `/dev/path` in device rules, and a root file system without a type. */
  readonly stat: (path: string) => FileKind | null;
  /** The COMMAND of lxc-start or lxc-execute; null: what the configuration says. */
  readonly command?: readonly string[] | null;
  /** `supervised`: lxc-execute. Default `exec`. */
  readonly mode?: "exec" | "supervised";
  /** lxc.cgroup.pattern of the system configuration. */
  readonly cgroupPattern?: string | null;
}

export interface Collector {
  readonly context: SpecContext;
  readonly faults: Fault[];
  readonly notices: Notice[];
}

export function fault(into: Collector, message: string, at: Source | null, hint?: string): void {
  into.faults.push(hint === undefined ? { message, at } : { message, at, hint });
}

export function skipped(into: Collector, message: string, at: Source): void {
  into.notices.push({ kind: "skipped", message: `${at.file}:${at.line}: ${message}`, at });
}
