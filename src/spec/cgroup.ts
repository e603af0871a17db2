import type { Source } from "../base/source.js";

/** One rule of the device controller, in the order given. */
export interface DeviceRule {
  readonly allow: boolean;
  /** a: everything (major and minor are null). */
  readonly type: "a" | "b" | "c";
  /** null: any. */
  readonly major: number | null;
  readonly minor: number | null;
  readonly read: boolean;
  readonly write: boolean;
  readonly mknod: boolean;
  readonly at: Source | null;
}

/** A value for one file of the payload cgroup, `controller.file` as the kernel names it. */
export interface CgroupSetting {
  /** v1: for legacy hierarchies (lxc.cgroup.*). v2: for the unified one (lxc.cgroup2.*). */
  readonly version: "v1" | "v2";
  readonly file: string;
  readonly value: string;
  readonly at: Source | null;
}

export interface CgroupSpec {
  readonly settings: readonly CgroupSetting[];
  /** Device rules given for v1 and for v2; a host uses those of its own kind, or the other's where it has none. */
  readonly devicesV1: readonly DeviceRule[];
  readonly devicesV2: readonly DeviceRule[];
  /** Below the caller's cgroup instead of the root. */
  readonly relative: boolean;
  /** Relative paths; null: the defaults lxc.payload.NAME and so on. `parent`: lxc.cgroup.dir. */
  readonly parent: string | null;
  readonly payload: string | null;
  readonly monitor: string | null;
  readonly pivot: string | null;
  readonly inner: string | null;
  /** LXC's system-wide lxc.cgroup.pattern with %n, or null. */
  readonly pattern: string | null;
}
