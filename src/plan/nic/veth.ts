import { IsletError } from "../../base/errors.js";
import { defer } from "../../program/assembler.js";
import { close } from "../../program/calls.js";
import { ENODEV } from "../../sys/errno.js";
import { parseMac } from "../../sys/ip.js";
import { delLink, newLinkVeth } from "../../sys/netlink.js";
import type { NicSpec } from "../../spec/nic.js";
import type { NicContext } from "./nic.js";
import { interfaceIndex, openNetSockets, request } from "./netlink.js";

/** Sixteen hexadecimal digits for each nic, from those of the start: FNV-1a twice, with different beginnings. */
function randomOf(index: number, random: string): string {
  const hash = (begin: number): string => {
    let value = begin;
    for (const char of `${random}/${index}`) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193) >>> 0;
    return value.toString(16).padStart(8, "0");
  };
  return hash(0x811c9dc5) + hash(0x9747b28c);
}

function octets(digits: string): string {
  return digits.replace(/(..)(?=.)/g, "$1:");
}

/** The name of the host's end: given, or vethXXXXXX as LXC makes them. */
export function nearName(pair: string | null, index: number, random: string): string {
  return pair ?? `veth${randomOf(index, random).slice(0, 6)}`;
}

/** A veth pair: its far end is born inside the container under its name there, its near end on the bridge. Returns the near end's name. */
export function planVeth(made: NicContext, nic: Extract<NicSpec, { readonly type: "veth" }>): string {
  const { context, name, sockets, netns } = made;
  const { monitor, start } = context;
  if (nic.mode === "router")
    throw new IsletError("ISLET_UNSUPPORTED", "lxc.net.N.veth.mode = router is not available", { at: nic.at });
  if (nic.vlanId !== null || nic.vlanTagged.length > 0)
    throw new IsletError("ISLET_UNSUPPORTED", "VLANs of a veth are not available", { at: nic.at });
  const random = randomOf(nic.index, start.random);
  const near = nearName(nic.pair, nic.index, start.random);
  const hwaddr =
    nic.hwaddr !== null
      ? parseMac(nic.hwaddr)
      : context.spec.guest.stableNics
        ? parseMac(`02:${octets(randomOf(nic.index, `${start.random}/inside`).slice(6, 16))}`)
        : undefined;
  // A high address keeps the bridge from taking this port's address for its own.
  const nearAddress = parseMac(`fe:${octets(random.slice(6, 16))}`);
  const master =
    nic.link === null
      ? null
      : interfaceIndex(monitor, sockets, nic.link, {
          note: `find the bridge ${nic.link}`,
          hints: {
            ENODEV: `there is no interface ${nic.link} on the host; make the bridge, or change lxc.net.${nic.index}.link`,
          },
        });
  const message = newLinkVeth({
    name: near,
    peerName: name,
    up: true,
    peerNetnsFd: "late",
    ...(nic.mtu === null ? {} : { mtu: nic.mtu, peerMtu: nic.mtu }),
    ...(hwaddr === undefined ? {} : { peerHwaddr: hwaddr }),
    ...(nearAddress === undefined ? {} : { hwaddr: nearAddress }),
    ...(nic.rxQueues === null ? {} : { numRxQueues: nic.rxQueues, peerNumRxQueues: nic.rxQueues }),
    ...(nic.txQueues === null ? {} : { numTxQueues: nic.txQueues, peerNumTxQueues: nic.txQueues }),
    ...(master === null ? {} : { master: "late" as const }),
  });
  request(
    monitor,
    sockets,
    message,
    { netnsFd: netns, ...(master === null ? {} : { masterIndex: master }) },
    `{RTM_NEWLINK, veth ${near} and ${name}${nic.link === null ? "" : `, master ${nic.link}`}}`,
    {
      note: `make the veth pair ${near} and ${name}`,
      hints: {
        EEXIST: `the name ${near} is in use on the host`,
        EOPNOTSUPP: `${nic.link === null ? "" : `${nic.link} is not a bridge, or `}this kernel has no veth`,
        EINVAL: `${nic.link ?? "the link"} is not a bridge, or a value of the nic is refused`,
      },
    },
  );
  // Only now: before, the name may be somebody else's. A pair whose making could not be acknowledged ends with the namespace.
  defer(monitor, `remove ${near}`, `remove ${near} at the end`, (undo) => {
    const own = openNetSockets(undo, "undo");
    request(undo, own, delLink({ name: near }), {}, `{RTM_DELLINK, ${near}}`, {
      note: `remove ${near}`,
      on: [{ on: ENODEV, to: "next" }],
    });
    close(undo, own.rtnl, "close the netlink socket");
    close(undo, own.ioctl, "close the ioctl socket");
  });
  return near;
}
