import type { Fault, Source } from "../base/source.js";
import type { DeviceRule } from "./cgroup.js";

/** A device node of the host. */
export interface DeviceNumbers {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
}

/** What a path of the host is. */
export type FindDevice = (path: string) => DeviceNumbers | "other" | null;

/** A device rule as devices.allow and devices.deny take it, or what is wrong with the text. */
export type ParsedDeviceRule =
  { readonly kind: "rule"; readonly rule: DeviceRule } | ({ readonly kind: "fault" } & Pick<Fault, "message" | "hint">);

/**
 * `a`, `c MAJOR:MINOR rwm`, `b MAJOR:MINOR rwm` with `*` for any, or `/dev/path rwm`; without accesses behind a path: all
 * (lxc.container.conf(5), lxc.cgroup.devices; kernel documentation, cgroup-v1/devices).
 */
export function parseDeviceRule(text: string, allow: boolean, at: Source | null, find: FindDevice): ParsedDeviceRule {
  const refused: ParsedDeviceRule = {
    kind: "fault",
    message: `"${text}" is not a device rule`,
    hint: "write a, c MAJOR:MINOR rwm, b MAJOR:MINOR rwm, or /dev/NAME rwm",
  };
  const words = text.split(/[ \t]+/).filter(Boolean);
  const [first = ""] = words;
  if (first === "a") {
    const all = { allow, type: "a", major: null, minor: null, read: true, write: true, mknod: true, at } as const;
    return { kind: "rule", rule: all };
  }
  const isPath = first.startsWith("/");
  const access = words[isPath ? 1 : 2] ?? (isPath ? "rwm" : "");
  if (!/^[rwm]{1,3}$/.test(access) || words.length > (isPath ? 2 : 3)) return refused;
  const accesses = { read: access.includes("r"), write: access.includes("w"), mknod: access.includes("m"), at };
  if (isPath) {
    const found = find(first);
    if (found === null) return { kind: "fault", message: `there is no device "${first}"` };
    if (found === "other") return { kind: "fault", message: `"${first}" is not a device` };
    return { kind: "rule", rule: { allow, type: found.type, major: found.major, minor: found.minor, ...accesses } };
  }
  const match = /^([0-9]{1,8}|\*):([0-9]{1,8}|\*)$/.exec(words[1] ?? "");
  if ((first !== "b" && first !== "c") || match === null) return refused;
  const number = (word: string | undefined): number | null =>
    word === undefined || word === "*" ? null : Number(word);
  return {
    kind: "rule",
    rule: { allow, type: first, major: number(match[1]), minor: number(match[2]), ...accesses },
  };
}
