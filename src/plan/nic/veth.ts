import type { Slot } from "../../program/ops.js";
import { ENODEV } from "../../sys/errno.js";
import { SIOCGIFMTU } from "../../sys/flags.js";
import { parseMac } from "../../sys/ip.js";
import { bridgePortIsolated, delLink, newLinkVeth, type VethOptions } from "../../sys/netlink.js";
import { IFREQ_AT, ifreq } from "../../sys/structs.js";
import type { NicSpec } from "../../spec/nic.js";
import { addAddress, addRouteBy } from "./address.js";
import { planGuard } from "./guard.js";
import type { NicContext } from "./nic.js";
import { deferRequest, interfaceIndex, request } from "./netlink.js";
import { call, compute, data, imm, label, load, place, slot, within } from "./parts.js";
import { hasVlans, planPortVlans, requireVlanFiltering } from "./port-vlan.js";
import { insideHwaddr, octets, randomOf } from "./hwaddr.js";
import { planRouter } from "./router.js";
import { addRoute } from "./routes.js";

type Veth = Extract<NicSpec, { readonly type: "veth" }>;

/** The name of the host's end: given, or vethXXXXXX as LXC makes them. */
export function nearName(pair: string | null, index: number, random: string): string {
  return pair ?? `veth${randomOf(index, random).slice(0, 6)}`;
}

/** The MTU of a link. A router's link may be missing, since nothing else of it is needed: then it is Ethernet's. */
function linkMtu(made: NicContext, link: string, mayBeMissing: boolean): Slot {
  const { monitor, build } = made.context;
  const mtu = slot(build, `${link}.mtu`);
  const room = data(build, ifreq(link), `{ifr_name="${link}"}`);
  const unknown = label(`there is no ${link}`);
  if (mayBeMissing) compute(monitor, mtu, "set", imm(1500), null, "the MTU of Ethernet");
  call(monitor, "ioctl", [made.sockets.ioctl, imm(SIOCGIFMTU, "SIOCGIFMTU"), room], {
    note: `ask for the MTU of ${link}`,
    on: mayBeMissing ? [{ on: ENODEV, to: unknown }] : [],
  });
  load(monitor, mtu, within(room, IFREQ_AT.mtu, 4), 4, `take the MTU of ${link}`);
  if (mayBeMissing) place(monitor, unknown);
  return mtu;
}

/** Queues, crosswise as LXC has them: what the container sends from one of its own comes in by one of the host's end. */
function queues(nic: Veth): Partial<VethOptions> {
  return {
    ...(nic.txQueues === null ? {} : { numRxQueues: nic.txQueues, peerNumTxQueues: nic.txQueues }),
    ...(nic.rxQueues === null ? {} : { numTxQueues: nic.rxQueues, peerNumRxQueues: nic.rxQueues }),
  };
}

/**
 * A veth pair: its far end is born inside the container under its name there, its near end on the bridge, or on nothing where the
 * host routes. Returns the near end's name.
 */
