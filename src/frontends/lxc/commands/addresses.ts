import type { InterfaceStatus } from "../../../engine/engine.js";

/** fe80::/10: LXC shows none of them. */
const isLinkLocal = (address: string): boolean => /^fe[89ab]/i.test(address);

const isLoopback = (nic: InterfaceStatus): boolean => nic.name === "lo";

export function ipv4Addresses(interfaces: readonly InterfaceStatus[]): readonly string[] {
  return interfaces.flatMap((nic) => (isLoopback(nic) ? [] : nic.ipv4));
}

export function ipv6Addresses(interfaces: readonly InterfaceStatus[]): readonly string[] {
  return interfaces.flatMap((nic) => (isLoopback(nic) ? [] : nic.ipv6.filter((address) => !isLinkLocal(address))));
}

/** In the order of getifaddrs(3): the IPv4 addresses of all interfaces, then the IPv6 ones. */
export function allAddresses(interfaces: readonly InterfaceStatus[]): readonly string[] {
  return [...ipv4Addresses(interfaces), ...ipv6Addresses(interfaces)];
}
