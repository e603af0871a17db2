/** Namespaces of the guest's own, and those that it shares. */
import type { IdMapEntry } from "../../../spec/idmap.js";
import type { NamespaceChoice, NamespaceSpec } from "../../../spec/namespace.js";
import { errorCodes, errorDomains } from "../errors.js";
import type { DomainDoc, NamespaceSource } from "../xml/domain.js";
import { type SpecContext, refusal, unsupported } from "./context.js";

type Shared = "sharenet" | "shareipc" | "shareuts";

/** `hasNetwork`: there are links that the guest alone has, or it asks for a network of its own. */
export function namespaceSpec(doc: DomainDoc, hasNetwork: boolean, context: SpecContext): NamespaceSpec {
  const fresh: NamespaceChoice = { kind: "new" };
  const keep: NamespaceChoice = { kind: "keep", at: null };
  const { namespaces } = doc;
  return {
    mount: fresh,
    pid: fresh,
    uts: shared("shareuts", namespaces?.uts ?? null, context) ?? fresh,
    ipc: shared("shareipc", namespaces?.ipc ?? null, context) ?? fresh,
    net: shared("sharenet", namespaces?.net ?? null, context) ?? (hasNetwork ? fresh : keep),
    user: doc.idmap === null ? keep : fresh,
    // Without one the whole hierarchies of the host would be the guest's to see, as they are in libvirt.
    cgroup: fresh,
    time: keep,
  };
}

export function sharesNetwork({ namespaces }: DomainDoc): boolean {
  const source = namespaces?.net ?? null;
  return source !== null && source.type !== "none";
}

function shared(what: Shared, source: NamespaceSource | null, context: SpecContext): NamespaceChoice | null {
  if (source === null) return null;
  const { type, value } = source;
  switch (type) {
    case "none":
      return null;
    case "name": {
      const pid = context.shared(value);
      if (pid === null) throw refusal(errorCodes.noDomain, errorDomains.lxc, `No domain with matching name '${value}'`);
      return { kind: "share", with: { pid }, at: null };
    }
    case "pid": {
      if (!/^[1-9][0-9]{0,8}$/.test(value))
        throw refusal(errorCodes.system, errorDomains.lxc, `failed to open ns ${what}: No such file or directory`);
      return { kind: "share", with: { pid: Number(value) }, at: null };
    }
    case "netns":
      if (what !== "sharenet") throw unsupported("'netns' namespace source can only be used with sharenet");
      if (!/^[^/]+$/.test(value) || value === "." || value === "..")
        throw refusal(errorCodes.system, errorDomains.lxc, `failed to open netns ${value}: No such file or directory`);
      return { kind: "share", with: { file: `/run/netns/${value}` }, at: null };
    default:
      return type satisfies never;
  }
}

export function idmapSpec({ idmap }: DomainDoc): readonly IdMapEntry[] {
  const entries = (type: "uid" | "gid", ranges: NonNullable<DomainDoc["idmap"]>["uids"]): readonly IdMapEntry[] =>
    ranges.map(({ start, target, count }) => ({ type, inside: start, outside: target, count, at: null }));
  return idmap === null ? [] : [...entries("uid", idmap.uids), ...entries("gid", idmap.gids)];
}