export function planVeth(made: NicContext, nic: Veth): string {
  const { context, name, sockets, netns } = made;
  const { monitor, start } = context;
  const random = randomOf(nic.index, start.random);
  const near = nearName(nic.pair, nic.index, start.random);
  const hwaddr = parseMac(insideHwaddr(nic, start.digits));
  // A high address keeps the bridge from taking this port's address for its own.
  const nearAddress = parseMac(`fe:${octets(random.slice(6, 16))}`);
  const bridge = nic.mode === "bridge" ? nic.link : null;
  const master =
    bridge === null
      ? null
      : interfaceIndex(monitor, sockets, bridge, {
          note: `find the bridge ${bridge}`,
          hints: {
            ENODEV: `there is no interface ${bridge} on the host; make the bridge, or change lxc.net.${nic.index}.link`,
          },
        });
  if (bridge !== null && hasVlans(nic)) requireVlanFiltering(made, nic, bridge);
  // A port with a smaller MTU than the bridge's would make the bridge's smaller.
  const mtu = nic.mtu === null && nic.link !== null ? linkMtu(made, nic.link, bridge === null) : null;
  const message = newLinkVeth({
    name: near,
    peerName: name,
    up: true,
    peerNetnsFd: "late",
    ...(nic.mtu === null ? {} : { mtu: nic.mtu, peerMtu: nic.mtu }),
    ...(mtu === null ? {} : { mtu: "late" as const, peerMtu: "late" as const }),
    ...(hwaddr === undefined ? {} : { peerHwaddr: hwaddr }),
    ...(nearAddress === undefined ? {} : { hwaddr: nearAddress }),
    ...queues(nic),
    ...(master === null ? {} : { master: "late" as const }),
  });
  const late = {
    netnsFd: netns,
    ...(mtu === null ? {} : { mtu, peerMtu: mtu }),
    ...(master === null ? {} : { masterIndex: master }),
  };
  request(monitor, sockets, message, late, `{RTM_NEWLINK, ${describe(nic, near, name, bridge)}}`, {
    note: `make the veth pair ${near} and ${name}`,
    hints: {
      EEXIST: `the name ${near} is in use on the host`,
      EOPNOTSUPP: `${bridge === null ? "" : `${bridge} is not a bridge, or `}this kernel has no veth`,
      EINVAL: `${bridge ?? "the link"} is not a bridge, or a value of the nic is refused`,
    },
  });
  // Only now: before, the name may be somebody else's. A pair whose making could not be acknowledged ends with the namespace.
  deferRequest(monitor, delLink({ name: near }), {}, `{RTM_DELLINK, ${near}}`, `remove ${near}`, [ENODEV]);
  planGuard(made, nic, near, hwaddr);
  finishNear(made, nic, near, bridge);
  return near;
}

function describe(nic: Veth, near: string, name: string, bridge: string | null): string {
  const queueWords = [
    ...(nic.rxQueues === null ? [] : [`${nic.rxQueues} receive queues`]),
    ...(nic.txQueues === null ? [] : [`${nic.txQueues} transmit queues`]),
  ];
  return [
    `veth ${near} and ${name}`,
    ...(bridge === null ? [] : [`master ${bridge}`]),
    ...(queueWords.length === 0 ? [] : [`${name} with ${queueWords.join(" and ")}`]),
  ].join(", ");
}

/** What the host's end needs beyond its being there: VLANs, routes, and what makes a router of it. */
function finishNear(made: NicContext, nic: Veth, near: string, bridge: string | null): void {
  const vlans = bridge !== null && hasVlans(nic);
  const routes = [
    ...nic.routes4.map((to) => ({ family: "ipv4" as const, to, at: nic.at })),
    ...nic.routes6.map((to) => ({ family: "ipv6" as const, to, at: nic.at })),
  ];
  const { hostAddresses = [], hostRoutes = [], isolated = false } = nic;
  const isPlain = !vlans && !isolated && hostAddresses.length + hostRoutes.length === 0;
  if (isPlain && routes.length === 0 && nic.mode !== "router") return;
  const { monitor } = made.context;
  const index = interfaceIndex(made.context.monitor, made.sockets, near, { note: `find ${near}` });
  if (vlans) planPortVlans(made, nic, near, index);
  if (isolated)
    request(
      monitor,
      made.sockets,
      bridgePortIsolated({ index: "late", isolated }),
      { index },
      `{RTM_NEWLINK, ${near}, isolated}`,
      { note: `isolate ${near} from the other isolated ports of ${bridge ?? "its bridge"}` },
    );
  for (const address of hostAddresses) addAddress(monitor, made.sockets, address, near, index);
  for (const route of hostRoutes) addRouteBy(monitor, made.sockets, route, near, index, nic.at);
  for (const route of routes) addRoute(made, route, near, index, false);
  if (nic.mode === "router") planRouter(made, nic, near, index);
}
