/** lxc.cgroup.* and lxc.cgroup2.* as a spec's control group. */
import type { Source } from "../../../base/source.js";
import type { CgroupSetting, CgroupSpec, DeviceRule } from "../../../spec/cgroup.js";
import { type Collector, fault } from "./collector.js";
import { splitWords } from "./grammar.js";
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

/** `a`, `c MAJOR:MINOR rwm`, `b MAJOR:MINOR rwm` with `*` for any, or `/dev/path rwm`. */
function deviceRule(text: string, allow: boolean, at: Source, into: Collector): DeviceRule | null {
  const words = splitWords(text);
  const [first = ""] = words;
  if (first === "a") return { allow, type: "a", major: null, minor: null, read: true, write: true, mknod: true, at };
  const path = first.startsWith("/");
  const access = words[path ? 1 : 2] ?? (path ? "rwm" : "");
  if (!/^[rwm]{1,3}$/.test(access) || words.length > (path ? 2 : 3)) {
    fault(
      into,
      `"${text}" is not a device rule`,
      at,
      "write a, c MAJOR:MINOR rwm, b MAJOR:MINOR rwm, or /dev/NAME rwm",
    );
    return null;
  }
  const device = path ? deviceOf(first, at, into) : deviceNumbers(first, words[1] ?? "", at, text, into);
  if (device === null) return null;
  return { allow, ...device, read: access.includes("r"), write: access.includes("w"), mknod: access.includes("m"), at };
}

type Device = Pick<DeviceRule, "type" | "major" | "minor">;

function deviceNumbers(type: string, numbers: string, at: Source, text: string, into: Collector): Device | null {
  const match = /^([0-9]{1,8}|\*):([0-9]{1,8}|\*)$/.exec(numbers);
  if ((type !== "b" && type !== "c") || match === null) {
    fault(
      into,
      `"${text}" is not a device rule`,
      at,
      "write a, c MAJOR:MINOR rwm, b MAJOR:MINOR rwm, or /dev/NAME rwm",
    );
    return null;
  }
  const number = (word: string | undefined): number | null =>
    word === undefined || word === "*" ? null : Number(word);
  return { type, major: number(match[1]), minor: number(match[2]) };
}

function deviceOf(path: string, at: Source, into: Collector): Device | null {
  const found = into.context.stat(path);
  if (found === null || (found.type !== "c" && found.type !== "b")) {
    fault(into, found === null ? `there is no device "${path}"` : `"${path}" is not a device`, at);
    return null;
  }
  return { type: found.type, major: found.major, minor: found.minor };
}
