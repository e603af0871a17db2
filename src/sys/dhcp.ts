/** DHCP (RFC 2131) and DNS (RFC 1035) as far as one asks whether somebody answers, or gives back what was given. Numbers of more than a byte are big-endian. */
import { concat } from "./bytes.js";

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
export const DNS_PORT = 53;

const BOOTREQUEST = 1;
export const BOOTREPLY = 2;
const ETHERNET = 1;
/** Answer to everybody: who asks has no address yet. */
const BROADCAST = 0x80;
const MAGIC = [99, 130, 83, 99];
const OPTION_REQUESTED_ADDRESS = 50;
const OPTION_MESSAGE_TYPE = 53;
const OPTION_SERVER = 54;
const OPTION_END = 255;
const DHCPREQUEST = 3;
const DHCPRELEASE = 7;

/** Where an answer has its parts: one byte, four bytes. */
export const DHCP_AT = { op: 0, xid: 4 } as const;
const CIADDR_AT = 12;
const CHADDR_AT = 28;
const OPTIONS_AT = 236;
/** Servers may ignore what is shorter: the least of BOOTP (RFC 1542, 2.1). */
const LEAST = 300;

/**
 * A client that was here before asks for its old address (RFC 2131, 4.3.2, INIT-REBOOT). When that address is of another network, an
 * authoritative server says no at once (DHCPNAK) and remembers nothing. `xid`: four bytes that come back.
 */
export function dhcpReturnQuestion(xid: Uint8Array, mac: Uint8Array, address: Uint8Array): Uint8Array {
  const out = new Uint8Array(LEAST);
  out.set([BOOTREQUEST, ETHERNET, mac.length, 0]);
  out.set(xid, DHCP_AT.xid);
  out[10] = BROADCAST;
  out.set(mac, CHADDR_AT);
  const options = [
    OPTION_MESSAGE_TYPE,
    1,
    DHCPREQUEST,
    OPTION_REQUESTED_ADDRESS,
    address.length,
    ...address,
    OPTION_END,
  ];
  out.set([...MAGIC, ...options], OPTIONS_AT);
  return out;
}

/** A client gives its address back (RFC 2131, 4.4.6); there is no answer. `server`: its address, which it compares. */
export function dhcpRelease(mac: Uint8Array, address: Uint8Array, server: Uint8Array): Uint8Array {
  const out = new Uint8Array(LEAST);
  out.set([BOOTREQUEST, ETHERNET, mac.length, 0]);
  out.set(address, CIADDR_AT);
  out.set(mac, CHADDR_AT);
  const options = [OPTION_MESSAGE_TYPE, 1, DHCPRELEASE, OPTION_SERVER, server.length, ...server, OPTION_END];
  out.set([...MAGIC, ...options], OPTIONS_AT);
  return out;
}

/** Where an answer has the number that it was asked with. */
export const DNS_AT = { id: 0 } as const;
const TXT = 16;
const CHAOS = 3;

/** What version is the server? It is asked itself: no other server is needed for the answer. `id`: two bytes that come back. */
export function dnsVersionQuestion(id: Uint8Array): Uint8Array {
  const labels = ["version", "bind"].map((label) =>
    Uint8Array.from([label.length, ...new TextEncoder().encode(label)]),
  );
  // One question, recursion not desired.
  const header = Uint8Array.from([...id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return concat([header, ...labels, Uint8Array.from([0, 0, TXT, 0, CHAOS])]);
}
