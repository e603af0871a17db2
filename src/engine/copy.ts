import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { humanBytes } from "../base/units.js";
import type { RootfsSource } from "../spec/rootfs.js";
import { plainDirectory } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageContext, StorageHost, StoragePlace } from "../storage/driver.js";
import { removeRoot } from "../storage/drivers.js";
import type { Arch } from "../sys/arch.js";
import { runHook } from "./commands.js";
import { checkShift, makeMountPoint, openPlace, planCopy } from "./copy-root.js";
import type { CopiedConfig, CopyBasics, CopyOptions } from "./copy-requests.js";
import { forgetCopy, noteCopy, originalsOf } from "./dependents.js";
import type { Caller, ContainerId } from "./engine.js";
import { giveName, namePaths } from "./identity.js";
import { isHostnameHook, runHostnameHook, sysconfig } from "./hostname-hook.js";
import { openLayers } from "./layered-files.js";
import { settingsFileOf } from "./settings.js";
import { readPlainFile } from "./plain-file.js";
import { filesOfRoot, type TextFiles } from "./text-files.js";
import { beginConstruction, type Construction, directoryOf } from "./store.js";

/** Most bytes of a file beside a configuration that goes with it: a hook, a fstab. */
const mostBeside = 16 * 1024 * 1024;

/** A copy that is being made. */
export interface CopyWork {
  readonly source: ContainerSpec;
  readonly target: ContainerId;
  readonly options: CopyOptions;
  /** Of the original's main process, if it runs. */
  readonly pid: number | null;
  /** What clone hooks are told that it is called; null: none are run. Absent: as the target is. */
  readonly hookName?: string | null;
  /** Its root file system must not need that of the original, even if it was to be made in an instant. */
  readonly isAlone?: boolean;
  /** Writes what else belongs to it, when all the rest is there. */
  readonly finish?: (directory: string) => void;
}

/** A copy that is in everything as its original. */
export const asTheOriginal: Omit<CopyOptions, keyof CopyBasics | "how"> = {
  storage: null,
  size: null,
  fstype: null,
  volumeGroup: null,
  allowRunning: false,
  hostname: null,
  idmap: null,
  hookArguments: [],
};

