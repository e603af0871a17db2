import { IsletError } from "../../../base/errors.js";
import { noSuchContainer } from "../../../engine/engine.js";
import type { Caller, ContainerId, CopyOptions, Engine, FillOptions, Startable } from "../../../engine/engine.js";
import type { CopyRequest, CreateRequest, Documents } from "../../../engine/library.js";
import { nameProblem } from "../../../spec/name.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { StorageRequest } from "../../../spec/storage.js";
import type { TemplateHost } from "../templates/builtin.js";
import { exportTo, importFrom } from "./archive-work.js";
import { type Original, randomName, readOriginal, storageDefaults } from "./copied.js";
import { copyAs, ephemeralKey, quickest } from "./copy-work.js";
import { prependHeader, runTemplate } from "./create.js";
import { newConfigText, storageNamed } from "./create-storage.js";
import { destroySpec } from "./destroy.js";
import { defaultConfig, type Faulty, type InitialConfig, initialConfig, loadConfig, loadForStart } from "./load.js";
import { defaultStore } from "./system.js";
import { bringBack, copySnapshot, removeSnapshots, takeSnapshot } from "./snapshot-work.js";
import { findTemplate, type Template, templateArguments } from "./template.js";

function refused(file: string, { faults }: Faulty): IsletError {
  return new IsletError("ISLET_BAD_CONFIG", `the configuration ${file} cannot be used`, { faults });
}

async function startable(id: ContainerId, caller: Caller, engine: Engine): Promise<Startable> {
  const source = await engine.readConfig(id);
  if (source === null) throw noSuchContainer(id);
  const result = await loadForStart(source, caller, [], { engine, id });
  if (result.kind === "faulty") throw refused(source.file, result);
  return (
    (await engine.definedElsewhere(id)) ??
    result.config.spec(id, caller, { command: null, mode: "exec" }, () => undefined)
  );
}

async function spec(id: ContainerId, caller: Caller, engine: Engine): Promise<ContainerSpec> {
  const what = await startable(id, caller, engine);
  return "make" in what ? await what.make() : what;
}

/** What a new root file system is kept on, the first that can be had; none: it is there already, or none is wanted. */
function storageOf(
  { storage, rootfs }: CreateRequest,
  { rootfsPath, rootfsKind }: InitialConfig,
  template: Template,
): readonly StorageRequest[] {
  if (storage.length > 0) {
    if (rootfs === null && rootfsPath === null) return storage;
    const other = rootfs === null ? "lxc.rootfs.path" : "rootfs";
    throw new IsletError("ISLET_BAD_REQUEST", `storage and ${other} are two root file systems: give one of them`);
  }
  if (template.kind === "none") return [];
  if (rootfs !== null || rootfsPath === null || rootfsKind === "directory")
    return [{ kind: "dir", path: rootfs ?? rootfsPath, size: null }];
  return [storageNamed(rootfsKind, rootfsPath, null)];
}

async function create(id: ContainerId, request: CreateRequest, engine: Engine, waiting: FillOptions): Promise<void> {
  const { caller, run, notice, progress = (): void => undefined, signal = new AbortController().signal } = waiting;
  const source =
    request.config === null
      ? await defaultConfig(caller, engine)
      : { file: `the config of ${id.name}`, text: request.config };
  const loaded = initialConfig(source, caller);
  if (loaded.kind === "faulty") throw refused(source.file, loaded);
  const { initial } = loaded;
  const template = findTemplate(request.template ?? "none", caller);
  const [storage = null, ...alternatives] = storageOf(request, initial, template);
  const host: TemplateHost = { caller, write: () => undefined, run, quiet: false, progress, signal };
  await engine.create(id, {
    storage,
    alternatives,
    idmap: initial.fileMap,
    storageDefaults: storageDefaults(caller),
    config: (root) => {
      const { rootfs } = request;
      const saysItself = rootfs === null && initial.rootfsPath !== null;
      const given = root ?? (rootfs === null ? null : ({ kind: "dir", path: rootfs } as const));
      return newConfigText(initial.text, saysItself ? null : given, storage);
    },
    ...(notice === undefined ? {} : { notice }),
    signal,
    populate: async (paths) => {
      const parameters = templateArguments(paths, id.name, request.templateArguments);
      await runTemplate(host, engine, template, parameters, initial.fileMap, paths);
      await prependHeader(paths.config, template, request.templateArguments);
    },
  });
}

function howOf({ how, size }: CopyRequest, original: Original): CopyOptions["how"] {
  if (how === "quickest") return quickest(original);
  return how === "tmpfs" ? { tmpfs: { bytes: size === null ? null : Number(size) } } : how;
}

const idmapOf = (idmap: NonNullable<CopyRequest["idmap"]>): NonNullable<Parameters<typeof copyAs>[2]["idmap"]> => ({
  lines: idmap.map(({ type, inside, outside, count }) => `${type === "uid" ? "u" : "g"} ${inside} ${outside} ${count}`),
  map: idmap.map((entry) => ({ ...entry, at: null })),
});

/** LXC's documents for users of the library. */
export const lxcDocuments: Documents = {
  defaultStore,
  spec,
  startable,
  create,
  async destroy(id, caller, engine) {
    await engine.destroy(id, await destroySpec(id, caller, engine, () => undefined), caller);
  },
  async copy(source, { storePath, name }, request, engine, waiting) {
    const original = await readOriginal(engine, waiting.caller, source);
    const target: ContainerId = { storePath, name: name ?? randomName(source.name) };
    const { ephemeral, idmap, ...same } = request;
    const wanted = {
      ...same,
      target,
      how: howOf(request, original),
      idmap: idmap === null ? null : idmapOf(idmap),
      added: ephemeral ? [ephemeralKey] : [],
      directories: [],
    };
    await copyAs(engine, original, wanted, waiting);
    return target;
  },
  snapshot: async (id, { name, comment }, engine, waiting) => {
    const original = await readOriginal(engine, waiting.caller, id);
    const named = { name, comment: comment === null ? null : Buffer.from(comment) };
    return await takeSnapshot(engine, original, named, waiting);
  },
  restore: (id, name, engine, waiting) => bringBack(engine, id, name, waiting),
  copySnapshot: (id, name, target, engine, waiting) => copySnapshot(engine, id, name, target, waiting),
  destroySnapshot: (id, name, caller, engine) =>
    removeSnapshots(engine, id, name, caller, { removing: () => undefined, notice: () => undefined }),
  async export(id, { path, compress, allowRunning }, engine, waiting) {
    await exportTo(engine, id, { to: { path: () => path }, compress, allowRunning }, waiting);
  },
  async import(storePath, { path, ...wanted }, engine, waiting) {
    const problem = wanted.name === null ? null : nameProblem(wanted.name);
    if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
    return await importFrom(engine, storePath, { ...wanted, from: { path } }, waiting);
  },
  check(file, text, caller) {
    const loaded = loadConfig({ file, text }, caller);
    if (loaded.kind === "faulty") throw refused(file, loaded);
  },
};
