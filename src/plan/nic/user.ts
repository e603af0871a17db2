import { beginProgram, end, finishProgram, ignore, presetSlot } from "../../program/assembler.js";
import type { LaunchProgram } from "../../program/ops.js";
import type { HostFacts } from "../../spec/host.js";
import { ENODEV } from "../../sys/errno.js";
import { delLink, newLinkVeth } from "../../sys/netlink.js";
import { interfaceIndex, openNetSockets, request } from "./netlink.js";

/** A nic of a user's (lxc-user-nic(1)). */
export interface UserNicEnds {
  readonly hostName: string;
  /** Six bytes. A high address keeps a bridge from taking it for its own. */
  readonly hwaddr: Uint8Array;
  /** In the user's namespace; with `%d` in it the kernel puts the first number there that is free. */
  readonly name: string;
  readonly bridge: { readonly name: string; readonly mtu: number | null } | null;
}

/**
 * Makes both ends in one request, so that there never is half of it: the host's end is up and on the bridge, the other one is born in the
 * user's network namespace under its name there, and down, as LXC leaves it. Preset: that namespace, and the locked accounts, which are held
 * as long as this runs.
 */
export function planUserNic(nic: UserNicEnds, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { hostName, hwaddr, name, bridge } = nic;
  const netns = presetSlot(client.build, "netns");
  presetSlot(client.build, "accounts");
  const sockets = openNetSockets(client, "client");
  const master =
    bridge === null
      ? null
      : interfaceIndex(client, sockets, bridge.name, {
          note: `find the bridge ${bridge.name}`,
          hints: { ENODEV: `there is no interface ${bridge.name} on the host` },
        });
  const mtu = bridge?.mtu ?? null;
  const message = newLinkVeth({
    name: hostName,
    peerName: name,
    up: true,
    hwaddr,
    peerNetnsFd: "late",
    ...(mtu === null ? {} : { mtu, peerMtu: mtu }),
    ...(master === null ? {} : { master: "late" as const }),
  });
  const late = { netnsFd: netns, ...(master === null ? {} : { masterIndex: master }) };
  const joined = bridge === null ? "" : `, master ${bridge.name}`;
  request(client, sockets, message, late, `{RTM_NEWLINK, veth ${hostName} and ${name}${joined}}`, {
    note: `make the veth pair ${hostName} and ${name}`,
    hints: {
      EEXIST: `there is an interface ${name} already`,
      EOPNOTSUPP: `${bridge === null ? "" : `${bridge.name} takes no ports, or `}this kernel has no veth`,
    },
  });
  end(client, 0, "it is there");
  return finishProgram(client.build);
}

/** Removes a nic by the name of the host's end, both ends of it, if it is there. */
export function planUserNicGone(hostName: string, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const sockets = openNetSockets(client, "client");
  request(client, sockets, delLink({ name: hostName }), {}, `{RTM_DELLINK, ${hostName}}`, {
    note: `remove ${hostName}`,
    on: ignore(ENODEV),
  });
  end(client, 0, "it is gone");
  return finishProgram(client.build);
}
