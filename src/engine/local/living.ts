import { type Monitor, notRunning, whenKnown } from "../../runtime/monitors.js";
import { livingStates } from "../../spec/states.js";
import type { ContainerId } from "../engine.js";
import { freezeContainer } from "../freeze.js";
import type { Registry } from "../registry.js";
import type { EngineParts } from "./parts.js";

/** Containers that run, for requests that want such a one. */

export function running(registry: Registry, id: ContainerId): Monitor {
  const monitor = registry.get(id);
  if (monitor === undefined || monitor.state === "STOPPED") throw notRunning(id.name);
  return monitor;
}

/** Running, and whole: the main program has begun. */
export function started(registry: Registry, id: ContainerId): Monitor {
  const monitor = running(registry, id);
  if (!livingStates.has(monitor.state)) throw notRunning(id.name);
  return monitor;
}

/** Of its main process. */
export async function startedPid(registry: Registry, id: ContainerId): Promise<number> {
  const monitor = running(registry, id);
  await whenKnown(monitor);
  const { pid } = started(registry, id);
  if (pid === null) throw notRunning(id.name);
  return pid;
}

/** Freezes it, or lets it go on. In its queue. */
export async function setFrozen({ host, registry }: EngineParts, id: ContainerId, frozen: boolean): Promise<void> {
  const monitor = started(registry, id);
  if (monitor.doomed) throw notRunning(id.name);
  await freezeContainer(host.arch, monitor, frozen, registry.events.changed);
}
