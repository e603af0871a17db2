import type { AbsPath, ContainerName } from "../base/brand.js";
import type { Sourced } from "../base/source.js";
import type { CgroupSpec } from "./cgroup.js";
import type { ConsoleSpec } from "./console.js";
import type { GuestSpec } from "./guest.js";
import type { HookSpec } from "./hooks.js";
import type { IdMapEntry } from "./idmap.js";
import type { InitSpec, ProcessSpec } from "./process.js";
import type { MountSpec } from "./mount.js";
import type { NamespaceSpec } from "./namespace.js";
import type { NicSpec } from "./nic.js";
import type { RootfsSpec } from "./rootfs.js";
import type { SecuritySpec } from "./security.js";

/**
 * One container, described: the waist between every front end and the engine. Plain, readonly, complete: defaults
 * have been filled in by the front end (a profile), so the planner never asks which front end it came from.
 */
export interface ContainerSpec {
  readonly name: ContainerName;
  /** The directory that holds the container's directories: LXC's lxcpath. */
  readonly storePath: AbsPath;
  /** The document this came from, for messages and LXC_CONFIG_FILE. */
  readonly configFile: string;
  readonly hostname: Sourced<string> | null;
  readonly init: InitSpec;
  readonly process: ProcessSpec;
  readonly rootfs: RootfsSpec;
  readonly mounts: MountSpec;
  readonly console: ConsoleSpec;
  readonly namespaces: NamespaceSpec;
  readonly idmap: readonly IdMapEntry[];
  readonly security: SecuritySpec;
  readonly cgroup: CgroupSpec;
  readonly network: NetworkSpec;
  readonly hooks: HookSpec;
  readonly lifecycle: LifecycleSpec;
  readonly guest: GuestSpec;
  /** Key and value pairs a front end keeps for itself (never read by the engine). */
  readonly annotations: Readonly<Record<string, string>>;
}

/** `host`: no network namespace of its own (lxc.net.0.type = none). */
export type NetworkSpec = { readonly kind: "host" } | { readonly kind: "own"; readonly nics: readonly NicSpec[] };

export interface LifecycleSpec {
  /** Signal numbers; null: chosen when stopping, by what init understands (SIGPWR, or SIGRTMIN+3 where init blocks it). */
  readonly haltSignal: number | null;
  readonly rebootSignal: number;
  /** What a guest that asks for a reboot gets: a new start, or its end. */
  readonly onReboot: "restart" | "end";
  readonly stopSignal: number;
  /** Sent to init when the monitor dies; 0 none. */
  readonly monitorDeathSignal: number;
  /** Destroyed after it stops (not on reboot). */
  readonly ephemeral: boolean;
  /** The monitor gets a mount namespace of its own before the pre-start hooks. */
  readonly monitorUnshare: boolean;
  readonly autostart: {
    readonly auto: boolean;
    /** Seconds to wait after this one was started. */
    readonly delay: number;
    readonly order: number;
    readonly groups: readonly string[];
  };
  readonly log: {
    readonly level: string | null;
    readonly file: string | null;
    readonly syslog: string | null;
  };
}
