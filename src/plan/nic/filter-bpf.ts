/**
 * Which frames may leave a container, as a classic BPF program over the frame as it comes in at the host's end. It returns 0 for what must
 * be dropped, and so does the kernel for a load from beyond the frame: a frame that is cut short never passes.
 */
import { view } from "../../sys/bytes.js";
import { assembleClassic, encodeClassic, label, type ClassicInsn, type Label, type Statement } from "../../sys/cbpf.js";
import { addExtensionToX, addToX, keepA, loadFrame, setX, setXToHeaderLength, takeA } from "../../sys/cbpf-packet.js";
import { netmask, networkOf, type Prefixed } from "../../sys/ip.js";
import type { NicFilter } from "../../spec/nic.js";

/** An address (with a full prefix) or a network that a nic may send from. */
export type Allowed = Prefixed & { readonly prefix: number };

export interface FilterRules {
  readonly words: readonly NicFilter[];
  /** The nic's own, six bytes. */
  readonly mac: Uint8Array;
  /** Without the link-local address of the MAC, which is always allowed. */
  readonly allowed4: readonly Allowed[];
  readonly allowed6: readonly Allowed[];
}

const ETH = { source: 6, type: 12, payload: 14 } as const;
const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
/** 802.1Q, 802.1ad and an old one: the kernel has taken the outer tag off, so that a frame that still has one carries two. */
const VLAN_TYPES = [0x8100, 0x88a8, 0x9100] as const;
// Offsets in frames: RFC 826, 791, 8200.
const ARP = { hardwareAndProtocol: 14, lengths: 18, operation: 20, senderMac: 22, senderIp: 28, targetIp: 38 } as const;
const IPV4 = { fragment: 20, protocol: 23, source: 26, destination: 30 } as const;
const IPV6 = { next: 20, source: 22, payload: 54 } as const;
const UDP = 17;
const ICMPV6 = 58;
// RFC 4861, 2710 and 3810.
const ICMP6 = {
  report1: 131,
  done1: 132,
  solicitRouter: 133,
  router: 134,
  solicit: 135,
  advertise: 136,
  redirect: 137,
  report2: 143,
} as const;
/** Hop-by-hop options, routing, fragment and destination options (RFC 8200 4.1). */
const EXTENSIONS = [0, 43, 60] as const;
const FRAGMENT = 44;
/** Extension headers that a packet may have; with more it is dropped, since what follows them is not seen. */
const MOST_EXTENSIONS = 4;
const NEXT_HEADER = 0;

/** The link-local address that a MAC gives: modified EUI-64 (RFC 4291 2.5.6 and appendix A). */
export function linkLocal(mac: Uint8Array): Uint8Array {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac;
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f);
}

interface Ends {
  readonly pass: Label;
  readonly drop: Label;
}

/** Instructions of 8 bytes. */
export function compileFilter(rules: FilterRules): Uint8Array {
  return encodeClassic(filterProgram(rules));
}

export function filterProgram(rules: FilterRules): readonly ClassicInsn[] {
  const has = (word: NicFilter): boolean => rules.words.includes(word);
  const [arp, ipv4, ipv6] = [label("ARP"), label("IPv4"), label("IPv6")];
  const ends: Ends = { pass: label("pass"), drop: label("drop") };
  const knowsAll = has("ipv4") && has("ipv6");
  const allowed6 = [...rules.allowed6, { address: linkLocal(rules.mac), prefix: 128 }];
  return assembleClassic([
    ...(has("mac") ? sameMac(rules.mac, ETH.source, ends) : []),
    loadFrame(2, ETH.type),
    jump(ETH_P_ARP, has("mac") || has("ipv4") ? arp : ends.pass),
    jump(ETH_P_IP, has("ipv4") ? ipv4 : ends.pass),
    jump(ETH_P_IPV6, has("ipv6") ? ipv6 : ends.pass),
    ...(has("ipv4") || has("ipv6") ? VLAN_TYPES.map((type) => jump(type, ends.drop)) : []),
    goto(knowsAll ? ends.drop : ends.pass),
    ...(has("mac") || has("ipv4") ? [place(arp), ...arpRules(rules, has, ends)] : []),
    ...(has("ipv4") ? [place(ipv4), ...ipv4Rules(rules.allowed4, ends)] : []),
    ...(has("ipv6") ? [place(ipv6), ...ipv6Rules(allowed6, ends)] : []),
    place(ends.pass),
    { kind: "return", value: 0xffff_ffff },
    place(ends.drop),
    { kind: "return", value: 0 },
  ]);
}

