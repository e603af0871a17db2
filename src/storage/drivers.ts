import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageKind, StorageRequest } from "../spec/storage.js";
import type { StorageContext, StorageDriver, StoragePlace } from "./driver.js";

type Loaders = { readonly [K in StorageKind]: () => Promise<StorageDriver<K>> };

/** Nothing of a driver is loaded before it is asked for. */
const loaders: Loaders = {
  dir: async () => (await import("./dir.js")).dirDriver,
  btrfs: async () => (await import("./btrfs.js")).btrfsDriver,
  overlay: async () => (await import("./overlay.js")).overlayDriver,
  loop: async () => (await import("./loop.js")).loopDriver,
  lvm: async () => (await import("./lvm.js")).lvmDriver,
  zfs: async () => (await import("./zfs.js")).zfsDriver,
  block: async () => (await import("./block.js")).blockDriver,
};

/** How a driver is got; its methods are only ever given requests and sources of its own kind. */
export async function driverOf(kind: StorageKind): Promise<StorageDriver> {
  const load: () => Promise<unknown> = loaders[kind];
  return (await load()) as StorageDriver;
}

/** Which driver a root file system belongs to; null: none of ours. */
export function kindOf(source: RootfsSource): StorageKind | null {
  return source.kind === "host" || source.kind === "other"
    ? null
    : source.kind === "block"
      ? source.driver === "lvm"
        ? "lvm"
        : "block"
      : source.kind;
}

/** Where a new one will be. */
export async function planRoot(
  place: StoragePlace,
  request: StorageRequest,
  context: StorageContext,
): Promise<RootfsSource> {
  return await (await driverOf(request.kind)).plan(place, request, context);
}

export async function makeRoot(
  source: RootfsSource,
  place: StoragePlace,
  request: StorageRequest,
  context: StorageContext,
): Promise<void> {
  await (await driverOf(request.kind)).create(source, place, request, context);
}

/** Idempotent. */
export async function removeRoot(source: RootfsSource, place: StoragePlace, context: StorageContext): Promise<void> {
  const kind = kindOf(source);
  if (kind !== null) await (await driverOf(kind)).remove(source, place, context);
}
