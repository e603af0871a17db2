import type { TestContext } from "node:test";
import { lacks } from "./skip.js";
import { type StoreOptions, volumeGroup } from "./store-place.js";

/** One way to keep root file systems, for the list of tests that all of them must pass. */
export interface StoreKind {
  readonly title: string;
  readonly on: StoreOptions["on"];
  readonly volumes?: StoreOptions["volumes"];
  /** `-B` and its companions. */
  readonly words: readonly string[];
  /** lxc.rootfs.path of STORE/NAME. */
  readonly path: (directory: string, name: string) => string;
  /** Templates find its root mounted. */
  readonly isMounted: boolean;
  readonly isLacking: (t: TestContext) => boolean;
}

const never = (): boolean => false;

const loop = (fstype: string, size: string): StoreKind => ({
  title: `loop with ${fstype}`,
  on: null,
  words: ["-B", "loop", "--fstype", fstype, "--fssize", size],
  path: (directory) => `loop:${directory}/rootdev`,
  isMounted: true,
  isLacking: (t) => lacks(t, "loop") || (fstype !== "ext4" && lacks(t, fstype === "xfs" ? "xfs" : "btrfs")),
});

export const storeKinds: readonly StoreKind[] = [
  {
    title: "dir",
    on: null,
    words: ["-B", "dir"],
    path: (directory) => `dir:${directory}/rootfs`,
    isMounted: false,
    isLacking: never,
  },
  {
    title: "overlay",
    on: null,
    words: ["-B", "overlay"],
    path: (directory) => `overlay:${directory}/rootfs:${directory}/overlay/delta`,
    isMounted: false,
    isLacking: (t) => lacks(t, "overlay"),
  },
  {
    title: "btrfs",
    on: { fstype: "btrfs", size: "200M" },
    words: ["-B", "btrfs"],
    path: (directory) => `btrfs:${directory}/rootfs`,
    isMounted: false,
    isLacking: (t) => lacks(t, "loop") || lacks(t, "btrfs"),
  },
  loop("ext4", "64M"),
  loop("xfs", "320M"),
  loop("btrfs", "128M"),
];

export const volumeKinds: readonly StoreKind[] = (["thick", "thin"] as const).map((volumes) => ({
  title: `lvm, ${volumes} volumes`,
  on: null,
  volumes,
  words: ["-B", "lvm", "--vgname", volumeGroup, "--fssize", "64M"],
  path: (_directory, name) => `lvm:/dev/${volumeGroup}/${name}`,
  isMounted: true,
  isLacking: (t) => lacks(t, "loop") || lacks(t, "lvm"),
}));
