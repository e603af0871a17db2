import { arp, ethernet, extension, fragment, icmp6, ipv4, ipv6, udp } from "./packets.js";

/** The MAC of nobody. */
export const other = "02:00:00:00:00:0b";

/** Of a nic with 10.9.0.2, fd09::2 and a link-local address, to which 10.66.0.0/20 and fd66::/56 are routed: what it may send, and what not. */
export interface Frames {
  readonly honest: Readonly<Record<string, Buffer>>;
  readonly forged: Readonly<Record<string, Buffer>>;
}

export function frames({ mac: source, local }: { readonly mac: string; readonly local: string }): Frames {
  const honest: Readonly<Record<string, Buffer>> = {
    "a question for a neighbour": arp({ source, senderIp: "10.9.0.2", targetIp: "10.9.0.3" }),
    "an answer": arp({ source, senderIp: "10.9.0.2", targetIp: "10.9.0.3", operation: 2 }),
    "a probe for the own address": arp({ source, senderIp: "0.0.0.0", targetIp: "10.9.0.2" }),
    "an announcement": arp({ source, senderIp: "10.9.0.2", targetIp: "10.9.0.2" }),
    "IPv4 from the own address": ipv4({ source, from: "10.9.0.2", to: "10.9.0.3" }),
    "IPv4 from a network routed here": ipv4({ source, from: "10.66.15.255" }),
    "UDP from the own address": ipv4({ source, from: "10.9.0.2", protocol: 17, payload: udp(53, 5353) }),
    "a request for an address": ipv4({ source, from: "0.0.0.0", protocol: 17, payload: udp(68, 67, [1, 1, 6]) }),
    "a request with IP options": ipv4({
      source,
      from: "0.0.0.0",
      protocol: 17,
      options: [1, 1, 1, 0],
      payload: udp(68, 67),
    }),
    "the renewal of an address": ipv4({ source, from: "10.9.0.2", to: "10.9.0.1", protocol: 17, payload: udp(68, 67) }),
    "a later fragment": ipv4({ source, from: "10.9.0.2", protocol: 17, fragment: 9, payload: udp(67, 68) }),
    "IPv6 from the own address": ipv6({ source, from: "fd09::2" }),
    "IPv6 from the link-local address": ipv6({ source, from: local }),
    "IPv6 from a network routed here": ipv6({ source, from: "fd66::ff:1:2:3:4" }),
    "a question for a neighbour by IPv6": ipv6({ source, from: "fd09::2", next: 58, payload: icmp6(135, "fd09::3") }),
    "an answer by IPv6": ipv6({ source, from: "fd09::2", next: 58, payload: icmp6(136, "fd09::2") }),
    "an answer for the link-local address": ipv6({ source, from: local, next: 58, payload: icmp6(136, local) }),
    "duplicate address detection": ipv6({ source, from: "::", next: 58, payload: icmp6(135, "fd09::2") }),
    "the same for the link-local address": ipv6({ source, from: "::", next: 58, payload: icmp6(135, local) }),
    "a question for routers": ipv6({ source, from: local, next: 58, payload: icmp6(133) }),
    "a question for routers from ::": ipv6({ source, from: "::", next: 58, payload: icmp6(133) }),
    "a report of listeners": ipv6({ source, from: local, next: 0, payload: extension(58, icmp6(143)) }),
    "a report of listeners from ::": ipv6({ source, from: "::", next: 0, payload: extension(58, icmp6(143)) }),
    "a request of DHCPv6": ipv6({ source, from: local, next: 17, payload: udp(546, 547) }),
    "a ping behind extension headers": ipv6({
      source,
      from: "fd09::2",
      next: 0,
      payload: extension(60, extension(43, extension(44, fragment(58, 0, icmp6(128))))),
    }),
    "a later fragment by IPv6": ipv6({ source, from: "fd09::2", next: 44, payload: fragment(58, 8, icmp6(134)) }),
    ESP: ipv6({ source, from: "fd09::2", next: 50, payload: [1, 2, 3] }),
  };

  const forged: Readonly<Record<string, Buffer>> = {
    "another MAC": ipv4({ source: other, from: "10.9.0.2" }),
    "another MAC in ARP": arp({ source, sender: other, senderIp: "10.9.0.2", targetIp: "10.9.0.3" }),
    "another's address in ARP": arp({ source, senderIp: "10.9.0.3", targetIp: "10.9.0.1" }),
    "another's address in an answer": arp({ source, senderIp: "10.9.0.1", targetIp: "10.9.0.3", operation: 2 }),
    "a probe for another's address": arp({ source, senderIp: "0.0.0.0", targetIp: "10.9.0.3" }),
    "an answer from 0.0.0.0": arp({ source, senderIp: "0.0.0.0", targetIp: "10.9.0.2", operation: 2 }),
    "ARP of other hardware": ethernet(source, 0x0806, [0, 6, 8, 0, 6, 4, 0, 1, ...Array.from({ length: 20 }, () => 0)]),
    "ARP cut short": arp({ source, senderIp: "10.9.0.2", targetIp: "10.9.0.3" }).subarray(0, 30),
    "another's IPv4 address": ipv4({ source, from: "10.9.0.3" }),
    "an address beside a network routed here": ipv4({ source, from: "10.66.16.0" }),
    "0.0.0.0 without DHCP": ipv4({ source, from: "0.0.0.0" }),
    "0.0.0.0 to somebody": ipv4({ source, from: "0.0.0.0", to: "10.9.0.3", protocol: 17, payload: udp(68, 67) }),
    "a fragment from 0.0.0.0": ipv4({ source, from: "0.0.0.0", protocol: 17, fragment: 0x2000, payload: udp(68, 67) }),
    "a DHCP answer": ipv4({ source, from: "10.9.0.2", protocol: 17, payload: udp(67, 68) }),
    "a DHCP answer from any port": ipv4({ source, from: "10.9.0.2", protocol: 17, payload: udp(4000, 68) }),
    "a DHCP answer behind IP options": ipv4({
      source,
      from: "10.9.0.2",
      protocol: 17,
      options: [1, 1, 1, 1, 1, 1, 1, 0],
      payload: udp(67, 68),
    }),
    "the first fragment of a DHCP answer": ipv4({
      source,
      from: "10.9.0.2",
      protocol: 17,
      fragment: 0x2000,
      payload: udp(67, 68),
    }),
    "another's IPv6 address": ipv6({ source, from: "fd09::3" }),
    "another's link-local address": ipv6({ source, from: "fe80::1" }),
    "an address beside an IPv6 network routed here": ipv6({ source, from: "fd66:0:0:100::1" }),
    "an answer for another": ipv6({ source, from: "fd09::2", next: 58, payload: icmp6(136, "fd09::3") }),
    "an answer cut short": ipv6({ source, from: "fd09::2", next: 58, payload: icmp6(136) }),
    "duplicate address detection for another": ipv6({ source, from: "::", next: 58, payload: icmp6(135, "fd09::3") }),
    "a ping from ::": ipv6({ source, from: "::", next: 58, payload: icmp6(128) }),
    "UDP from ::": ipv6({ source, from: "::", next: 17, payload: udp(546, 547) }),
    "a router's advertisement": ipv6({ source, from: local, next: 58, payload: icmp6(134) }),
    "a redirection": ipv6({ source, from: local, next: 58, payload: icmp6(137, "fd09::3") }),
    "an advertisement behind options": ipv6({ source, from: local, next: 60, payload: extension(58, icmp6(134)) }),
    "an advertisement behind hop-by-hop options from ::": ipv6({
      source,
      from: "::",
      next: 0,
      payload: extension(58, icmp6(134)),
    }),
    "an advertisement in a first fragment": ipv6({
      source,
      from: local,
      next: 44,
      payload: fragment(58, 0, icmp6(134)),
    }),
    "an advertisement behind more headers than are looked at": ipv6({
      source,
      from: local,
      next: 60,
      payload: extension(60, extension(60, extension(60, extension(60, extension(58, icmp6(134)))))),
    }),
    "a first fragment without its headers": ipv6({ source, from: local, next: 44, payload: fragment(60, 0, []) }),
    "an answer of DHCPv6": ipv6({ source, from: local, next: 17, payload: udp(547, 546) }),
    "a protocol that is none of IP's": ethernet(source, 0x88cc, [1, 2, 3]),
    "a frame of a bridge": ethernet(source, 38, [0x42, 0x42, 3]),
  };
  return { honest, forged };
}
