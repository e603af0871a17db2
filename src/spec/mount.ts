import type { Source } from "../base/source.js";

/** Mount options as parsed from fstab text (see mount(8)); the flags are the names of the options, not yet numbers. */
export interface MountOptions {
  /** MS_* flags that are set. */
  readonly flags: number;
  /** MS_* flags explicitly cleared (rw, suid, dev, exec ...). */
  readonly clear: number;
  /** MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE, possibly with MS_REC; 0 none. */
  readonly propagation: number;
  /** What the file system itself gets, comma separated; "" none. */
  readonly data: string;
}

export interface MountEntry {
  /** Device, host path (bind) or any word; with `relative` a path inside the container. */
  readonly source: string;
  /** Path inside the container, without a leading slash; "" is the root itself. */
  readonly target: string;
  readonly fstype: string;
  readonly options: MountOptions;
  readonly optional: boolean;
  readonly create: "dir" | "file" | null;
  readonly sourceInContainer: boolean;
  /** The source is a device, or a file, and what file system is in it is found out at the start; absent: `fstype` says it, or there is none. */
  readonly image?: "block" | "loop";
  readonly idmap: null | "container" | { readonly userns: string };
  readonly at: Source | null;
}

export type CgroupMountMode = "ro" | "mixed" | "rw";

/** lxc.mount.auto and its like in other systems. */
export interface AutoMounts {
  /** null: not mounted by us. mixed: /proc/sys read-only but net, sysrq-trigger read-only. ro: /proc/sys read-only with net. */
  readonly proc: "mixed" | "ro" | "rw" | null;
  /** mixed: read-only but devices/virtual/net. */
  readonly sys: "mixed" | "ro" | "rw" | null;
  /** `default` mode: rw if CAP_SYS_ADMIN is kept, else mixed. force: even with a cgroup namespace. newest: v2, and own where the host has none. */
  readonly cgroup: {
    readonly scope: "own" | "full" | "v2" | "newest";
    readonly mode: CgroupMountMode | "default";
    readonly force: boolean;
  } | null;
  readonly shared: { readonly host: string; readonly container: string } | null;
  readonly at: Source | null;
}

export interface DevSpec {
  /** A private tmpfs on /dev, populated; false: the image's /dev as it is. */
  readonly populate: boolean;
  /** Programs there get nobody's rights by their set-user-id bits. */
  readonly noSetUid: boolean;
  /** Size of the tmpfs, bytes. */
  readonly tmpfsSize: number;
  /** Device nodes below /dev. They are made by mknod, or bound from the host where that is not permitted. */
  readonly nodes: readonly DeviceNode[];
  /** Absent: none. */
  readonly images?: readonly DiskImage[];
  /** Symbolic links below /dev: name to target. */
  readonly links: readonly { readonly name: string; readonly target: string }[];
}

export interface DeviceNode {
  readonly name: string;
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  /** Permission bits, e.g. 0o666. */
  readonly mode: number;
  /** The host's node, where it has another name there; absent: the same one below /dev. */
  readonly host?: string;
}

/** A file that the guest finds as a block device below /dev: a loop device, which the start takes. */
export interface DiskImage {
  readonly name: string;
  readonly path: string;
  readonly readonly: boolean;
  /** Permission bits of the node, which is the guest's root's. */
  readonly mode: number;
}

export interface MountSpec {
  readonly auto: AutoMounts;
  /** All mounts in order: those of the fstab file (read by the front end), then the entries. */
  readonly entries: readonly MountEntry[];
  readonly dev: DevSpec;
}
