import { printable } from "../../../base/printable.js";
import type { InterfaceStatus } from "../../../engine/engine.js";
import type { DomainInterface } from "../rpc/messages.js";

/** DOMAIN_INTERFACE_ADDRESSES: what the kernel says of the guest's own interfaces, whoever gave them their addresses. */

/** REMOTE_DOMAIN_INTERFACE_MAX and REMOTE_DOMAIN_IP_ADDR_MAX: a guest may make as many as it likes. */
const mostInterfaces = 2048;
const mostAddresses = 2048;
/** Of all interfaces: what fits into a message, several times. */
const mostTogether = 65_536;

/** virIPAddrType. */
const types = { ipv4: 0, ipv6: 1 } as const;

/** In the order in which the guest got them, IPv4 before IPv6; without loopback, and without those that nobody can be reached by. */
export function guestAddresses(interfaces: readonly InterfaceStatus[]): readonly DomainInterface[] {
  let left = mostTogether;
  return interfaces
    .filter(({ isLoopback, addresses }) => !isLoopback && addresses.length > 0)
    .slice(0, mostInterfaces)
    .map(({ name, hardwareAddress, addresses }) => {
      const addrs = addresses
        .map(({ family, address, prefix }) => ({ type: types[family], addr: address, prefix }))
        .sort((a, b) => a.type - b.type)
        .slice(0, Math.min(mostAddresses, left));
      left -= addrs.length;
      return { name: printable(name), hwaddr: hardwareAddress, addrs };
    });
}
