/** DHCP (RFC 2131) as far as it is needed here. Numbers of more than a byte are big-endian. */

export const DHCP_SERVER_PORT = 67;

const BOOTREQUEST = 1;
const ETHERNET = 1;
const CIADDR_AT = 12;
const CHADDR_AT = 28;
const MAGIC = [99, 130, 83, 99];
const OPTIONS_AT = 236;
const OPTION_MESSAGE_TYPE = 53;
const OPTION_SERVER = 54;
const OPTION_END = 255;
const DHCPRELEASE = 7;
/** Servers may ignore what is shorter: the least of BOOTP (RFC 1542, 2.1). */
const LEAST = 300;

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
