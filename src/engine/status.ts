import { IsletError } from "../base/errors.js";
import type { HostFacts } from "../spec/host.js";
import type { State } from "../spec/states.js";

/** What the engine tells of containers; part of its list of requests (engine.ts). */

/** Which container: a name within a store directory (LXC's lxcpath, absolute). */
export interface ContainerId {
  readonly storePath: string;
  readonly name: string;
}

export const isSameContainer = (a: ContainerId, b: ContainerId): boolean =>
  a.name === b.name && a.storePath === b.storePath;

/** Nothing of that name is defined there. */
export function noSuchContainer({ storePath, name }: ContainerId): IsletError {
  return new IsletError("ISLET_NOT_FOUND", `there is no container ${name} in ${storePath}`);
}

/** What is known of a container at this moment, from memory: no system call per container. */
export interface ContainerStatus extends ContainerId {
  readonly state: State;
  /** In the daemon's pid namespace; null when not running. */
  readonly initPid: number | null;
  /** Exit code of the last run's main process (128 + signal if killed), as long as its monitor lives; null unknown. */
  readonly exitStatus: number | null;
  /** CLOCK_BOOTTIME milliseconds; null when not running. */
  readonly startedAt: number | null;
  /** The spec's annotations it was started with (a front end's own document among them); {} when not running. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Its init has said so (sd_notify(3)); absent until then, and with guests that are not asked. */
  readonly isReady?: true;
}

/** Values that a controller does not offer are null. */
export interface ResourceUsage {
  readonly cpuNanoseconds: bigint | null;
  readonly blkioBytes: bigint | null;
  readonly memoryBytes: bigint | null;
  readonly kernelMemoryBytes: bigint | null;
  readonly swapBytes: bigint | null;
}

export interface InterfaceStatus {
  /** Name inside the container: the guest's word, of any bytes but "/", ":" and blanks. */
  readonly name: string;
  readonly up: boolean;
  readonly isLoopback: boolean;
  /** `aa:bb:cc:dd:ee:ff`; null: it has none. */
  readonly hardwareAddress: string | null;
  /** Nothing link-local of IPv6; `prefix` in bits. */
  readonly addresses: readonly {
    readonly family: "ipv4" | "ipv6";
    readonly address: string;
    readonly prefix: number;
  }[];
}

export interface Addresses {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** The host's end of a nic, with its byte counts as the host sees them. */
export interface LinkStatus {
  readonly hostName: string;
  readonly txBytes: bigint;
  readonly rxBytes: bigint;
}

/** Something that happened to a container. */
export type ContainerEvent = ContainerId &
  (
    | { readonly kind: "state"; readonly state: State }
    /** The main process has ended, with this wait status (wait(2)); STOPPING follows. */
    | { readonly kind: "exit"; readonly waitStatus: number }
    /** The guest has said, through its API, that it is ready, or that it is not any more. */
    | { readonly kind: "ready"; readonly ready: boolean }
  );

/** A container of a guest's: all of it is the guest's word. */
export interface NestedContainer {
  readonly name: string;
  readonly state: "STOPPED" | "RUNNING" | "FROZEN";
  /** As the host knows it. */
  readonly pid: number | null;
  /** Text of its configuration, which may include others of the guest's: of no use but to look at. */
  readonly config: string;
  readonly usage: ResourceUsage | null;
  readonly interfaces: readonly InterfaceStatus[];
  readonly addresses: Addresses;
  readonly inside: readonly NestedContainer[];
}

/** Of a container's control groups; what no controller accounts is null. */
export interface DetailedUsage {
  readonly cpuNanoseconds: bigint | null;
  /** USER_HZ ticks, hundredths of a second. */
  readonly cpuSystemTicks: bigint | null;
  readonly cpuUserTicks: bigint | null;
  readonly blkioBytes: bigint | null;
  readonly blkioReadBytes: bigint | null;
  readonly blkioWriteBytes: bigint | null;
  readonly blkioOperations: bigint | null;
  readonly memoryBytes: bigint | null;
  /** cgroup v1: memory and swap together; v2: swap alone. */
  readonly memorySwapBytes: bigint | null;
  readonly kernelMemoryBytes: bigint | null;
}

/** Of a container's control groups; what no controller accounts is null. */
export interface LiveUsage {
  readonly cpuNanoseconds: bigint | null;
  readonly memoryBytes: bigint | null;
  /** null: no limit of its own, or not known. */
  readonly memoryLimitBytes: bigint | null;
  readonly readBytes: bigint | null;
  readonly writtenBytes: bigint | null;
  /** Processes and threads. */
  readonly processes: bigint | null;
}

export interface HostReport {
  readonly host: HostFacts;
  /** islet's program, which clients and monitors are. */
  readonly binary: string;
  /** System calls that islet makes and this kernel does not have. */
  readonly missingCalls: readonly string[];
  /** Every running container of every store, with the socket of its monitor. */
  readonly monitors: readonly { readonly storePath: string; readonly name: string; readonly socket: string }[];
}
