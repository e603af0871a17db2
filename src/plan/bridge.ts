import { IsletError } from "../base/errors.js";
import { type Block, beginProgram, end, finishProgram, goOn, label, place } from "../program/assembler.js";
import type { LaunchProgram } from "../program/ops.js";
import type { BridgeNetwork } from "../spec/bridge.js";
import type { HostFacts } from "../spec/host.js";
import { ENODEV } from "../sys/errno.js";
import { broadcastOf, type Family, parseIp, parseMac } from "../sys/ip.js";
import { delLink, newAddress, newLinkBridge, setLink } from "../sys/netlink.js";
import { writeFile } from "./cgroup.js";
import { interfaceIndex, type NetSockets, openNetSockets, request } from "./nic/netlink.js";
import type { Slot } from "../program/ops.js";

/** How the alias begins of what islet has made. */
export const bridgeMark = "made by islet";

/** The alias of what this daemon has made: whatever else is called so is somebody else's, or that of a daemon with another runtime directory. */
export function ownBridgeMark({ runtimeDir }: HostFacts): string {
  return runtimeDir === "/run/islet" ? bridgeMark : `${bridgeMark} in ${runtimeDir}`.slice(0, longestAlias);
}

/** IFALIASZ without its zero byte. */
const longestAlias = 255;

/** Makes a bridge with its addresses, up, and lets the host forward. What has been done when it fails is `planBridgeDown`'s. */
export function planBridgeUp(net: BridgeNetwork, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { name, hwaddr, ipv4, ipv6 } = net;
  const sockets = openNetSockets(client, "client");
  const mac = hwaddr === null ? undefined : parseMac(hwaddr);
  const link = newLinkBridge({ name, ...(mac === undefined ? {} : { hwaddr: mac }) });
  request(client, sockets, link, {}, `{RTM_NEWLINK, ${name}, bridge}`, {
    note: `make the bridge ${name}`,
    hints: { EEXIST: "an interface of that name is there already", EOPNOTSUPP: "the kernel has no bridges" },
  });
  const index = interfaceIndex(client, sockets, name, { note: `find the bridge ${name}` });
  request(
    client,
    sockets,
    setLink({ index: "late", alias: ownBridgeMark(host) }),
    { index },
    `{RTM_SETLINK, ${name}, alias}`,
    {
      note: `write on ${name} who has made it`,
    },
  );
  const inSysctl = (family: Family, file: string): string => `/proc/sys/net/${family}/conf/${name}/${file}`;
  // Its address serves at once: nobody else can have it yet. A host without IPv6 has none of these.
  for (const file of ["accept_dad", "autoconf"])
    writeFile(client, inSysctl("ipv6", file), "0", `${name}: no ${file}`, null, true);
  giveAddress(client, sockets, index, "ipv4", name, ipv4);
  if (ipv6 !== null) giveAddress(client, sockets, index, "ipv6", name, ipv6);
  request(client, sockets, setLink({ index: "late", up: true }), { index }, `{RTM_SETLINK, ${name}, up}`, {
    note: `bring ${name} up`,
  });
  writeFile(client, "/proc/sys/net/ipv4/ip_forward", "1", "let the host forward IPv4", null);
  if (ipv6 !== null)
    writeFile(client, "/proc/sys/net/ipv6/conf/all/forwarding", "1", "let the host forward IPv6", null);
  end(client, 0, "it is up");
  return finishProgram(client.build);
}

function giveAddress(
  client: Block,
  sockets: NetSockets,
  index: Slot,
  family: Family,
  name: string,
  { address, prefix }: { readonly address: string; readonly prefix: number },
): void {
  const bytes = parseIp(family, address);
  if (bytes === undefined) throw new IsletError("ISLET_BAD_CONFIG", `"${address}" is no address`);
  const broadcast = family === "ipv4" && prefix < 31 ? { broadcast: broadcastOf(bytes, prefix) } : {};
  const message = newAddress({ index: "late", address: bytes, prefix, ...broadcast });
  request(client, sockets, message, { index }, `{RTM_NEWADDR, ${address}/${prefix}}`, {
    note: `give ${name} the address ${address}/${prefix}`,
  });
}

/** Takes the bridge away, if it is there. */
export function planBridgeDown(name: string, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const sockets = openNetSockets(client, "client");
  const gone = label("it is gone");
  request(client, sockets, delLink({ name }), {}, `{RTM_DELLINK, ${name}}`, {
    note: `take the bridge ${name} away`,
    on: goOn(gone, ENODEV),
  });
  place(client, gone);
  end(client, 0, "it is gone");
  return finishProgram(client.build);
}
