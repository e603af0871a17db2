import { type Decoder, integer, list, oneOf, record, text } from "../base/decode.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageHost } from "../storage/driver.js";
import { removeRoot } from "../storage/drivers.js";
import type { ContainerId } from "./engine.js";

/**
 * STORE/NAME/partial: there, and locked, as long as a container is made (LXC's is empty). In ours stands where the root file system will be, which
 * may be outside of the container's directory and then has to be removed apart from it if its creator dies.
 */

interface Partial {
  readonly version: 1;
  readonly root: { readonly kind: "dir" | "btrfs" | "loop" | "lvm" | "zfs"; readonly paths: readonly string[] };
}

const partial: Decoder<Partial> = record<Partial>({
  version: integer(1, 1) as Decoder<1>,
  root: record({ kind: oneOf("dir", "btrfs", "loop", "lvm", "zfs"), paths: list(text) }),
});

/** "" for what is nothing of the container's own, or lies within its directory. */
export function partialText(source: RootfsSource): string {
  const root = ((): Partial["root"] | null => {
    switch (source.kind) {
      case "dir":
      case "btrfs":
      case "loop":
        return { kind: source.kind, paths: [source.path] };
      case "block":
        return source.driver === "lvm" ? { kind: "lvm", paths: [source.path] } : null;
      case "zfs":
        return { kind: "zfs", paths: [source.dataset] };
      case "overlay":
      case "host":
      case "other":
        return null;
      default: {
        const impossible: never = source;
        return impossible;
      }
    }
  })();
  return root === null ? "" : JSON.stringify({ version: 1, root } satisfies Partial);
}

/** What a creator that died has noted; null: nothing that we could remove. */
export function readPartial(content: string): RootfsSource | null {
  let noted: Partial;
  try {
    noted = partial(JSON.parse(content), "partial");
  } catch {
    // LXC's, or cut off while it was written: then nothing has been made yet.
    return null;
  }
  const [path = ""] = noted.root.paths;
  const { kind } = noted.root;
  if (!path.startsWith("/") && kind !== "zfs") return null;
  switch (kind) {
    case "dir":
    case "btrfs":
    case "loop":
      return { kind, path };
    case "lvm":
      return { kind: "block", driver: "lvm", path };
    case "zfs":
      return path === "" ? null : { kind: "zfs", dataset: path };
    default: {
      const impossible: never = kind;
      return impossible;
    }
  }
}

/** Removes the root file system of a container whose creator died. */
export async function removePartial(host: StorageHost, id: ContainerId, content: string): Promise<void> {
  const source = readPartial(content);
  if (source === null) return;
  await removeRoot(source, { name: id.name, directory: `${id.storePath}/${id.name}`, defaults: {} }, { host });
}
