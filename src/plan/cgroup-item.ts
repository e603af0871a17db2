import { sharesToWeight, translateToLegacy, translateToUnified, weightToShares, withBfq } from "./cgroup-translate.js";
import type { CgroupSetting } from "../spec/cgroup.js";

/**
 * Files of a running container's cgroup by the names of the other cgroup version, for those who ask by the name they know. What the host
 * has by that very name is never translated.
 */

/** The text of a file that the host has, trimmed; null where there is none. */
export type ReadItem = (file: string) => string | null;

/** What an unlimited v1 counter reads as. */
const unlimited = 0x7fff_ffff_ffff_f000n;

const isUnlimited = (text: string): boolean => text === "-1" || (/^\d+$/.test(text) && BigInt(text) >= unlimited);
/** A limit of v2 as v1 shows it, and the reverse. */
const asLegacy = (text: string): string => (text === "max" ? String(unlimited) : text);
const asUnified = (text: string): string => (isUnlimited(text) ? "max" : text);
const isCount = (text: string | null): text is string => text !== null && /^\d{1,20}$/.test(text);

function sum(first: string | null, second: string | null): string | null {
  if (first === "max" || second === "max") return String(unlimited);
  return isCount(first) && isCount(second) ? String(BigInt(first) + BigInt(second)) : null;
}

/** The swap's share of v1's memory and swap together. */
function difference(both: string | null, memory: string | null): string | null {
  if (!isCount(both) || !isCount(memory)) return null;
  if (isUnlimited(both)) return "max";
  return String(BigInt(both) > BigInt(memory) ? BigInt(both) - BigInt(memory) : 0n);
}

/** `of(text)` of a file, where there is one. */
const from =
  (file: string, of: (text: string) => string | null) =>
  (read: ReadItem): string | null => {
    const text = read(file);
    return text === null ? null : of(text);
  };
const same = (text: string): string => text;
const field = (text: string, name: string): string | null =>
  new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? null;
const cpuMax =
  (index: 0 | 1): ((text: string) => string | null) =>
  (text: string) => {
    const word = text.split(" ")[index];
    return word === undefined ? null : word === "max" ? "-1" : word;
  };

type Reader = (read: ReadItem) => string | null;

function legacyWeight(text: string): string | null {
  const weight = /^default (\d+)$/m.exec(text)?.[1];
  return weight === undefined ? null : String(Math.min(1000, Math.max(10, Math.round(Number(weight) / 10))));
}
/** Of a kernel of v1 without any other (`withBfq`). */
const bfqWeight = "blkio.bfq.weight";

/** Files of v1 in terms of v2. */
const legacyReaders: Readonly<Record<string, Reader>> = {
  "memory.limit_in_bytes": from("memory.max", asLegacy),
  "memory.soft_limit_in_bytes": from("memory.low", asLegacy),
  "memory.usage_in_bytes": from("memory.current", same),
  "memory.memsw.limit_in_bytes": (read) => sum(read("memory.max"), read("memory.swap.max")),
  "memory.memsw.usage_in_bytes": (read) => sum(read("memory.current"), read("memory.swap.current")),
  "cpu.shares": from("cpu.weight", (text) => String(weightToShares(Number(text)))),
  "cpu.cfs_quota_us": from("cpu.max", cpuMax(0)),
  "cpu.cfs_period_us": from("cpu.max", cpuMax(1)),
  "cpuacct.usage": from("cpu.stat", (text) => {
    const microseconds = field(text, "usage_usec");
    return microseconds === null ? null : `${microseconds}000`;
  }),
  "blkio.weight": (read) => from("io.weight", legacyWeight)(read) ?? read(bfqWeight),
  "freezer.state": from("cgroup.freeze", (text) => (text === "1" ? "FROZEN" : "THAWED")),
};

/** Files of v2 in terms of v1. */
const unifiedReaders: Readonly<Record<string, Reader>> = {
  "memory.max": from("memory.limit_in_bytes", asUnified),
  "memory.low": from("memory.soft_limit_in_bytes", asUnified),
  "memory.current": from("memory.usage_in_bytes", same),
  "memory.swap.max": (read) => difference(read("memory.memsw.limit_in_bytes"), read("memory.limit_in_bytes")),
  "memory.swap.current": (read) => difference(read("memory.memsw.usage_in_bytes"), read("memory.usage_in_bytes")),
  "cpu.weight": from("cpu.shares", (text) => String(sharesToWeight(Number(text)))),
  "cpu.max": (read) => {
    const quota = read("cpu.cfs_quota_us");
    const period = read("cpu.cfs_period_us");
    return quota === null || period === null ? null : `${quota.startsWith("-") ? "max" : quota} ${period}`;
  },
  "io.weight": (read) => {
    const text = read("blkio.weight") ?? read(bfqWeight);
    return text === null ? null : `default ${Number(text) * 10}`;
  },
  "cgroup.freeze": from("freezer.state", (text) => (text === "THAWED" ? "0" : "1")),
};

/** What the file would read if the host had it; null: nothing corresponds to it. */
export function translatedItem(file: string, read: ReadItem): string | null {
  const readers = Object.hasOwn(legacyReaders, file) ? legacyReaders : unifiedReaders;
  return Object.hasOwn(readers, file) ? (readers[file]?.(read) ?? null) : null;
}

/** What to write instead. Throws ISLET_UNSUPPORTED where nothing corresponds, ISLET_BAD_CONFIG where the value makes no sense. */
export function translatedSettings(file: string, value: string, read: ReadItem): readonly CgroupSetting[] {
  const made = (version: "v1" | "v2", name: string, text: string | null): readonly CgroupSetting[] =>
    text === null ? [] : [{ version, file: name, value: text, at: null }];
  const isBfq = read(bfqWeight) !== null;
  if (!Object.hasOwn(legacyReaders, file) && !file.startsWith("blkio.")) {
    const known = made("v2", "memory.max", translatedItem("memory.max", read));
    const settings = translateToLegacy({ version: "v2", file, value, at: null }, known);
    return isBfq ? settings.map(withBfq) : settings;
  }
  if (isBfq && file.startsWith("blkio.weight")) return made("v1", file, value).map(withBfq);
  const period = translatedItem("cpu.cfs_period_us", read);
  const quota = translatedItem("cpu.cfs_quota_us", read);
  const setting: CgroupSetting = { version: "v1", file, value, at: null };
  // Quota and period are one file: the other of them stays as it is.
  if (file === "cpu.cfs_period_us" && quota !== null)
    return translateToUnified({ ...setting, file: "cpu.cfs_quota_us", value: quota }, [setting]);
  const limit = read("memory.max");
  return translateToUnified(setting, [
    ...made("v1", "memory.limit_in_bytes", limit === "max" ? "-1" : limit),
    ...made("v1", "cpu.cfs_period_us", period),
  ]);
}