export function storageContext(host: StorageHost, options: Partial<CopyBasics>, what: string): StorageContext {
  const { progress, notice, signal } = options;
  return {
    host,
    ...(progress === undefined
      ? {}
      : { progress: ({ files, bytes }) => progress(`${what}: ${files} files, ${humanBytes(bytes)}`) }),
    ...(notice === undefined ? {} : { notice }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Makes a container that is as another one, or leaves nothing. The original is only read, but for the note that the copy needs it. */
export async function copyContainer(host: StorageHost, work: CopyWork): Promise<void> {
  const { source, target, options } = work;
  checkShift(source, options.idmap);
  const construction = beginConstruction(host, target);
  const { directory } = construction;
  const place: StoragePlace = { name: target.name, directory, defaults: options.storageDefaults };
  const context = storageContext(host, options, `copying ${source.name}`);
  let made: RootfsSource | null = null;
  let originals: readonly ContainerId[] = [];
  try {
    const from = source.rootfs.source;
    // A root file system that islet does not manage belongs to somebody else: the copy uses the same one, as in LXC.
    if (from.kind === "host" || !source.rootfs.managed) {
      finishConfig(source, construction, options.config(null));
    } else {
      const plan = await planCopy(
        {
          ...options,
          from,
          fromMap: source.idmap,
          directory: directoryOf(source),
          pid: work.pid,
          isAlone: work.isAlone === true,
        },
        place,
        context,
      );
      construction.note(plan.source);
      const config = options.config(plan.source);
      finishConfig(source, construction, config);
      made = plan.source;
      const root = await plan.make();
      made = root.source;
      if (plainDirectory(root.source) === null) makeMountPoint(directory);
      await personalise(host, work, root.source, config);
      originals = root.depends || root.source.kind === "overlay" ? inherited(source, root.depends) : [];
    }
    work.finish?.(directory);
    options.signal?.throwIfAborted();
    // From here on nothing waits: either all of it is there, or nothing.
    noteCopy(target, originals);
    construction.finish();
  } catch (error) {
    forgetCopy(target, originals);
    if (made !== null) await removeRoot(made, place, { host });
    await construction.abandon();
    if (error instanceof IsletError) throw error;
    throw ioError(`copy ${source.name}`, error);
  }
}

/** What the original needs its copy needs as well, as LXC counts it. */
function inherited(source: ContainerSpec, depends: boolean): readonly ContainerId[] {
  const own = originalsOf(source);
  return depends ? [...own, { storePath: source.storePath, name: source.name }] : own;
}

function finishConfig(source: ContainerSpec, { directory }: Construction, config: CopiedConfig): void {
  const old = directoryOf(source);
  for (const path of config.files) copyBeside(old, directory, path);
  for (const name of config.directories) mkdirSync(`${directory}/${name}`, { mode: 0o700 });
  writeFileSync(`${directory}/config`, config.text, { mode: 0o640, flag: "wx" });
  const settings = settingsFileOf(source);
  // With its old name in it, so that the guest is told to be another one.
  if (existsSync(settings))
    writeFileSync(`${directory}/settings.json`, readPlainFile(settings, mostBeside, "copied").bytes, { mode: 0o600 });
}

/** A file of the container's directory that its configuration names; one that is missing is missing in the copy as well. */
function copyBeside(from: string, to: string, path: string): void {
  if (path.split("/").some((part) => part === "" || part === "." || part === ".."))
    throw new IsletError("ISLET_INTERNAL", `${path} is not a path below ${from}`);
  try {
    const { bytes, mode } = readPlainFile(`${from}/${path}`, mostBeside, "copied");
    mkdirSync(dirname(`${to}/${path}`), { recursive: true, mode: 0o755 });
    writeFileSync(`${to}/${path}`, bytes, { mode, flag: "wx" });
  } catch (error) {
    if (isErrno(error, "ENOENT", "EEXIST")) return;
    if (error instanceof IsletError) throw error;
    throw ioError(`copy ${from}/${path}`, error);
  }
}

/** The copy's own name within its root file system, and the clone hooks. */
async function personalise(
  host: StorageHost,
  { source, target, options, hookName = target.name }: CopyWork,
  root: RootfsSource,
  config: CopiedConfig,
): Promise<void> {
  const hooks = hookName === null ? [] : config.hooks;
  if (options.hostname === null && hooks.length === 0) return;
  // What begins anew with every start keeps nothing that is written now.
  if (root.kind === "overlay" && root.upper === null) return;
  const name = (files: TextFiles): void => {
    if (options.hostname !== null) giveName(files, options.hostname, source.hostname?.value ?? source.name);
  };
  if (hooks.every(isHostnameHook)) {
    using layers = openLayers(host.arch, root, namePaths, [sysconfig]);
    if (layers !== null) {
      name(layers.files);
      if (hookName !== null) for (const _ of hooks) runHostnameHook(layers.files, source.name, hookName);
      return;
    }
  }
  using reached = await openPlace(host, root, true);
  name(filesOfRoot(host.arch, reached.fd));
  const mount = plainDirectory(root) ?? `/proc/${process.pid}/fd/${reached.fd}`;
  if (hookName !== null)
    await runCloneHooks(config, source, target, { arch: host.arch, fd: reached.fd, mount }, options, hookName);
}

/** A root file system that is there: where hooks of the host find it, and by a descriptor. */
export interface ReachedRoot {
  readonly arch: Arch;
  readonly fd: number;
  readonly mount: string;
}

/** `name`: what the hooks are told that the copy is called. */
export async function runCloneHooks(
  config: CopiedConfig,
  source: ContainerId,
  target: ContainerId,
  root: ReachedRoot,
  options: { readonly caller: Caller; readonly hookArguments: readonly string[] },
  name: string = target.name,
): Promise<void> {
  const environment = {
    ...options.caller.environment,
    LXC_SRC_NAME: source.name,
    LXC_NAME: name,
    LXC_CONFIG_FILE: `${directoryOf(target)}/config`,
    LXC_ROOTFS_MOUNT: root.mount,
    LXC_ROOTFS_PATH: config.rootfsPath,
    LXC_HOOK_VERSION: String(config.hookVersion),
    ...(config.hookVersion === 1 ? { LXC_HOOK_TYPE: "clone", LXC_HOOK_SECTION: "lxc" } : {}),
  };
  const own = config.hookVersion === 0 ? [name, "lxc", "clone"] : [];
  for (const command of config.hooks) {
    if (isHostnameHook(command)) runHostnameHook(filesOfRoot(root.arch, root.fd), source.name, name);
    else await runHook(command, [...own, ...options.hookArguments], environment, "clone");
  }
}
