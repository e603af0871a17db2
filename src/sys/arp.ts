/** ARP for IPv4 over Ethernet (RFC 826), without the Ethernet header: 28 bytes, numbers big-endian. */

export const ETH_P_ARP = 0x0806;
export const ARP_SIZE = 28;
/** Where an answer says that it is one (its low byte), and who speaks: four bytes. */
export const ARP_AT = { op: 7, senderAddress: 14 } as const;
export const ARP_REPLY = 2;

/** Who has this address? Asked without one's own, so that nobody learns anything from it (RFC 5227, 2.1.1: ARP probe). */
export function arpProbe(mac: Uint8Array, address: Uint8Array): Uint8Array {
  const out = new Uint8Array(ARP_SIZE);
  // Ethernet, IPv4, the sizes of their addresses, a request.
  out.set([0, 1, 8, 0, 6, 4, 0, 1]);
  out.set(mac, 8);
  out.set(address, 24);
  return out;
}
