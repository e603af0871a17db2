import { IsletError } from "../../../base/errors.js";
import type {
  Caller,
  ContainerArchive,
  ContainerId,
  Engine,
  Exported,
  ExportOptions,
  FillOptions,
} from "../../../engine/engine.js";
import type { IdMapEntry } from "../../../spec/idmap.js";
import { plainDirectory } from "../../../spec/rootfs.js";
import type { StorageRequest } from "../../../spec/storage.js";
import { host } from "../config/config.js";
import { showBytes } from "../config/keys-islet.js";
import { importedConfig, portableConfig } from "../config/portable.js";
import { rootfsValue } from "../config/rootfs-value.js";
import { readOriginal, storageDefaults } from "./copied.js";
import { loadConfig } from "./load.js";

/** Containers as files, as the commands and the library write and read them. */

export async function exportTo(
  engine: Engine,
  id: ContainerId,
  wanted: Pick<ExportOptions, "to" | "compress" | "allowRunning">,
  waiting: FillOptions,
): Promise<Exported> {
  const original = await readOriginal(engine, waiting.caller, id);
  const { text, files, notices } = portableConfig(original.text, `${id.storePath}/${id.name}`);
  for (const notice of notices) waiting.notice?.(notice);
  return await engine.export(original.spec, { ...waiting, ...wanted, config: { text, files } });
}

export interface Import {
  readonly from: { readonly descriptor: number } | { readonly path: string };
  readonly large: boolean;
  /** null: as it was called. */
  readonly name: string | null;
  /** The same container to its guest and its network. */
  readonly keep: boolean;
  /** The first of these that can be had. */
  readonly storage: readonly [StorageRequest, ...(readonly StorageRequest[])];
}

/** Resolves with what it has become. */
export async function importFrom(
  engine: Engine,
  storePath: string,
  wanted: Import,
  waiting: FillOptions,
): Promise<ContainerId> {
  const { from, large, keep } = wanted;
  const [storage, ...alternatives] = wanted.storage;
  const archive = await engine.readArchive({ ...waiting, from, large });
  try {
    const id = { storePath, name: wanted.name ?? archive.name };
    const size = storage.kind === "dir" ? storage.size : null;
    await archive.create(id, {
      storage,
      alternatives,
      storageDefaults: storageDefaults(waiting.caller),
      ...configOf(archive, id, { keep, size }, waiting),
      hostname: keep ? null : id.name,
      keepInstance: keep,
    });
    return id;
  } finally {
    await archive.close();
  }
}

interface Configured {
  readonly config: Parameters<ContainerArchive["create"]>[1]["config"];
  readonly check: () => readonly IdMapEntry[];
}

/** The configuration it gets, and its check. */
function configOf(
  archive: ContainerArchive,
  id: ContainerId,
  { keep, size }: { readonly keep: boolean; readonly size: bigint | null },
  { caller, notice }: FillOptions,
): Configured {
  const directory = `${id.storePath}/${id.name}`;
  const file = `${directory}/config`;
  let text = "";
  return {
    config: (root) => {
      if (root === null) throw new IsletError("ISLET_INTERNAL", "an import has a root file system");
      const limit =
        size !== null && root.kind === "dir" ? [["islet.rootfs.size", showBytes(Number(size))] as const] : [];
      const made = importedConfig({
        text: archive.config,
        directory,
        root: rootfsValue(root),
        isPlain: plainDirectory(root) === `${directory}/rootfs`,
        hostname: keep ? null : id.name,
        nibble: keep ? null : host.nibble,
        keep,
        added: limit,
      });
      for (const each of made.notices) notice?.(each);
      ({ text } = made);
      return text;
    },
    check: () => checked(file, text, id, caller),
  };
}

/** Gives the id map of the files on the disk. */
function checked(file: string, text: string, id: ContainerId, caller: Caller): readonly IdMapEntry[] {
  const loaded = loadConfig({ file, text }, caller);
  if (loaded.kind === "faulty")
    throw new IsletError("ISLET_BAD_CONFIG", "the configuration in the archive cannot be used", {
      faults: loaded.faults,
    });
  const spec = loaded.config.spec(id, caller, { command: null, mode: "exec" }, () => undefined);
  return spec.rootfs.idmap === "as-is" ? spec.idmap : [];
}
