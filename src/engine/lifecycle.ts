import { existsSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { TreeHost } from "../storage/tree.js";
import { runHook } from "./commands.js";
import { noSuchContainer } from "./engine.js";
import type { Caller, ContainerId, CreateOptions } from "./engine.js";
import type { Registry } from "./registry.js";
import { beginConstruction, configFileOf, directoryOf, ioError, makeDirectories, removeTree } from "./store.js";

/** Makes the container's directory and config, lets the front end fill it, and leaves all of it or nothing. */
export async function createContainer(
  host: TreeHost,
  registry: Registry,
  id: ContainerId,
  options: CreateOptions,
): Promise<void> {
  if (registry.get(id) !== undefined) throw new IsletError("ISLET_RUNNING", `a container ${id.name} is running`);
  const construction = beginConstruction(host, id);
  const rootfs = options.rootfsPath ?? `${construction.directory}/rootfs`;
  const config = configFileOf(id);
  const madeRootfs = options.rootfs && !existsSync(rootfs);
  try {
    writeFileSync(config, options.config, { mode: 0o640, flag: "wx" });
    if (options.rootfs) makeDirectories(rootfs);
    await options.populate({ directory: construction.directory, config, rootfs });
    construction.finish();
  } catch (error) {
    await construction.abandon();
    if (madeRootfs && options.rootfsPath !== null) await removeTree(host, rootfs);
    if (error instanceof IsletError) throw error;
    throw ioError(`create ${id.name}`, error);
  }
}

/** lxc-destroy: refused while others need it or while it runs; then the destroy hooks, the root file system, the directory. */
export async function destroyContainer(
  host: TreeHost,
  registry: Registry,
  id: ContainerId,
  spec: ContainerSpec | null,
  caller: Caller,
): Promise<void> {
  const directory = directoryOf(id);
  if (!existsSync(configFileOf(id))) throw noSuchContainer(id);
  if (existsSync(`${directory}/lxc_snapshots`)) throw new IsletError("ISLET_HAS_CLONES", `${id.name} has clones`);
  if (hasSnapshots(directory)) throw new IsletError("ISLET_HAS_SNAPSHOTS", `${id.name} has snapshots`);
  if (registry.get(id) !== undefined || registry.isOrphan(id))
    throw new IsletError("ISLET_RUNNING", `${id.name} is running`);
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
    const { source, managed } = spec.rootfs;
    if (managed && source.kind === "dir" && !source.path.startsWith(`${directory}/`) && isSafeToRemove(source.path))
      await removeTree(host, source.path);
  }
  await removeTree(host, directory);
}

function hasSnapshots(directory: string): boolean {
  const snaps = `${directory}/snaps`;
  if (!existsSync(snaps)) return false;
  if (readdirSync(snaps).length > 0) return true;
  rmdirSync(snaps);
  return false;
}

/** A root file system elsewhere goes with its container, but never one that is a directory of the system itself. */
function isSafeToRemove(path: string): boolean {
  return path.startsWith("/") && path.split("/").filter(Boolean).length >= 2;
}
