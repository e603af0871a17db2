/** `<ip>` and `<route>` of interfaces, at either end. */
import { addressOf, networkAddress, prefixOfMask } from "../../../spec/address.js";
import { errorDomains } from "../errors.js";
import type { InterfaceAddress, InterfaceRoute } from "./domain.js";
import type { XmlElement } from "./tree.js";
import { all, attribute, invalidArgument, uintAttribute, unsigned32, valueError, xmlError } from "./values.js";

export interface Addresses {
  readonly ips: readonly InterfaceAddress[];
  readonly routes: readonly InterfaceRoute[];
}

/** `whose`: what errors of routes begin with. */
export function readAddresses(element: XmlElement, whose: string): Addresses {
  return {
    ips: all(element, "ip").map(readIp),
    routes: all(element, "route").map((route) => readRoute(route, whose)),
  };
}

type Family = "ipv4" | "ipv6";

function familyOf(text: string): Family | null {
  if (addressOf("ipv4", text) !== null) return "ipv4";
  return addressOf("ipv6", text) === null ? null : "ipv6";
}

function readIp(element: XmlElement): InterfaceAddress {
  const text = attribute(element, "address");
  if (text === null) throw xmlError("Missing required address in <ip>");
  const said = attribute(element, "family");
  const family = said === "ipv4" || said === "ipv6" ? said : familyOf(text);
  const address = family === null ? null : addressOf(family, text);
  if (family === null || address === null) throw xmlError(`Invalid address '${text}' in <ip>`);
  const prefixText = attribute(element, "prefix");
  const prefix = unsigned32(prefixText ?? "0");
  if (prefix === null || prefix > (family === "ipv6" ? 128 : 32))
    throw xmlError(`Invalid prefix value '${prefixText}' in <ip>`);
  const peerText = attribute(element, "peer");
  const peer = peerText === null ? null : addressOf(family, peerText);
  if (peerText !== null && peer === null)
    throw invalidArgument(`Invalid peer '${peerText}' in <ip>`, errorDomains.domain);
  return { address, family, prefix: prefix === 0 ? null : prefix, peer };
}

function readRoute(element: XmlElement, whose: string): InterfaceRoute {
  const wrong = (detail: string): Error => xmlError(`${whose}: ${detail}`, errorDomains.network);
  const prefix = uintAttribute(element, "prefix");
  const metric = uintAttribute(element, "metric");
  if (metric === 0) throw valueError("Invalid value for attribute 'metric' in element 'route': Zero is not permitted");
  const [said, addressText, netmask, gatewayText] = ["family", "address", "netmask", "gateway"].map((name) =>
    attribute(element, name),
  ) as [string | null, string | null, string | null, string | null];
  if (addressText === null) throw wrong("Missing required address attribute in route definition");
  if (gatewayText === null) throw wrong("Missing required gateway attribute in route definition");
  const addressFamily = familyOf(addressText);
  if (addressFamily === null) throw wrong(`Bad network address '${addressText}' in route definition`);
  const gatewayFamily = familyOf(gatewayText);
  if (gatewayFamily === null) throw wrong(`Bad gateway address '${gatewayText}' in route definition`);
  if (said === null || said === "ipv4") {
    const no = said === null ? "No family" : "IPv4 family";
    if (addressFamily !== "ipv4")
      throw wrong(`${no} specified for non-IPv4 address '${addressText}' in route definition`);
    if (gatewayFamily !== "ipv4")
      throw wrong(`${no} specified for non-IPv4 gateway '${addressText}' in route definition`);
    if (netmask !== null) {
      const maskFamily = familyOf(netmask);
      if (maskFamily === null) throw wrong(`Bad netmask address '${netmask}' in route definition`);
      if (maskFamily !== "ipv4")
        throw wrong(`Invalid netmask '${netmask}' for address '${addressText}' (both must be IPv4)`);
      if (prefix !== null) throw wrong("Route definition cannot have both a prefix and a netmask");
    }
  } else if (said === "ipv6") {
    if (addressFamily !== "ipv6")
      throw wrong(`ipv6 family specified for non-IPv6 address '${addressText}' in route definition`);
    if (netmask !== null)
      throw wrong(`Specifying netmask invalid for IPv6 address '${addressText}' in route definition`);
    if (gatewayFamily !== "ipv6")
      throw wrong(`ipv6 specified for non-IPv6 gateway address '${gatewayText}' in route definition`);
  } else throw wrong(`Unrecognized family '${said}' in route definition`);
  const family = said ?? "ipv4";
  const most = family === "ipv6" ? 128 : 32;
  if (prefix !== null && prefix > most)
    throw wrong(`Invalid prefix ${prefix} specified in route definition, must be 0 - ${most}`);
  const address = addressOf(family, addressText)!;
  const bits = netmask === null ? (prefix ?? 0) : prefixOfMask("ipv4", netmask);
  if (bits === null) throw wrong(`Invalid netmask '${netmask}' for address '${addressText}' (it has holes)`);
  if (networkAddress(family, address, bits) !== address)
    throw wrong(`Address '${addressText}' in route definition is not a network address`);
  return {
    family,
    address,
    prefix,
    netmask: netmask === null ? null : addressOf("ipv4", netmask),
    gateway: addressOf(gatewayFamily, gatewayText)!,
    metric,
  };
}
