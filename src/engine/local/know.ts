import { existsSync } from "node:fs";
import { missingCalls } from "../../host/features.js";
import { monitorSocketPath, whenKnown } from "../../runtime/monitors.js";
import { instanceIdKey, readyKey, type Settings } from "../../spec/settings.js";
import { clientTask } from "../client-task.js";
import { type ContainerId, type ContainerStatus, type Engine, noSuchContainer } from "../engine.js";
import { addressesOf, interfacesOf, linksOf } from "../network-status.js";
import { containersByCgroup, payloadOf } from "../processes.js";
import { checkName, configFileOf, definedNames, directoryOf, maxConfig, readConfigText, writeWhole } from "../store.js";
import { readDetailedUsage, readLiveUsage, readUsage } from "../usage.js";
import { createWholes } from "../whole.js";
import { started } from "./living.js";
import { type EngineParts, inQueue } from "./parts.js";

/** The requests that ask for what is known of containers, and the few that write some of it down. */
type Knowledge =
  | "defined"
  | "definedElsewhere"
  | "isDefined"
  | "readConfig"
  | "writeConfig"
  | "status"
  | "active"
  | "activeStores"
  | "containersOf"
  | "nested"
  | "usage"
  | "detailedUsage"
  | "liveUsage"
  | "interfaces"
  | "addresses"
  | "links"
  | "hostReport"
  | "settings"
  | "changeSettings"
  | "isReady"
  | "waitReady";

/** @param settled resolves when nothing is being removed any more that a dead daemon has left of a container. */
export function knowledgeRequests(
  parts: EngineParts,
  settled: (id: ContainerId) => Promise<void> | undefined,
): Pick<Engine, Knowledge> {
  const { options, host, storage, registry, apis } = parts;
  const wholes = createWholes(maxConfig);
  return {
    defined: (storePath) => Promise.resolve(definedNames(storePath, wholes)),
    definedElsewhere: async (id) => (await options.definedElsewhere?.(id)) ?? null,
    async isDefined(id) {
      checkName(id.name);
      await settled(id);
      return wholes.look(directoryOf(id)) || (await readConfigText(storage, id)) !== null;
    },
    readConfig: async (id) => {
      await settled(id);
      return await readConfigText(storage, id);
    },
    writeConfig: (id, text) => {
      checkName(id.name);
      writeWhole(configFileOf(id), text, 0o640);
      return Promise.resolve();
    },
    async status(id) {
      const monitor = registry.get(id);
      if (monitor !== undefined && monitor.state === "RUNNING") await whenKnown(monitor);
      return registry.status(id);
    },
    active: (storePath) => {
      const out: ContainerStatus[] = [];
      for (const monitor of registry.all()) {
        if (monitor.meta.storePath === storePath) out.push(registry.status(monitor.meta));
      }
      for (const meta of registry.orphans()) if (meta.storePath === storePath) out.push(registry.status(meta));
      return Promise.resolve(out.sort((a, b) => (a.name < b.name ? -1 : 1)));
    },
    activeStores: () => Promise.resolve([...new Set([...registry.all()].map(({ meta }) => meta.storePath))].sort()),
    containersOf: (storePath, pids) => {
      const payloads = [...registry.all()].flatMap(({ meta }) =>
        meta.storePath === storePath ? payloadOf(meta, host.cgroups) : [],
      );
      return Promise.resolve(containersByCgroup(payloads, pids));
    },
    async nested(id, levels) {
      const monitor = started(registry, id);
      await whenKnown(monitor);
      const { nestedContainers } = await import("../nested.js");
      return nestedContainers(host.arch, monitor, levels);
    },
    usage: (id) => {
      const monitor = registry.get(id);
      if (monitor === undefined)
        return Promise.resolve({
          cpuNanoseconds: null,
          blkioBytes: null,
          memoryBytes: null,
          kernelMemoryBytes: null,
          swapBytes: null,
        });
      return Promise.resolve(readUsage(host.arch, monitor.meta));
    },
    detailedUsage: (id) => Promise.resolve(readDetailedUsage(host.arch, registry.get(id)?.meta ?? null)),
    liveUsage: (id, wanted) =>
      Promise.resolve(readLiveUsage(host.arch, registry.get(id)?.meta ?? null, wanted.activity)),
    async interfaces(id) {
      const monitor = registry.get(id);
      if (monitor === undefined) return [];
      await whenKnown(monitor);
      return monitor.pid === null ? [] : interfacesOf(host.arch, monitor.pid);
    },
    async addresses(id) {
      const monitor = registry.get(id);
      if (monitor !== undefined) await whenKnown(monitor);
      return monitor === undefined || monitor.pid === null
        ? { ipv4: [], ipv6: [] }
        : addressesOf(host.arch, monitor.pid);
    },
    links: (id) => Promise.resolve(linksOf(registry.get(id)?.meta.links ?? [])),
    hostReport: () =>
      Promise.resolve({
        host,
        binary: options.binary,
        missingCalls: missingCalls(host.arch),
        monitors: [...registry.all()].map(({ meta: { storePath, name } }) => ({
          storePath,
          name,
          socket: monitorSocketPath(host.runtimeDir, storePath, name),
        })),
      }),
    settings: (id) =>
      new Promise((resolve) => {
        resolve(readSettings(parts, id));
      }),
    changeSettings: (id, changed) =>
      inQueue(parts, id, async () => {
        checkExists(parts, id);
        const program = apis.changed(id, apis.settings(id).change(changed));
        const monitor = registry.get(id);
        if (program === null || monitor === undefined) return null;
        await whenKnown(monitor);
        const { pidfd } = monitor;
        return pidfd === null ? null : { task: clientTask(program, [pidfd]), handedOver: () => undefined };
      }),
    isReady: (id) => Promise.resolve(registry.get(id) === undefined ? null : apis.isReady(id)),
    waitReady: async (id, timeout, aborted) => {
      checkExists(parts, id);
      await apis.waitReady(id, timeout, aborted);
    },
  };
}

function readSettings(parts: EngineParts, id: ContainerId): Settings {
  const { registry, apis } = parts;
  checkExists(parts, id);
  const store = apis.settings(id);
  // It may be a copy, which is another instance.
  if (store.read()[instanceIdKey] !== undefined) store.instanceId();
  const settings = store.read();
  return settings[readyKey] === undefined
    ? settings
    : { ...settings, [readyKey]: String(registry.get(id) !== undefined && apis.isReady(id) === true) };
}

/** It runs or is defined. */
export function checkExists({ registry }: EngineParts, id: ContainerId): void {
  checkName(id.name);
  if (registry.get(id) === undefined && !existsSync(configFileOf(id))) throw noSuchContainer(id);
}
