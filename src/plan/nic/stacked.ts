import { parseMac } from "../../sys/ip.js";
import { newLinkIpvlan, newLinkMacvlan, newLinkVlan } from "../../sys/netlink.js";
import type { NetlinkMessage } from "../../sys/nlmsg.js";
import type { NicSpec } from "../../spec/nic.js";
import type { NicContext } from "./nic.js";
import { insideHwaddr } from "./hwaddr.js";
import { interfaceIndex, request } from "./netlink.js";

/** Links on top of a host's interface, born in the container's namespace; they end with it. */
function plan(made: NicContext, link: string, kind: string, how: string, message: NetlinkMessage): void {
  const { monitor } = made.context;
  const parentIndex = interfaceIndex(monitor, made.sockets, link, {
    note: `find the interface ${link}`,
    hints: { ENODEV: `there is no interface ${link} on the host; see lxc.net.${made.nic.index}.link` },
  });
  request(
    monitor,
    made.sockets,
    message,
    { parentIndex, netnsFd: made.netns },
    `{RTM_NEWLINK, ${kind} ${made.name} on ${link}, ${how}}`,
    {
      note: `make the ${kind} ${made.name} on ${link}`,
      hints: {
        EOPNOTSUPP: `this kernel has no ${kind}`,
        EBUSY: `${link} is used in another mode`,
        EINVAL: `${link} cannot carry a ${kind}`,
      },
    },
  );
}

function common(made: NicContext): {
  readonly name: string;
  readonly parent: "late";
  readonly netnsFd: "late";
  readonly mtu?: number;
  readonly hwaddr?: Uint8Array;
} {
  const { nic, name } = made;
  const hwaddr = nic.hwaddr === null ? undefined : parseMac(nic.hwaddr);
  return {
    name,
    parent: "late",
    netnsFd: "late",
    ...(nic.mtu === null ? {} : { mtu: nic.mtu }),
    ...(hwaddr === undefined ? {} : { hwaddr }),
  };
}

export function planMacvlan(made: NicContext, nic: Extract<NicSpec, { readonly type: "macvlan" }>): void {
  // In passthru the link takes the address as well: it keeps its own.
  const hwaddr = nic.mode === "passthru" ? undefined : parseMac(insideHwaddr(nic, made.context.start.digits));
  const message = newLinkMacvlan({ ...common(made), mode: nic.mode, ...(hwaddr === undefined ? {} : { hwaddr }) });
  plan(made, nic.link, "macvlan", nic.mode, message);
}

export function planIpvlan(made: NicContext, nic: Extract<NicSpec, { readonly type: "ipvlan" }>): void {
  const message = newLinkIpvlan({ ...common(made), mode: nic.mode, isolation: nic.isolation });
  plan(made, nic.link, "ipvlan", `${nic.mode} ${nic.isolation}`, message);
}

export function planVlan(made: NicContext, nic: Extract<NicSpec, { readonly type: "vlan" }>): void {
  plan(made, nic.link, "vlan", `id ${nic.vlanId}`, newLinkVlan({ ...common(made), id: nic.vlanId }));
}
