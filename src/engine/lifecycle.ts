import { existsSync, lstatSync, writeFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageRequest } from "../spec/storage.js";
import type { StorageContext, StorageHost, StoragePlace } from "../storage/driver.js";
import { makeRoot, planRoot, removeRoot } from "../storage/drivers.js";
import { flushRoot } from "../storage/flush.js";
import { runHook } from "./commands.js";
import { copiesOf, countedCopies } from "./dependents.js";
import { noSuchContainer } from "./engine.js";
import type { Caller, ContainerId, CreateOptions } from "./engine.js";
import { checkNothingMounted } from "./mounted.js";
import { giveToOwner, reachRoot } from "./new-root.js";
import type { Registry } from "./registry.js";
import { hasCopies } from "./rename.js";
import { leaveNoEmpty, snapshotsOf, snapshotStore } from "./snapshots.js";
import {
  beginConstruction,
  configFileOf,
  constructAround,
  type Construction,
  directoryOf,
  entriesOf,
  holdsOnlyRoot,
  removeAround,
  removeContainer,
} from "./store.js";

/** A directory or device that was there before the container, and stays if nothing comes of it. */
const isSomebodysOwn = (source: RootfsSource): boolean =>
  (source.kind === "block" && source.driver === "block") ||
  (source.kind === "dir" && lstatSync(source.path, { throwIfNoEntry: false }) !== undefined);

/** The first one that can be had, and says so if there was a choice. */
async function planFirst(
  place: StoragePlace,
  requests: readonly StorageRequest[],
  context: StorageContext,
): Promise<{ readonly source: RootfsSource; readonly request: StorageRequest }> {
  for (const [index, request] of requests.entries()) {
    try {
      const source = await planRoot(place, request, context);
      if (requests.length > 1) context.notice?.(`the root file system is kept as ${request.kind}`);
      return { source, request };
    } catch (error) {
      const isOutOfReach = error instanceof IsletError && ["ISLET_UNSUPPORTED", "ISLET_EXISTS"].includes(error.code);
      if (!isOutOfReach || index === requests.length - 1) throw error;
    }
  }
  throw new IsletError("ISLET_BAD_REQUEST", "no storage is asked for");
}

async function fill(
  construction: Construction,
  place: StoragePlace,
  context: StorageContext,
  options: CreateOptions,
): Promise<void> {
  const { directory } = construction;
  const config = `${directory}/config`;
  const write = (source: RootfsSource | null): void => {
    writeFileSync(config, options.config(source), { mode: 0o640, flag: "wx" });
  };
  if (options.storage === null) {
    write(null);
    const rootfs = `${directory}/rootfs`;
    await options.populate({ directory, config, rootfs, root: rootfs, mount: null });
    return;
  }
  const { source, request } = await planFirst(place, [options.storage, ...(options.alternatives ?? [])], context);
  const keep = isSomebodysOwn(source);
  write(source);
  if (!keep) construction.note(source);
  await makeRoot(source, place, request, context);
  try {
    const reached = await reachRoot(context.host, source, directory);
    try {
      giveToOwner(source, reached.paths.root, options.idmap ?? []);
      await options.populate({ directory, config, ...reached.paths });
      await flushRoot(context, source, reached.paths.root);
    } finally {
      reached.close();
    }
    context.signal?.throwIfAborted();
  } catch (error) {
    if (!keep) await removeRoot(source, place, context);
    throw error;
  }
}

/** Makes the container's directory, root file system and config, lets the front end fill it, and leaves all of it or nothing. */
export async function createContainer(
  host: StorageHost,
  registry: Registry,
  id: ContainerId,
  options: CreateOptions,
): Promise<void> {
  if (options.allowRunning !== true && registry.get(id) !== undefined)
    throw new IsletError("ISLET_RUNNING", `a container ${id.name} is running`);
  if (options.aroundRoot === true && options.storage === null && holdsOnlyRoot(id)) {
    const fillAround = async (directory: string): Promise<void> => {
      const rootfs = `${directory}/rootfs`;
      await options.populate({ directory, config: configFileOf(id), rootfs, root: rootfs, mount: null });
    };
    await constructAround(host, id, fillAround, () => options.config(null));
    return;
  }
  const construction = beginConstruction(host, id);
  const { notice, signal } = options;
  const place: StoragePlace = { name: id.name, directory: construction.directory, defaults: options.storageDefaults };
  const context: StorageContext = {
    host,
    ...(notice === undefined ? {} : { notice }),
    ...(signal === undefined ? {} : { signal }),
  };
  try {
    await fill(construction, place, context, options);
    signal?.throwIfAborted();
    construction.finish();
  } catch (error) {
    await construction.abandon();
    if (error instanceof IsletError) throw error;
    throw ioError(`create ${id.name}`, error);
  }
}

/** lxc-destroy: refused while others need it or while it runs; then the destroy hooks, the root file system, the directory. */
export async function destroyContainer(
  host: StorageHost,
  registry: Registry,
  id: ContainerId,
  spec: ContainerSpec | null,
  caller: Caller,
): Promise<void> {
  const directory = directoryOf(id);
  if (!existsSync(configFileOf(id))) throw noSuchContainer(id);
  const own = snapshotStore(id);
  const copies = (await copiesOf(host, id)).filter(({ storePath }) => storePath !== own);
  if (copies.length > 0) throw hasCopies(id, copies, "destroyed");
  if (countedCopies(id) > 0)
    throw new IsletError("ISLET_HAS_CLONES", `${id.name} has clones`, {
      hint: `LXC 1.0 has counted them in ${directory}/lxc_snapshots; remove that file when they are gone`,
    });
  if (await hasSnapshots(host, id)) {
    throw new IsletError("ISLET_HAS_SNAPSHOTS", `${id.name} has snapshots`, {
      hint: `lxc-destroy -n ${id.name} -s removes them, too`,
    });
  }
  if (registry.get(id) !== undefined || registry.isOrphan(id))
    throw new IsletError("ISLET_RUNNING", `${id.name} is running`);
  // A data set is mounted where its container's root is.
  checkNothingMounted(directory, spec?.rootfs.source.kind === "zfs" ? `${directory}/rootfs` : null);
  if (spec !== null) {
    const environment = {
      ...caller.environment,
      LXC_NAME: id.name,
      LXC_CONFIG_FILE: spec.configFile,
      LXC_ROOTFS_PATH: spec.rootfs.documentPath,
      LXC_ROOTFS_MOUNT: spec.rootfs.mountPoint ?? "",
    };
    for (const hook of spec.hooks.list) {
      if (hook.kind === "destroy")
        await runHook(
          hook.command,
          spec.hooks.version === 0 ? [id.name, "lxc", "destroy"] : [],
          environment,
          "destroy",
        );
    }
  }
  if (spec?.rootfs.managed === false && entriesOf(`${directory}/rootfs`).length > 0) {
    await removeAround(host, id);
    return;
  }
  // A root file system of islet's own is removed as what it is; one elsewhere that cannot be told stays.
  await removeContainer(host, id, spec !== null && spec.rootfs.managed ? spec.rootfs.source : null);
  if (id.storePath.endsWith("/snaps")) leaveNoEmpty(id.storePath);
}

async function hasSnapshots(host: StorageHost, id: ContainerId): Promise<boolean> {
  if ((await snapshotsOf(host, id)).length > 0) return true;
  // What else lies there is somebody's.
  const store = snapshotStore(id);
  leaveNoEmpty(store);
  return existsSync(store);
}