const place = (at: Label): Statement => ({ kind: "label", label: at });
const goto = (to: Label): Statement => ({ kind: "goto", to });
const jump = (value: number, yes: Label | "next", no: Label | "next" = "next"): Statement => ({
  kind: "jump",
  test: "eq",
  value,
  yes,
  no,
});

function sameMac(mac: Uint8Array, at: number, { drop }: Ends): readonly Statement[] {
  const bytes = view(mac);
  return [
    loadFrame(4, at),
    jump(bytes.getUint32(0), "next", drop),
    loadFrame(2, at + 4),
    jump(bytes.getUint16(4), "next", drop),
  ];
}

/** Goes to `yes` if the address at that offset is one of those allowed, or is none of them and goes on. */
function isAllowed(allowed: readonly Allowed[], at: number, from: "start" | "x", yes: Label): readonly Statement[] {
  return allowed.flatMap(({ address, prefix }) => {
    const other = label("the next address");
    const wanted = view(networkOf(address, prefix));
    const mask = view(netmask(prefix, address.length));
    const words = Array.from({ length: address.length / 4 }, (_, i) => 4 * i).filter((i) => mask.getUint32(i) !== 0);
    return [
      ...words.flatMap((i): readonly Statement[] => [
        loadFrame(4, at + i, from),
        ...(mask.getUint32(i) === 0xffff_ffff ? [] : [{ kind: "and" as const, value: mask.getUint32(i) }]),
        jump(wanted.getUint32(i), "next", other),
      ]),
      goto(yes),
      place(other),
    ];
  });
}

/** Announcements, questions and answers only from the nic's own addresses; a probe (RFC 5227) only for one of them. */
function arpRules(rules: FilterRules, has: (word: NicFilter) => boolean, ends: Ends): readonly Statement[] {
  const { pass, drop } = ends;
  return [
    loadFrame(4, ARP.hardwareAndProtocol),
    jump((1 << 16) | ETH_P_IP, "next", drop),
    loadFrame(2, ARP.lengths),
    jump(0x0604, "next", drop),
    ...(has("mac") ? sameMac(rules.mac, ARP.senderMac, ends) : []),
    ...(has("ipv4")
      ? [
          ...isAllowed(rules.allowed4, ARP.senderIp, "start", pass),
          loadFrame(4, ARP.senderIp),
          jump(0, "next", drop),
          loadFrame(2, ARP.operation),
          jump(1, "next", drop),
          ...isAllowed(rules.allowed4, ARP.targetIp, "start", pass),
          goto(drop),
        ]
      : [goto(pass)]),
  ];
}

/** From the nic's own addresses all but what DHCP clients listen to; from 0.0.0.0 the requests of a DHCP client (RFC 2131 4.1). */
function ipv4Rules(allowed: readonly Allowed[], { pass, drop }: Ends): readonly Statement[] {
  const own = label("an own IPv4 address");
  return [
    ...isAllowed(allowed, IPV4.source, "start", own),
    loadFrame(4, IPV4.source),
    jump(0, "next", drop),
    loadFrame(4, IPV4.destination),
    jump(0xffff_ffff, "next", drop),
    loadFrame(1, IPV4.protocol),
    jump(UDP, "next", drop),
    loadFrame(2, IPV4.fragment),
    { kind: "jump", test: "set", value: 0x3fff, yes: drop, no: "next" },
    setXToHeaderLength(ETH.payload),
    loadFrame(4, ETH.payload, "x"),
    jump((68 << 16) | 67, pass, drop),
    place(own),
    loadFrame(1, IPV4.protocol),
    jump(UDP, "next", pass),
    loadFrame(2, IPV4.fragment),
    { kind: "jump", test: "set", value: 0x1fff, yes: pass, no: "next" },
    setXToHeaderLength(ETH.payload),
    loadFrame(2, ETH.payload + 2, "x"),
    jump(68, drop, pass),
  ];
}

