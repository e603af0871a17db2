import type { Bandwidth, Interface, InterfaceAddress, InterfaceRoute } from "./domain.js";
import { attributeText as at } from "./opaque.js";
import { keptAfterModel, keptAfterScript, keptAtTheEnd, keptBeforeAddresses } from "./read-interface.js";

type Lines = readonly string[];

function indented(lines: Lines): Lines {
  return lines.map((line) => `  ${line}`);
}

export function addressLines({
  ips,
  routes,
}: {
  readonly ips: readonly InterfaceAddress[];
  readonly routes: readonly InterfaceRoute[];
}): Lines {
  return [
    ...ips.map(
      (ip) =>
        `<ip${at("address", ip.address)}${at("family", ip.family)}${at("prefix", ip.prefix)}${at("peer", ip.peer)}/>`,
    ),
    ...routes.map(
      (route) =>
        `<route${at("family", route.family)}${at("address", route.address)}${at("netmask", route.netmask)}` +
        `${at("prefix", route.prefix)}${at("gateway", route.gateway)}${at("metric", route.metric)}/>`,
    ),
  ];
}

/** `live`: with the names that its links have now. */
export function interfaceLines(nic: Interface, live: boolean): Lines {
  const { source } = nic;
  const others = (names: readonly string[]): Lines =>
    nic.others.filter(({ name }) => names.includes(name)).flatMap(({ xml }) => xml.split("\n"));
  const one = (name: string, attributes: string): Lines => (attributes === "" ? [] : [`<${name}${attributes}/>`]);
  return [
    `<interface type='${source.kind === "other" ? source.type : source.kind}'>`,
    ...indented([
      `<mac address='${nic.mac}'/>`,
      ...sourceLines(nic, live),
      ...others(keptBeforeAddresses),
      ...bandwidthLines(nic),
      ...(nic.isolated ? ["<port isolated='yes'/>"] : []),
      ...addressLines(nic),
      ...one("script", at("path", nic.script)),
      ...others(keptAfterScript),
      ...one("target", at("dev", live || !/^(?:vnet|macvtap|macvlan)/.test(nic.target ?? "") ? nic.target : null)),
      ...one("guest", at("dev", nic.guest)),
      ...one("model", at("type", nic.model)),
      ...others(keptAfterModel),
      ...one("link", at("state", nic.link)),
      ...others(keptAtTheEnd),
    ]),
    "</interface>",
  ];
}

function sourceLines({ source }: Interface, live: boolean): Lines {
  switch (source.kind) {
    case "bridge":
      return [`<source${at("bridge", source.bridge)}/>`];
    case "network": {
      const now = live ? `${at("portid", source.portId)}${at("bridge", source.bridge)}` : "";
      return [`<source${at("network", source.network)}${at("portgroup", source.portgroup)}${now}/>`];
    }
    case "ethernet": {
      const inner = addressLines(source);
      return inner.length === 0 ? [] : ["<source>", ...indented(inner), "</source>"];
    }
    case "direct":
      return [`<source${at("dev", source.dev)}${at("mode", source.mode)}/>`];
    case "null":
      return [];
    case "other":
      return source.xml === "" ? [] : source.xml.split("\n");
    default:
      return source satisfies never;
  }
}

function bandwidthLines({ inbound, outbound }: Interface): Lines {
  const rate = (name: string, of: Bandwidth | null): Lines =>
    of === null
      ? []
      : [
          `<${name}${at("average", of.average === 0 ? null : of.average)}${at("peak", of.peak)}${at("floor", of.floor)}${at("burst", of.burst)}/>`,
        ];
  const inner = [...rate("inbound", inbound), ...rate("outbound", outbound)];
  return inner.length === 0 ? [] : ["<bandwidth>", ...indented(inner), "</bandwidth>"];
}
