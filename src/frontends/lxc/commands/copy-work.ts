import type { ContainerId, CopyOptions, Engine, FillOptions } from "../../../engine/engine.js";
import type { StorageKind } from "../../../spec/storage.js";
import { configFor, type Original, storageDefaults } from "./copied.js";

/** Copies of containers as the commands and the library make them. */

export interface MakeCopy {
  readonly target: ContainerId;
  readonly how: CopyOptions["how"];
  readonly storage: StorageKind | null;
  readonly added: readonly (readonly [string, string])[];
  readonly directories: readonly string[];
  readonly size: bigint | null;
  readonly fstype: string | null;
  readonly volumeGroup: string | null;
  readonly hookArguments: readonly string[];
  /** null: as the original's. `lines`: values of lxc.idmap. */
  readonly idmap: { readonly lines: readonly string[]; readonly map: NonNullable<CopyOptions["idmap"]> } | null;
  readonly allowRunning: boolean;
  readonly keepName: boolean;
  readonly keepMac: boolean;
}

/** What nobody has asked for otherwise: a copy like the original, of one that does not run. */
export const plainCopy: Omit<MakeCopy, "target" | "how"> = {
  storage: null,
  added: [],
  directories: [],
  size: null,
  fstype: null,
  volumeGroup: null,
  hookArguments: [],
  idmap: null,
  allowRunning: false,
  keepName: false,
  keepMac: false,
};

export async function copyAs(
  engine: Engine,
  original: Original,
  wanted: MakeCopy,
  waiting: FillOptions,
): Promise<void> {
  const { target, storage, size, fstype, volumeGroup, allowRunning, hookArguments, idmap } = wanted;
  const { caller, progress, notice = (): void => undefined, signal } = waiting;
  const hostname = wanted.keepName ? null : target.name;
  await engine.copy(original.spec, target, {
    caller,
    storageDefaults: storageDefaults(caller),
    how: wanted.how,
    storage,
    size,
    fstype,
    volumeGroup,
    allowRunning,
    hostname,
    idmap: idmap?.map ?? null,
    hookArguments,
    config: configFor(original, target, {
      purpose: "copy",
      hostname,
      keepMac: wanted.keepMac,
      idmap: idmap?.lines ?? null,
      added: wanted.added,
      directories: wanted.directories,
      notice,
    }),
    ...(progress === undefined ? {} : { progress }),
    notice,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** What has no snapshots is copied whole: who wants an ephemeral container does not ask how. */
export function quickest({ spec }: Original): CopyOptions["how"] {
  const { source } = spec.rootfs;
  const isWhole = source.kind === "loop" || (source.kind === "block" && source.driver === "block");
  return isWhole ? "copy" : "snapshot";
}

/** lxc-copy -e without -D. */
export const ephemeralKey = ["lxc.ephemeral", "1"] as const;