/** From the nic's own addresses all but what only routers and DHCP servers send; from :: what a host without an address sends. */
function ipv6Rules(allowed: readonly Allowed[], ends: Ends): readonly Statement[] {
  const own = label("an own IPv6 address");
  return [
    ...isAllowed(allowed, IPV6.source, "start", own),
    ...fromUnspecified(allowed, ends),
    place(own),
    ...overExtensions(allowed, ends),
  ];
}

/** Duplicate address detection for own addresses (RFC 4862 5.4.2), questions for routers, reports of multicast listeners (RFC 3590). */
function fromUnspecified(allowed: readonly Allowed[], { pass, drop }: Ends): readonly Statement[] {
  const [options, solicit] = [label("hop-by-hop options"), label("duplicate address detection")];
  return [
    ...[0, 4, 8, 12].flatMap((i) => [loadFrame(4, IPV6.source + i), jump(0, "next", drop)]),
    loadFrame(1, IPV6.next),
    jump(0, options),
    jump(ICMPV6, "next", drop),
    loadFrame(1, IPV6.payload),
    jump(ICMP6.solicitRouter, pass),
    jump(ICMP6.solicit, solicit, drop),
    place(options),
    // Eight bytes of options: the next header, their length beyond eight bytes, the router alert.
    loadFrame(2, IPV6.payload),
    jump(ICMPV6 << 8, "next", drop),
    loadFrame(1, IPV6.payload + 8),
    jump(ICMP6.report1, pass),
    jump(ICMP6.done1, pass),
    jump(ICMP6.report2, pass, drop),
    place(solicit),
    ...isAllowed(allowed, IPV6.payload + 8, "start", pass),
    goto(drop),
  ];
}

/** X goes over the extension headers (RFC 7113): what must not pass does not pass behind them either. */
function overExtensions(allowed: readonly Allowed[], { pass, drop }: Ends): readonly Statement[] {
  const upper = label("the upper layer");
  const steps = Array.from({ length: MOST_EXTENSIONS }, (): readonly Statement[] => {
    const [extension, fragment, next] = [label("extension"), label("fragment"), label("next")];
    return [
      ...EXTENSIONS.map((type) => jump(type, extension)),
      jump(FRAGMENT, fragment, upper),
      place(fragment),
      loadFrame(2, 2, "x"),
      // Of a packet's later fragments nothing is said here: its first one has all headers (RFC 7112).
      { kind: "jump", test: "set", value: 0xfff8, yes: pass, no: "next" },
      loadFrame(1, 0, "x"),
      keepA(NEXT_HEADER),
      ...addToX(8),
      goto(next),
      place(extension),
      loadFrame(1, 0, "x"),
      keepA(NEXT_HEADER),
      loadFrame(1, 1, "x"),
      ...addExtensionToX,
      place(next),
      takeA(NEXT_HEADER),
    ];
  });
  const [icmp, udp] = [label("ICMPv6"), label("UDP")];
  const known = [...EXTENSIONS, FRAGMENT].map((type) => jump(type, drop));
  return [
    setX(IPV6.payload),
    loadFrame(1, IPV6.next),
    ...steps.flat(),
    ...known,
    place(upper),
    jump(ICMPV6, icmp),
    jump(UDP, udp, pass),
    place(udp),
    loadFrame(2, 2, "x"),
    jump(546, drop, pass),
    place(icmp),
    loadFrame(1, 0, "x"),
    jump(ICMP6.router, drop),
    jump(ICMP6.redirect, drop),
    jump(ICMP6.advertise, "next", pass),
    ...isAllowed(allowed, 8, "x", pass),
    goto(drop),
  ];
}
