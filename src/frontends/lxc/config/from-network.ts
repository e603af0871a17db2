/** Namespaces, id maps and network devices of a spec as configuration lines. */
import { broadcastAddress } from "../../../spec/address.js";
import { namespaceKinds, type NamespaceKind } from "../../../spec/namespace.js";
import type { NicGateway, NicLimit, NicSpec } from "../../../spec/nic.js";
import { burstText, rateText } from "../../../spec/rate.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { namespaceNames } from "./keys-security.js";
import type { Writer } from "./writer.js";

function lxcName(kind: NamespaceKind): string {
  return Object.entries(namespaceNames).find(([, value]) => value === kind)?.[0] ?? kind;
}

/** The words of lxc.namespace.clone or .keep for these kinds, in LXC's order. */
function words(kinds: readonly NamespaceKind[]): string {
  return Object.entries(namespaceNames)
    .filter(([, kind]) => kinds.includes(kind))
    .map(([name]) => name)
    .join(" ");
}

export function fromNamespaces(spec: ContainerSpec, out: Writer): void {
  for (const map of spec.idmap)
    out.text("lxc.idmap", `${map.type === "uid" ? "u" : "g"} ${map.inside} ${map.outside} ${map.count}`);
  const hasOffset = spec.process.timeOffset.boottime !== null || spec.process.timeOffset.monotonic !== null;
  const of = (wanted: "new" | "keep"): readonly NamespaceKind[] =>
    namespaceKinds.filter((kind) => spec.namespaces[kind].kind === wanted);
  if (spec.namespaces.time.kind === "new" && !hasOffset) {
    // Without an offset only a list of what to create asks for a time namespace.
    out.text("lxc.namespace.clone", words(of("new")));
  } else {
    const silent = (kind: NamespaceKind): boolean =>
      kind === "user" || kind === "net" || (kind === "time" && !hasOffset);
    const kept = of("keep").filter((kind) => !silent(kind));
    if (kept.length > 0) out.text("lxc.namespace.keep", words(kept));
    if (spec.namespaces.net.kind === "keep") out.text("lxc.net.0.type", "none");
  }
  for (const kind of namespaceKinds) {
    const choice = spec.namespaces[kind];
    if (choice.kind !== "share") continue;
    if ("file" in choice.with)
      out.comment(`The ${kind} namespace is that of ${choice.with.file}, which LXC cannot say.`);
    else
      out.text(
        `lxc.namespace.share.${lxcName(kind)}`,
        "pid" in choice.with ? String(choice.with.pid) : choice.with.container,
      );
  }
}

export function fromNetwork(spec: ContainerSpec, out: Writer): void {
  if (spec.network.kind === "host") return;
  for (const nic of spec.network.nics) fromNic(nic, out);
}

function fromNic(nic: NicSpec, out: Writer): void {
  const key = (sub: string): string => `lxc.net.${nic.index}.${sub}`;
  out.text(key("type"), nic.type);
  if (nic.type !== "empty") out.text(key("link"), nic.link);
  if (nic.up) out.text(key("flags"), "up");
  out.text(key("name"), nic.name);
  out.text(key("hwaddr"), nic.hwaddr);
  out.text(key("mtu"), nic.mtu === null ? null : String(nic.mtu));
  for (const { family, address, prefix, broadcast } of nic.addresses) {
    const computed = family === "ipv4" ? broadcastAddress(address, prefix) : null;
    out.text(
      key(`${family}.address`),
      `${address}/${prefix}${broadcast === null || broadcast === computed ? "" : ` ${broadcast}`}`,
    );
  }
  out.text(key("ipv4.gateway"), gateway(nic.gateway4));
  out.text(key("ipv6.gateway"), gateway(nic.gateway6));
  out.text(key("script.up"), nic.scriptUp);
  out.text(key("script.down"), nic.scriptDown);
  switch (nic.type) {
    case "veth":
      if (nic.mode !== "bridge") out.text(key("veth.mode"), nic.mode);
      out.text(key("veth.pair"), nic.pair);
      for (const route of nic.routes4) out.text(key("veth.ipv4.route"), route);
      for (const route of nic.routes6) out.text(key("veth.ipv6.route"), route);
      if (nic.rxQueues !== null) out.text(key("veth.n_rxqueues"), String(nic.rxQueues));
      if (nic.txQueues !== null) out.text(key("veth.n_txqueues"), String(nic.txQueues));
      if (nic.vlanId !== null) out.text(key("veth.vlan.id"), String(nic.vlanId));
      for (const id of nic.vlanTagged) out.text(key("veth.vlan.tagged.id"), String(id));
      out.flag(key("l2proxy"), nic.l2proxy, false);
      out.text(`islet.net.${nic.index}.reserve`, nic.reservation?.address ?? null);
      limitLines(out, `islet.net.${nic.index}.limit.in`, nic.limitIn);
      limitLines(out, `islet.net.${nic.index}.limit.out`, nic.limitOut);
      out.text(`islet.net.${nic.index}.filter`, nic.filter === null ? null : nic.filter.words.join(" "));
      break;
    case "macvlan":
      if (nic.mode !== "private") out.text(key("macvlan.mode"), nic.mode);
      break;
    case "ipvlan":
      if (nic.mode !== "l3") out.text(key("ipvlan.mode"), nic.mode);
      if (nic.isolation !== "bridge") out.text(key("ipvlan.isolation"), nic.isolation);
      out.flag(key("l2proxy"), nic.l2proxy, false);
      break;
    case "vlan":
      out.text(key("vlan.id"), String(nic.vlanId));
      break;
    case "phys":
    case "empty":
      break;
    default:
      nic satisfies never;
  }
}

function gateway(value: NicGateway | null): string | null {
  if (value === null) return null;
  return value.kind === "address" ? value.address : value.kind === "auto" ? "auto" : "dev";
}

function limitLines(out: Writer, key: string, limit: NicLimit | null): void {
  if (limit === null) return;
  out.text(key, rateText(limit.rate));
  if (limit.burst !== undefined) out.text(`${key}.burst`, burstText(limit.burst));
  if (limit.peak !== undefined) out.text(`${key}.peak`, rateText(limit.peak));
}
