import type { SourceMounts } from "./source.js";
import type { Fault } from "../base/source.js";
import { toHostId } from "../spec/idmap.js";
import type { NamespaceKind } from "../spec/namespace.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { HostFacts, StartFacts } from "../spec/host.js";
import type { Block, Build } from "../program/assembler.js";
import type { Slot } from "../program/ops.js";

/** What every part of a start's plan works with. */
export interface StartContext {
  readonly spec: ContainerSpec;
  readonly host: HostFacts;
  readonly start: StartFacts;
  readonly build: Build;
  /** The monitor's section: the host's side. */
  readonly monitor: Block;
  readonly slots: StartSlots;
  /** Takes what the user should know although the start can be made. */
  readonly warn: Warn;
  /** null: the root file system is a directory. */
  readonly mounts: SourceMounts | null;
}

export type Warn = (fault: Fault) => void;

export interface StartSlots {
  /** Preset: the monitor's listening socket. */
  readonly listen: Slot;
  /** Preset: the caller's descriptors 0-2, where the start takes them over. */
  readonly stdio: readonly [Slot, Slot, Slot] | null;
  /** Preset: namespaces of the caller's that the monitor enters for good; a restart finds them again. */
  readonly callers: readonly { readonly kind: NamespaceKind; readonly fd: Slot }[];
  /** Preset: a sealed copy of islet's binary, for supervised init. */
  readonly binary: Slot | null;
  /** 1 when the main process asked for a restart; set by the monitor. */
  readonly restart: Slot;
  /** Wait status of the main process; set by the monitor. */
  readonly status: Slot;
  /** 1 once RUNNING was reached. */
  readonly running: Slot;
  /** Main process: pid in the monitor's namespace, and pidfd. */
  readonly pid: Slot;
  readonly pidfd: Slot;
  /** Both ends of the socket pair that keeps monitor and child in step. */
  readonly sync: Slot;
  readonly childSync: Slot;
  readonly monitorPid: Slot;
  /** Namespaces kept open for stop hooks; {} without such hooks. */
  readonly namespaces: Readonly<Partial<Record<NamespaceKind, Slot>>>;
  /** Sockets of the caller's for init; empty without any. */
  readonly listening: readonly Slot[];
  /** Write end of the pipe for hooks' output; null without hooks. */
  readonly hookOutput: Slot | null;
}

/** Is the container's root another than the host's: in a user namespace of its own, or in one it shares? */
export function hasUserNamespace(context: StartContext): boolean {
  return isMapped(context.spec);
}

export function isMapped(spec: ContainerSpec): boolean {
  return spec.namespaces.user.kind !== "keep";
}

export function sharesUserNamespace(context: StartContext): boolean {
  return context.spec.namespaces.user.kind === "share";
}

/** LXC's root for a container's own runtime and store directories. */
export function containerDirectory(spec: ContainerSpec): string {
  return `${spec.storePath}/${spec.name}`;
}

/** Who the container's root is on the host; null without a user namespace. */
export function rootOwner(context: StartContext): { readonly uid: number; readonly gid: number } | null {
  return ownerOf(context.spec);
}

export function ownerOf(spec: ContainerSpec): { readonly uid: number; readonly gid: number } | null {
  if (!isMapped(spec)) return null;
  const { idmap } = spec;
  return { uid: toHostId(idmap, "uid", 0) ?? 0, gid: toHostId(idmap, "gid", 0) ?? 0 };
}
