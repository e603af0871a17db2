import { IsletError } from "../../../base/errors.js";
import { noSuchContainer } from "../../../engine/engine.js";
import type { Caller, ContainerId, Engine } from "../../../engine/engine.js";
import type { Documents } from "../../../engine/library.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { TemplateHost } from "../templates/builtin.js";
import { rootfsValue } from "../config/rootfs-value.js";
import { prependHeader, runTemplate } from "./create.js";
import { destroySpec } from "./destroy.js";
import { defaultConfig, defaultStore, type Faulty, initialConfig, loadConfig, loadForStart } from "./load.js";
import { findTemplate, templateArguments } from "./template.js";

function refused(file: string, { faults }: Faulty): IsletError {
  return new IsletError("ISLET_BAD_CONFIG", `the configuration ${file} cannot be used`, { faults });
}

async function spec(id: ContainerId, caller: Caller, engine: Engine): Promise<ContainerSpec> {
  const source = await engine.readConfig(id);
  if (source === null) throw noSuchContainer(id);
  const result = await loadForStart(source, caller, [], { engine, id });
  if (result.kind === "faulty") throw refused(source.file, result);
  return (
    (await engine.definedElsewhere(id)) ??
    result.config.spec(id, caller, { command: null, mode: "exec" }, () => undefined)
  );
}

/** LXC's documents for users of the library. */
export const lxcDocuments: Documents = {
  defaultStore,
  spec,
  async create(id, request, caller, engine, run) {
    const source =
      request.config === null
        ? await defaultConfig(caller, engine)
        : { file: `the config of ${id.name}`, text: request.config };
    const loaded = initialConfig(source, caller);
    if (loaded.kind === "faulty") throw refused(source.file, loaded);
    const { initial } = loaded;
    const template = findTemplate(request.template ?? "none", caller);
    const rootfsPath = request.rootfs ?? initial.rootfsPath;
    const host: TemplateHost = {
      caller,
      write: () => undefined,
      run,
      quiet: false,
      progress: () => undefined,
      signal: new AbortController().signal,
    };
    await engine.create(id, {
      storage: template.kind === "none" ? null : { kind: "dir", path: rootfsPath, size: null },
      storageDefaults: {},
      config: (root) => {
        const given = root ?? (rootfsPath === null ? null : { kind: "dir", path: rootfsPath });
        return given === null || initial.rootfsPath !== null
          ? initial.text
          : `${initial.text}lxc.rootfs.path = ${rootfsValue(given)}\n`;
      },
      populate: async (paths) => {
        const parameters = templateArguments(paths, id.name, request.templateArguments);
        await runTemplate(host, engine, template, parameters, initial.idmap, paths);
        await prependHeader(paths.config, template, request.templateArguments);
      },
    });
  },
  async destroy(id, caller, engine) {
    await engine.destroy(id, await destroySpec(id, caller, engine, () => undefined), caller);
  },
  check(file, text, caller) {
    const loaded = loadConfig({ file, text }, caller);
    if (loaded.kind === "faulty") throw refused(file, loaded);
  },
};
