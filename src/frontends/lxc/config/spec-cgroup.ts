/** lxc.cgroup.* and lxc.cgroup2.* as a spec's control group. */
import type { Source } from "../../../base/source.js";
import type { CgroupSetting, CgroupSpec, DeviceRule } from "../../../spec/cgroup.js";
import { parseDeviceRule } from "../../../spec/device-rule.js";
import { type Collector, fault } from "./collector.js";
import type { Item, NamedText, Values } from "./model.js";

export function cgroupSpec(values: Values, into: Collector): CgroupSpec {
  const { cgroupDir: parent, cgroupContainer: payload, cgroupMonitor: monitor } = values;
  if (parent !== null && (payload ?? monitor) !== null) {
    fault(
      into,
      "lxc.cgroup.dir excludes lxc.cgroup.dir.container and lxc.cgroup.dir.monitor",
      parent.at,
      "leave one of them out",
    );
  }
  if ((payload === null) !== (monitor === null)) {
    fault(
      into,
      "lxc.cgroup.dir.container and lxc.cgroup.dir.monitor must be given together",
      (payload ?? monitor)?.at ?? null,
    );
  }
  const v1 = splitSettings(values.cgroup, "v1", into);
  const v2 = splitSettings(values.cgroup2, "v2", into);
  return {
    settings: [...v1.settings, ...v2.settings],
    devicesV1: v1.devices,
    devicesV2: v2.devices,
    relative: values.cgroupRelative?.value ?? false,
    parent: parent?.value ?? null,
    payload: payload?.value ?? null,
    monitor: monitor?.value ?? null,
    pivot: values.cgroupPivot?.value ?? null,
    inner: values.cgroupInner?.value ?? null,
    pattern: into.context.cgroupPattern ?? null,
  };
}

function splitSettings(
  items: readonly Item<NamedText>[],
  version: "v1" | "v2",
  into: Collector,
): { readonly settings: CgroupSetting[]; readonly devices: DeviceRule[] } {
  const settings: CgroupSetting[] = [];
  const devices: DeviceRule[] = [];
  for (const {
    value: { name, value },
    at,
  } of items) {
    if (name === "devices.allow" || name === "devices.deny") {
      const rule = deviceRule(value, name === "devices.allow", at, into);
      if (rule !== null) devices.push(rule);
    } else settings.push({ version, file: name, value, at });
  }
  return { settings, devices };
}

function deviceRule(text: string, allow: boolean, at: Source, into: Collector): DeviceRule | null {
  const parsed = parseDeviceRule(text, allow, at, (path) => {
    const found = into.context.stat(path);
    if (found === null) return null;
    const { type } = found;
    return type === "c" || type === "b" ? { type, major: found.major, minor: found.minor } : "other";
  });
  if (parsed.kind === "rule") return parsed.rule;
  fault(into, parsed.message, at, parsed.hint);
  return null;
}
