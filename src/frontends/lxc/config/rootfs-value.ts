import type { RootfsSource } from "../../../spec/rootfs.js";

/** What lxc.rootfs.path says of a root file system. An overlay on a tmpfs needs islet.rootfs.upper besides. "" for the host's. */
export function rootfsValue(source: RootfsSource): string {
  switch (source.kind) {
    case "host":
      return "";
    case "dir":
    case "btrfs":
    case "loop":
      return `${source.kind}:${source.path}`;
    case "overlay": {
      const [first = "", ...rest] = source.lowers;
      if (source.upper !== null) return `overlay:${[...source.lowers, source.upper].join(":")}`;
      return rest.length === 0 ? `dir:${first}` : `overlay:${[...rest, first].join(":")}`;
    }
    case "block":
      return source.driver === "block" ? source.path : `lvm:${source.path}`;
    case "zfs":
      return `zfs:${source.dataset}`;
    case "other":
      return `${source.driver}:${source.path}`;
    default: {
      const impossible: never = source;
      return impossible;
    }
  }
}
