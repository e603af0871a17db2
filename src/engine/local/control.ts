import { sendSignal, whenKnown } from "../../runtime/monitors.js";
import { cgroupItem, deviceRuleOf, freezerSwitch, setCgroupItem } from "../cgroup-item.js";
import { changeDevices } from "../device-rules.js";
import { sendRunLevel } from "../initctl.js";
import { stopContainer } from "../stop.js";
import type { Requests } from "./groups.js";
import { running, setFrozen, startedPid } from "./living.js";
import { type EngineParts, inQueue } from "./parts.js";

export function controlRequests(parts: EngineParts): Requests<"control"> {
  const { host, binary, registry } = parts;
  return {
    async stop(id, wanted) {
      const result = await stopContainer(host.arch, registry, id, wanted);
      // An ephemeral one is being removed: whoever has stopped it finds it gone.
      if (registry.get(id) === undefined) await inQueue(parts, id, () => Promise.resolve());
      return result;
    },
    async signal(id, signal) {
      const monitor = running(registry, id);
      await whenKnown(monitor);
      sendSignal(monitor, signal);
    },
    initctl: async (id, runLevel) => await sendRunLevel(host, binary, await startedPid(registry, id), runLevel),
    freeze: (id) => inQueue(parts, id, () => setFrozen(parts, id, true)),
    unfreeze: (id) => inQueue(parts, id, () => setFrozen(parts, id, false)),
    cgroupItem: (id, item) =>
      new Promise((resolve) => {
        resolve(cgroupItem(host, running(registry, id).meta, item));
      }),
    async setCgroupItem(id, item, value) {
      const { meta } = running(registry, id);
      const rule = deviceRuleOf(meta, item, value);
      if (rule !== null) {
        await inQueue(parts, id, () => {
          changeDevices(host, running(registry, id).meta, rule);
          return Promise.resolve();
        });
        return;
      }
      const frozen = freezerSwitch(item, value);
      await (frozen === null
        ? setCgroupItem(host.arch, meta, item, value)
        : inQueue(parts, id, () => setFrozen(parts, id, frozen)));
    },
  };
}
