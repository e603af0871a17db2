import { prepareQuestions } from "../host/netns.js";
import type { ContainerSpec } from "../spec/spec.js";
import { forgetDevices, sweepDevices } from "./device-rules.js";
import type { ContainerId, Engine } from "./engine.js";
import { destroyEphemeral, notedEphemerals } from "./ephemeral.js";
import { groups } from "./local/groups.js";
import { hostRequests } from "./local/host.js";
import { knowledgeRequests } from "./local/know.js";
import { createParts, type EngineParts, inQueue, type LocalOptions } from "./local/parts.js";
import { whenAsked } from "./local/when-asked.js";
import { settleMaking } from "./making.js";
import { createQuickMoves } from "./quick-moves.js";
import type { Registry } from "./registry.js";
import { directoryOf, dropUnwritten, settle } from "./store.js";

export type { LocalOptions } from "./local/parts.js";

export interface LocalEngine extends Engine {
  /** Finds the containers that run already. */
  rediscover(): Promise<void>;
  readonly registry: Registry;
  /** There is something that must be done when a container ends. */
  hasDuties(): boolean;
  /** Loads what requests that have not come yet will need, from the same release as the rest: it may be replaced on the disk at any time. */
  load(): Promise<void>;
  /** Plans a start and throws the program away. */
  rehearse(spec: ContainerSpec): Promise<void>;
  /** Makes what the next start will need. */
  prepare(): void;
  /** Resolves when nothing of it is left but the containers. */
  close(): Promise<void>;
}

/** What answers each of the groups. */
const code = {
  start: () => import("./local/start.js"),
  control: () => import("./local/control.js"),
  enter: () => import("./local/enter.js"),
  devices: () => import("./local/devices.js"),
  make: () => import("./local/make.js"),
} satisfies Record<keyof typeof groups, () => Promise<unknown>>;

/** The engine itself, in this process. */
export function createEngine(options: LocalOptions): LocalEngine {
  const { host } = options;
  const parts = createParts(options);
  const { storage, registry, pool, lxcfs, apis, physReturn, register } = parts;
  const endQuickMoves = createQuickMoves(host, options.binary, registry);
  /** Containers whose remains of a dead daemon are being removed: who asks for one hears of it when that is over. */
  const settling = new Map<string, Promise<void>>();

  const settleOne = async (id: ContainerId): Promise<void> => {
    const settled = inQueue(parts, id, async () => {
      await settle(storage, id);
      dropUnwritten(id);
    });
    settling.set(
      directoryOf(id),
      settled.catch(() => undefined),
    );
    try {
      await settled;
    } finally {
      settling.delete(directoryOf(id));
    }
  };

  const engine: LocalEngine = {
    ...knowledgeRequests(parts, (id) => settling.get(directoryOf(id))),
    ...hostRequests(parts),
    ...whenAsked(groups.start, async () => (await code.start()).startRequests(parts)),
    ...whenAsked(groups.control, async () => (await code.control()).controlRequests(parts)),
    ...whenAsked(groups.enter, async () => (await code.enter()).enteringRequests(parts)),
    ...whenAsked(groups.devices, async () => (await code.devices()).deviceRequests(parts)),
    ...whenAsked(groups.make, async () => (await code.make()).makingRequests(parts)),
    wait: (id, wanted, timeout, aborted) => registry.wait(id, wanted, timeout, aborted),
    subscribe: (listener) => Promise.resolve(registry.subscribe(listener)),
    registry,
    async rediscover() {
      // Before the look around: what appears meanwhile is not missed.
      registry.watchOthers();
      await registry.rediscover();
      for (const id of physReturn.noted()) await takeBack(parts, id);
      await lxcfs.begin();
      apis.resume();
      await register.resume();
      sweepDevices(host.runtimeDir);
      settleMaking(storage, settleOne).catch((error: unknown) => {
        console.error(error);
      });
      for (const id of notedEphemerals(storage))
        if (registry.get(id) === undefined && !registry.isOrphan(id)) endEphemeral(parts, id);
    },
    hasDuties: () =>
      [...registry.all()].some((monitor) => monitor.meta.ephemeral) ||
      [...registry.orphans()].length > 0 ||
      lxcfs.isNeeded() ||
      register.isNeeded() ||
      apis.count > 0,
    load: async () => {
      await Promise.all(Object.values(code).map((load) => load()));
    },
    rehearse: async (spec) => {
      (await code.start()).rehearse(parts, spec);
    },
    prepare: () => {
      pool.prepare();
      prepareQuestions(host.arch);
    },
    close: async () => {
      lxcfs.close();
      apis.abandon();
      endQuickMoves();
      await register.close();
      parts.close();
      return pool.close();
    },
  };
  registry.subscribe((event) => {
    if (event.kind === "state" && event.state === "STOPPED") forgetDevices(host, event);
  });
  registry.onGone((meta) => {
    takeBack(parts, meta).catch((error: unknown) => {
      console.error(error);
    });
  });
  registry.onGone((meta) => {
    if (meta.ephemeral) endEphemeral(parts, meta);
  });
  return engine;
}

/** Interfaces of the host's that it had. */
function takeBack(parts: EngineParts, id: ContainerId): Promise<void> {
  const { registry, physReturn } = parts;
  return inQueue(parts, id, async () => {
    if (registry.get(id) === undefined && !registry.isOrphan(id)) await physReturn.restore(id);
  });
}

function endEphemeral(parts: EngineParts, id: ContainerId): void {
  inQueue(parts, id, async () => {
    await destroyEphemeral(parts.storage, id);
    await parts.register.forget(id);
  }).catch((error: unknown) => {
    console.error(`cannot destroy the ephemeral container ${id.name}`, error);
  });
}
