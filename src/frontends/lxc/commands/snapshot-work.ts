import { IsletError } from "../../../base/errors.js";
import type { Caller, ContainerId, CopyBasics, Engine, FillOptions, SnapshotStatus } from "../../../engine/engine.js";
import { nameProblem } from "../../../spec/name.js";
import { configFor, type NewConfig, type Original, readOriginal, storageDefaults } from "./copied.js";
import { copyAs, plainCopy } from "./copy-work.js";
import { destroySpec } from "./destroy.js";

/** Snapshots as the commands and the library take, bring back and remove them. */

const noNotice = (): void => undefined;

const keepsAll = (notice: (text: string) => void): NewConfig => ({
  purpose: "keep",
  hostname: null,
  keepMac: true,
  idmap: null,
  added: [],
  notice,
});

const basics = (original: Original, target: ContainerId, waiting: FillOptions): CopyBasics => {
  const { caller, progress, notice = noNotice, signal } = waiting;
  return {
    caller,
    storageDefaults: storageDefaults(caller),
    config: configFor(original, target, keepsAll(notice)),
    ...(progress === undefined ? {} : { progress }),
    notice,
    ...(signal === undefined ? {} : { signal }),
  };
};

/** Resolves with its name; `name` null: the next snapN. */
export async function takeSnapshot(
  engine: Engine,
  original: Original,
  { name, comment }: { readonly name: string | null; readonly comment: Uint8Array | null },
  waiting: FillOptions,
): Promise<string> {
  const optionsFor = (snapshot: ContainerId): CopyBasics & { readonly comment: Uint8Array | null } => ({
    ...basics(original, snapshot, waiting),
    comment,
  });
  return await engine.snapshot(original.spec, optionsFor, name);
}

/** ISLET_NOT_FOUND with those that there are. */
async function findSnapshot(engine: Engine, id: ContainerId, name: string): Promise<SnapshotStatus> {
  const all = await engine.snapshots(id);
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = all.map((one) => one.name).join(", ");
  throw new IsletError("ISLET_NOT_FOUND", `${id.name} has no snapshot ${name}`, {
    hint: names === "" ? "it has none at all" : `there are ${names}`,
  });
}

/** The container becomes what it was. */
export async function bringBack(engine: Engine, id: ContainerId, name: string, waiting: FillOptions): Promise<void> {
  const { caller } = waiting;
  const original = await readOriginal(engine, caller, await findSnapshot(engine, id, name));
  const current = await readOriginal(engine, caller, id);
  await engine.restore(current.spec, original.spec, basics(original, id, waiting));
}

/** Another container of it. */
export async function copySnapshot(
  engine: Engine,
  id: ContainerId,
  name: string,
  target: ContainerId,
  waiting: FillOptions,
): Promise<void> {
  const original = await readOriginal(engine, waiting.caller, await findSnapshot(engine, id, name));
  const problem = nameProblem(target.name);
  if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
  const how = original.spec.rootfs.source.kind === "overlay" ? "snapshot" : "copy";
  await copyAs(engine, original, { ...plainCopy, target, how }, waiting);
}

/** `name` null: all of them. `removing`: hears of each before it goes. */
export async function removeSnapshots(
  engine: Engine,
  id: ContainerId,
  name: string | null,
  caller: Caller,
  tell: { readonly removing: (name: string) => void; readonly notice: (text: string) => void },
): Promise<void> {
  const wanted = name === null ? await engine.snapshots(id) : [await findSnapshot(engine, id, name)];
  for (const snapshot of wanted) {
    tell.removing(snapshot.name);
    const spec = await destroySpec(snapshot, caller, engine, tell.notice);
    await engine.destroy(snapshot, spec, caller);
  }
}
