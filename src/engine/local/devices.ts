import { closeSync, openSync, statSync } from "node:fs";
import { ownLink } from "../../host/netns.js";
import { planInterfaceIn, planInterfaceOut } from "../../plan/nic/hotplug.js";
import { notRunning, whenKnown } from "../../runtime/monitors.js";
import { clientTask } from "../client-task.js";
import { addNode, bindNode, isInterface, mustBind, removeNode, unbindNode } from "../device.js";
import type { ContainerId, DeviceChange, DeviceTask } from "../engine.js";
import type { LiveDevices, Running } from "../live-devices.js";
import type { Requests } from "./groups.js";
import { started } from "./living.js";
import { type EngineParts, inQueue } from "./parts.js";
import { provideBridge } from "./provide-bridges.js";

export const deviceRequests = (parts: EngineParts): Requests<"devices"> => ({
  changeDevice: (id, change) => changeDevice(parts, id, change),
  changeNode: (id, change) => withLive(parts, id, (live, target) => live.changeNode(target, change)),
  async addNic(id, nic) {
    if (nic.link !== null && ownLink(parts.host.arch, nic.link) === null) await provideBridge(parts, nic.link);
    return await withLive(parts, id, (live, target) => live.addNic(target, nic));
  },
  removeNic: (id, hostName) => withLive(parts, id, (live, target) => live.removeNic(target, hostName)),
});

/** In the container's queue, once its main process is known. */
async function withLive<T>(
  parts: EngineParts,
  id: ContainerId,
  change: (live: LiveDevices, target: Running) => Promise<T>,
): Promise<T> {
  const { host, binary, registry } = parts;
  await whenKnown(started(registry, id));
  const { createLiveDevices } = await import("../live-devices.js");
  const live = createLiveDevices(host, binary);
  return await inQueue(parts, id, async () => {
    const { meta, pid, pidfd } = started(registry, id);
    if (pid === null || pidfd === null) throw notRunning(id.name);
    return await change(live, { meta, pid, pidfd });
  });
}

/** What a guest is told of lxc-device's add and del. */
const told = { add: "added", del: "removed" } as const;

async function changeDevice(
  parts: EngineParts,
  id: ContainerId,
  { caller, action, source, destination }: DeviceChange,
): Promise<DeviceTask | null> {
  const { host, registry, apis } = parts;
  const monitor = started(registry, id);
  await whenKnown(monitor);
  const { pid } = monitor;
  if (pid === null) throw notRunning(id.name);
  if (isInterface(action === "add" ? caller.pid : pid, source)) {
    const netns = openSync(`/proc/${pid}/ns/net`, "r");
    const plan = action === "add" ? planInterfaceIn : planInterfaceOut;
    return {
      task: clientTask(plan(source, destination, host), [netns]),
      handedOver: () => {
        closeSync(netns);
      },
      done: () => {
        const name = action === "add" ? destination : source;
        apis.device(id, told[action], name, { name, nictype: "physical", parent: source, type: "nic" });
      },
    };
  }
  const node = nodeDevice(source, destination);
  const done = (): void => {
    apis.device(id, told[action], node.name, node.config);
  };
  const { meta } = monitor;
  if (mustBind(meta)) {
    const plan = action === "add" ? bindNode : unbindNode;
    const program = await inQueue(parts, id, () => Promise.resolve(plan(host, meta, pid, source, destination)));
    const { pidfd } = monitor;
    if (pidfd === null) throw notRunning(id.name);
    return { task: clientTask(program, [pidfd]), handedOver: () => undefined, done };
  }
  const change = action === "add" ? addNode : removeNode;
  await inQueue(parts, id, () => {
    change(host, meta, pid, source, destination);
    return Promise.resolve();
  });
  done();
  return null;
}

/** A device node as LXD describes one. */
function nodeDevice(
  source: string,
  destination: string,
): { readonly name: string; readonly config: Readonly<Record<string, string>> } {
  const stats = statSync(source, { throwIfNoEntry: false });
  const type = stats?.isBlockDevice() === true ? "unix-block" : "unix-char";
  return { name: destination.replace(/^\/+(?:dev\/+)?/, ""), config: { path: destination, source, type } };
}
