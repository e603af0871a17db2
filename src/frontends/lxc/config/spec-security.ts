/** Id maps, namespaces, capabilities and security modules of a configuration as a spec has them. */
import type { IdMapEntry } from "../../../spec/idmap.js";
import {
  type NamespaceChoice,
  namespaceKinds,
  type NamespaceKind,
  type NamespaceSpec,
} from "../../../spec/namespace.js";
import type { CapabilityRule, SecuritySpec } from "../../../spec/security.js";
import { type Collector, fault } from "./collector.js";
import type { Values } from "./model.js";
import { hostNetworkNic } from "./spec-network.js";

/** Most extents that the kernel takes in one map (user_namespaces(7)). */
const maxExtents = 340;

export function idmapSpec(values: Values, into: Collector): readonly IdMapEntry[] {
  const entries: IdMapEntry[] = [];
  for (const { value: map, at } of values.idmap) {
    const type = map.type === "u" ? "uid" : "gid";
    const entry: IdMapEntry = { type, inside: map.inside, outside: map.outside, count: map.count, at };
    if (map.count === 0) fault(into, "the id map has no ids: the number must be at least 1", at);
    else if (map.inside + map.count > 2 ** 32 || map.outside + map.count > 2 ** 32)
      fault(into, "the id map goes beyond the largest id", at);
    for (const other of entries) {
      if (other.type !== type) continue;
      if (overlap(other.inside, other.count, map.inside, map.count))
        fault(into, `the ids inside overlap those of line ${other.at?.line ?? 0}`, at);
      else if (overlap(other.outside, other.count, map.outside, map.count))
        fault(into, `the ids on the host overlap those of line ${other.at?.line ?? 0}`, at);
    }
    entries.push(entry);
    if (entries.filter((one) => one.type === type).length === maxExtents + 1)
      fault(into, `more than ${maxExtents} id maps of one kind`, at);
  }
  return entries;
}

function overlap(a: number, countA: number, b: number, countB: number): boolean {
  return a < b + countB && b < a + countA;
}

export function namespaceSpec(values: Values, into: Collector): NamespaceSpec {
  const hostNet = hostNetworkNic(values);
  const [clone, keep] = [values.namespaceClone, values.namespaceKeep];
  const cloneUser = clone.find((item) => item.value === "user");
  if (cloneUser !== undefined && values.idmap.length === 0)
    fault(into, "a user namespace needs an lxc.idmap", cloneUser.at);
  const keepUser = keep.find((item) => item.value === "user");
  if (keepUser !== undefined && values.idmap.length > 0)
    fault(into, "an lxc.idmap needs a user namespace of its own", keepUser.at);

  const choose = (kind: NamespaceKind): NamespaceChoice => {
    const share = values.namespaceShare.get(kind);
    if (share !== undefined) {
      const pid = /^[1-9][0-9]{0,8}$/.test(share.value) ? Number(share.value) : null;
      return { kind: "share", with: pid === null ? { container: share.value } : { pid }, at: share.at };
    }
    if (kind === "user") return values.idmap.length > 0 ? { kind: "new" } : { kind: "keep", at: keepUser?.at ?? null };
    const kept = keep.find((item) => item.value === kind);
    if (kept !== undefined) return { kind: "keep", at: kept.at };
    if (kind === "net" && hostNet !== null) return { kind: "keep", at: hostNet.type?.at ?? hostNet.at };
    const asked = clone.find((item) => item.value === kind);
    if (kind === "time" && asked === undefined)
      return values.timeBoot === null && values.timeMonotonic === null ? { kind: "keep", at: null } : { kind: "new" };
    return clone.length === 0 || asked !== undefined ? { kind: "new" } : { kind: "keep", at: clone[0]?.at ?? null };
  };
  return Object.fromEntries(namespaceKinds.map((kind) => [kind, choose(kind)])) as Record<
    NamespaceKind,
    NamespaceChoice
  >;
}

export function securitySpec(values: Values, into: Collector): SecuritySpec {
  return {
    capabilities: capabilities(values),
    noNewPrivileges: values.noNewPrivs?.value ?? false,
    seccomp: seccomp(values, into),
    apparmor: {
      profile: values.apparmorProfile,
      allowIncomplete: values.apparmorIncomplete?.value ?? false,
      allowNesting: values.apparmorNesting?.value ?? false,
      raw: values.apparmorRaw.map((item) => item.value),
    },
    selinux: {
      context: values.selinuxContext,
      keyringContext: values.selinuxKeyring?.value ?? null,
      mountContext: null,
    },
  };
}

function capabilities(values: Values): CapabilityRule {
  const numbers = (items: Values["capDrop"]): readonly number[] => [...new Set(items.map((item) => item.value.number))];
  return values.capKeepMode
    ? { kind: "keep", capabilities: numbers(values.capKeep) }
    : { kind: "drop", capabilities: numbers(values.capDrop) };
}

function seccomp(values: Values, into: Collector): SecuritySpec["seccomp"] {
  const profile = values.seccompProfile;
  if (profile === null) return null;
  const text = into.context.files.read(profile.value);
  if (text === null)
    fault(into, `the seccomp policy "${profile.value}" cannot be read: it is missing or not a plain file`, profile.at);
  return {
    file: profile.value,
    text: text ?? "",
    allowNesting: values.seccompNesting?.value ?? false,
    notifyProxy: values.seccompProxy?.value ?? null,
    notifyCookie: values.seccompCookie?.value ?? null,
    at: profile.at,
  };
}
