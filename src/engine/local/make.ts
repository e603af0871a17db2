import { IsletError } from "../../base/errors.js";
import { type ContainerId, type CreateOptions, type Exported } from "../engine.js";
import { createContainer, destroyContainer } from "../lifecycle.js";
import { checkName, directoryOf, forgetContainer } from "../store.js";
import type { Requests } from "./groups.js";
import { checkExists } from "./know.js";
import { setFrozen } from "./living.js";
import { type EngineParts, inQueue } from "./parts.js";

export function makingRequests(parts: EngineParts): Requests<"make"> {
  const { storage, registry, register } = parts;
  const create = (id: ContainerId, wanted: CreateOptions): Promise<void> =>
    inQueue(parts, id, () => createContainer(storage, registry, id, wanted));
  return {
    create,
    destroy: (id, spec, caller) => {
      const change = async (): Promise<void> => {
        await destroyContainer(storage, registry, id, spec, caller);
        await register.forget(id);
      };
      // Refused at once, even while it starts.
      return registry.get(id) !== undefined ? change() : inQueue(parts, id, change);
    },
    forget: (id, beside) =>
      inQueue(parts, id, () => {
        checkExists(parts, id);
        forgetContainer(id, beside);
        return Promise.resolve();
      }),
    copy: async (source, target, wanted) => {
      const { copyContainer } = await import("../copy.js");
      if (registry.get(target) !== undefined)
        throw new IsletError("ISLET_RUNNING", `a container ${target.name} is running`);
      await both(parts, source, target, () =>
        atRest(parts, source, wanted.allowRunning, (pid) =>
          copyContainer(storage, { source, target, options: wanted, pid }),
        ),
      );
    },
    copies: async (id) => {
      const { copiesOf } = await import("../dependents.js");
      return (await copiesOf(storage, id)).filter(({ storePath }) => storePath !== `${directoryOf(id)}/snaps`);
    },
    rename: async (source, target, wanted) => {
      const { renameContainer } = await import("../rename.js");
      await both(parts, source, target, async () => {
        mustStand(parts, source);
        mustStand(parts, target);
        await renameContainer(storage, source, target, wanted);
        await register.forget(source);
      });
    },
    snapshots: async (id) => {
      checkName(id.name);
      return await (await import("../snapshots.js")).snapshotsOf(storage, id);
    },
    snapshot: async (source, optionsFor, name = null) => {
      const { takeSnapshot } = await import("../snapshots.js");
      return await inQueue(parts, source, async () => {
        mustStand(parts, source);
        return await takeSnapshot(storage, source, optionsFor, name);
      });
    },
    restore: async (current, snapshot, wanted) => {
      const { restoreContainer } = await import("../restore.js");
      await inQueue(parts, current, async () => {
        mustStand(parts, current);
        await restoreContainer(storage, current, snapshot, wanted);
      });
    },
    backUp: async (spec, wanted) => {
      const { backUp } = await import("../backup.js");
      await inQueue(parts, spec, () => atRest(parts, spec, true, () => backUp(storage, spec, wanted)));
    },
    restoreBackup: async (spec, wanted) => {
      const { bringBackUpBack } = await import("../backup.js");
      await inQueue(parts, spec, async () => {
        mustStand(parts, spec);
        await bringBackUpBack(storage, spec, wanted);
      });
    },
    export: async (spec, wanted) => {
      const { exportContainer } = await import("../export.js");
      let exported: Exported = { path: null };
      await inQueue(parts, spec, () =>
        atRest(parts, spec, wanted.allowRunning, async (pid) => {
          exported = await exportContainer(storage, spec, pid, wanted);
        }),
      );
      return exported;
    },
    readArchive: async (wanted) => {
      const { readArchive } = await import("../import.js");
      return await readArchive(storage, wanted, create);
    },
  };
}

/** Neither changes meanwhile. Always in the same order, so that two never wait for each other. */
async function both<T>(
  { queue }: EngineParts,
  one: ContainerId,
  other: ContainerId,
  change: () => Promise<T>,
): Promise<T> {
  const [first, second] = [directoryOf(one), directoryOf(other)].sort();
  if (first === undefined || second === undefined || first === second)
    throw new IsletError("ISLET_EXISTS", `the container ${other.name} exists already`);
  return await queue.run(first, () => queue.run(second, change));
}

/** Nothing of it changes meanwhile: it does not run, or it is frozen. `use` gets its main process. */
async function atRest(
  parts: EngineParts,
  id: ContainerId,
  mayRun: boolean,
  use: (pid: number | null) => Promise<void>,
): Promise<void> {
  const { registry } = parts;
  const monitor = registry.get(id);
  if (monitor === undefined && !registry.isOrphan(id)) {
    await use(null);
    return;
  }
  if (!mayRun || monitor === undefined) throw originalRuns(id.name);
  const wasFrozen = monitor.state === "FROZEN";
  if (!wasFrozen) await setFrozen(parts, id, true);
  try {
    await use(monitor.pid);
  } finally {
    // It may have been ended meanwhile.
    if (!wasFrozen && registry.get(id) === monitor && !monitor.doomed) await setFrozen(parts, id, false);
  }
}

function originalRuns(name: string): IsletError {
  return new IsletError(
    "ISLET_RUNNING",
    `Original container (${name}) is running. Use --allowrunning if you want to force a snapshot of the running container.`,
  );
}

function mustStand({ registry }: EngineParts, id: ContainerId): void {
  checkName(id.name);
  if (registry.get(id) !== undefined || registry.isOrphan(id))
    throw new IsletError("ISLET_RUNNING", `${id.name} is running`, { hint: `stop it first: lxc-stop -n ${id.name}` });
}
