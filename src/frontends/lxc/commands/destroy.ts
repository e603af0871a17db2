import { join } from "node:path";
import { IsletError } from "../../../base/errors.js";
import { isSameContainer, noSuchContainer } from "../../../engine/engine.js";
import type { Caller, Command, ContainerId, Engine } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { type Call, lxcCommand } from "./frame.js";
import { rcfileIsGood } from "./freeze.js";
import type { CommandTable } from "./getopt.js";
import { loadConfig } from "./load.js";
import { commonOptions, option, rcfileOption } from "./options.js";

export const destroyTable: CommandTable = {
  tool: "lxc-destroy",
  synopsis: "--name=NAME [-f] [-s]",
  description: "Removes a container with its configuration and root file system.",
  options: [
    option("force", "kill it first if it runs", { short: "f" }),
    option("snapshots", "with its snapshots and the clones that depend on it", { short: "s" }),
    ...commonOptions,
    rcfileOption,
  ],
  operands: "any",
  named: true,
  notes: [
    "A container whose configuration cannot be read, or whose creation was cut off, is removed too; its destroy hooks are then not run, and a line says so.",
  ],
};

/**
 * What destroy hooks and a root file system elsewhere need. null: the configuration is of no use, the directory goes all the same, and
 * `tell` has heard so, unless the container was never whole.
 */
export async function destroySpec(
  id: ContainerId,
  caller: Caller,
  engine: Engine,
  tell: (notice: string) => void,
): Promise<ContainerSpec | null> {
  let source: { readonly file: string; readonly text: string } | null;
  try {
    source = await engine.readConfig(id);
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_PARTIAL") return null;
    throw error;
  }
  if (source === null) throw noSuchContainer(id);
  const loaded = loadConfig(source, caller);
  if (loaded.kind === "loaded") {
    try {
      return loaded.config.spec(id, caller, { command: null, mode: "exec" }, () => undefined);
    } catch (error) {
      if (!(error instanceof IsletError)) throw error;
    }
  }
  tell(
    `the configuration of ${id.name} cannot be read: its destroy hooks are not run, a root file system elsewhere stays`,
  );
  return null;
}

const remove = (call: Call, id: ContainerId): Promise<void> =>
  call.progress.during({ what: `removing ${id.name}` }, removeOne(call, id));

async function removeOne(call: Call, id: ContainerId): Promise<void> {
  const spec = await destroySpec(id, call.caller, call.engine, call.report.notice);
  try {
    await call.engine.destroy(id, spec, call.caller);
  } catch (error) {
    // Clones and snapshots are looked for before the state, so that -f kills nothing that cannot be removed afterwards.
    if (!(error instanceof IsletError && error.code === "ISLET_RUNNING" && call.options.has("force"))) throw error;
    await call.engine.stop(id, { kind: "kill", timeout: null, noKill: false });
    try {
      await call.engine.destroy(id, spec, call.caller);
    } catch (later) {
      // An ephemeral container was removed as it stopped.
      if (!(later instanceof IsletError && later.code === "ISLET_NOT_FOUND")) throw later;
    }
  }
}

/** What goes before `id`: the copies that need its root file system, each after its own, and the snapshots of all of them. */
async function goingFirst(call: Call, id: ContainerId, seen: Set<string>): Promise<readonly ContainerId[]> {
  const key = join(id.storePath, id.name);
  if (seen.has(key)) return [];
  seen.add(key);
  const order: ContainerId[] = [];
  for (const copy of await call.engine.copies(id)) order.push(...(await goingFirst(call, copy, seen)), copy);
  if (await isWhole(call, id)) {
    for (const { storePath, name } of await call.engine.snapshots(id))
      order.push(...(await goingFirst(call, { storePath, name }, seen)), { storePath, name });
  }
  return order.filter((one, index) => order.findIndex((other) => isSameContainer(one, other)) === index);
}

/** false: there is none, or its creation was cut off. */
async function isWhole({ engine }: Call, id: ContainerId): Promise<boolean> {
  try {
    return (await engine.readConfig(id)) !== null;
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_PARTIAL") return false;
    throw error;
  }
}

async function body(call: Call): Promise<number> {
  const { engine, id } = call;
  if (!(await rcfileIsGood(call))) return 1;
  if (call.options.has("snapshots")) {
    if ((await engine.status(id)).state !== "STOPPED" && !call.options.has("force"))
      throw new IsletError("ISLET_RUNNING", `${id.name} is running`);
    const first = await goingFirst(call, id, new Set());
    // All of them are looked at before the first one goes.
    if (!call.options.has("force")) {
      for (const one of first) {
        if ((await engine.status(one)).state !== "STOPPED")
          throw new IsletError("ISLET_BUSY", `${one.name}, which needs ${id.name}, is running`, {
            hint: "lxc-destroy -f kills it first",
          });
      }
    }
    for (const one of first) await remove(call, one);
  }
  await remove(call, id);
  call.report.info(`Destroyed container ${id.name}`);
  return 0;
}

export const destroy: Command = lxcCommand(destroyTable, body);
