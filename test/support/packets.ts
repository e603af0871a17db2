import { parseIp, parseMac, type Family } from "../../src/sys/ip.js";

/** Ethernet frames as bytes, for tests that send what no honest program sends. Checksums of transport headers stay 0: they are not looked at. */

export function mac(text: string): Uint8Array {
  return parseMac(text) ?? fail(text);
}

export function ip(text: string): Uint8Array {
  const family: Family = text.includes(":") ? "ipv6" : "ipv4";
  return parseIp(family, text) ?? fail(text);
}

function fail(text: string): never {
  throw new Error(`"${text}" is not an address`);
}

export const everybody = "ff:ff:ff:ff:ff:ff";
const u16 = (value: number): readonly number[] => [value >> 8, value & 0xff];

export function ethernet(source: string, type: number, payload: readonly number[], to: string = everybody): Buffer {
  return Buffer.from([...mac(to), ...mac(source), ...u16(type), ...payload]);
}

/** A frame in a VLAN: the tag goes behind the addresses. */
export function tagged(vlan: number, frame: Buffer, type = 0x8100): Buffer {
  return Buffer.concat([frame.subarray(0, 12), Buffer.from([...u16(type), ...u16(vlan)]), frame.subarray(12)]);
}

export interface Arp {
  readonly source: string;
  /** The hardware address in the message; the frame's if not given. */
  readonly sender?: string;
  readonly senderIp: string;
  readonly targetIp: string;
  readonly operation?: 1 | 2;
}

export function arp({ source, sender = source, senderIp, targetIp, operation = 1 }: Arp): Buffer {
  const body = [...u16(1), ...u16(0x0800), 6, 4, ...u16(operation), ...mac(sender), ...ip(senderIp)];
  return ethernet(source, 0x0806, [...body, ...mac("00:00:00:00:00:00"), ...ip(targetIp)]);
}

export interface Ipv4 {
  readonly source: string;
  readonly from: string;
  readonly to?: string;
  readonly protocol?: number;
  /** Flags and offset. */
  readonly fragment?: number;
  /** A multiple of 4. */
  readonly options?: readonly number[];
  readonly payload?: readonly number[];
}

export function ipv4(packet: Ipv4): Buffer {
  const { options = [], payload = [], fragment: place = 0, protocol = 253, to = "255.255.255.255" } = packet;
  const length = 20 + options.length + payload.length;
  const header = [0x45 + options.length / 4, 0, ...u16(length), 0, 0, ...u16(place), 64, protocol, 0, 0];
  header.push(...ip(packet.from), ...ip(to), ...options);
  const sum = header.reduce((total, byte, at) => total + (at % 2 === 0 ? byte << 8 : byte), 0);
  const folded = (sum & 0xffff) + (sum >> 16);
  header.splice(10, 2, ...u16(~((folded & 0xffff) + (folded >> 16)) & 0xffff));
  return ethernet(packet.source, 0x0800, [...header, ...payload]);
}

export function udp(from: number, to: number, payload: readonly number[] = []): readonly number[] {
  return [...u16(from), ...u16(to), ...u16(8 + payload.length), 0, 0, ...payload];
}

export interface Ipv6 {
  readonly source: string;
  readonly from: string;
  readonly to?: string;
  /** What the payload begins with. */
  readonly next?: number;
  readonly payload?: readonly number[];
}

export function ipv6({ source, from, to = "ff02::1", next = 253, payload = [] }: Ipv6): Buffer {
  const header = [0x60, 0, 0, 0, ...u16(payload.length), next, 255, ...ip(from), ...ip(to)];
  return ethernet(source, 0x86dd, [...header, ...payload]);
}

/** An extension header of eight bytes before `payload`, which begins with `next`. */
export function extension(next: number, payload: readonly number[]): readonly number[] {
  return [next, 0, 1, 4, 0, 0, 0, 0, ...payload];
}

/** A fragment header. `offset` in bytes. */
export function fragment(next: number, offset: number, payload: readonly number[]): readonly number[] {
  return [next, 0, ...u16(offset | 1), 0, 0, 0, 1, ...payload];
}

/** ICMPv6 with a target address, as neighbour discovery has it; the target may be missing. */
export function icmp6(type: number, target?: string): readonly number[] {
  return [type, 0, 0, 0, 0, 0, 0, 0, ...(target === undefined ? [] : ip(target))];
}
