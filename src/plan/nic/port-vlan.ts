import { close, newFilesystem, openat } from "../../program/calls.js";
import type { Slot } from "../../program/ops.js";
import { EPERM } from "../../sys/errno.js";
import { O_RDONLY } from "../../sys/flags.js";
import { bridgePortVlans, type PortVlan } from "../../sys/netlink.js";
import type { NicSpec } from "../../spec/nic.js";
import type { NicContext } from "./nic.js";
import { request } from "./netlink.js";
import { buffer, call, fail, imm, jump, label, load, place, slot } from "./parts.js";

type Veth = Extract<NicSpec, { readonly type: "veth" }>;

/** Does the nic say anything about VLANs of its bridge's port? */
export function hasVlans(nic: Veth): boolean {
  return nic.vlanId !== null || nic.vlanTagged.length > 0;
}

/** A bridge that does not filter takes VLANs of its ports and minds none of them: then the nic would be in all networks at once. */
export function requireVlanFiltering(made: NicContext, nic: Veth, bridge: string): void {
  const { monitor, build } = made.context;
  const what = `lxc.net.${nic.index}.veth.vlan`;
  const sys = slot(build, "sysfs.private");
  const fd = slot(build, "vlan_filtering");
  const digit = buffer(build, 8, "digit");
  const value = slot(build, "filters");
  const on = label(`${bridge} filters VLANs`);
  const note = `see whether ${bridge} filters VLANs`;
  // The host's /sys may belong to another network namespace than ours.
  newFilesystem(monitor, "sysfs", [], 0, sys, { note: `open a sysfs to ${note}` });
  openat(monitor, sys, `class/net/${bridge}/bridge/vlan_filtering`, O_RDONLY, fd, {
    note,
    hints: { ENOENT: `${bridge} is not a bridge, or bridges of this kernel know no VLANs` },
  });
  call(monitor, "read", [fd, digit, imm(1)], { note, full: true });
  close(monitor, fd, "close vlan_filtering");
  close(monitor, sys, "close the sysfs");
  load(monitor, value, digit, 1, "take the value of vlan_filtering");
  jump(monitor, on, `${bridge} filters VLANs`, "ne", value, imm(0x30, "'0'"));
  fail(monitor, EPERM, {
    note: `${what} requires that the bridge ${bridge} filters VLANs`,
    hints: { any: `turn it on: ip link set ${bridge} type bridge vlan_filtering 1` },
  });
  place(monitor, on);
}

/** lxc.net.N.veth.vlan.id and veth.vlan.tagged.id: the VLANs of the bridge's port. */
export function planPortVlans(made: NicContext, nic: Veth, near: string, index: Slot): void {
  const { monitor } = made.context;
  if (nic.vlanId !== null) {
    // A new port is in one VLAN, the bridge's default_pvid, whichever that is.
    const every = bridgePortVlans("delete", { index: "late", vlans: [{ id: 1, to: 4094 }] });
    request(monitor, made.sockets, every, { index }, `{RTM_DELLINK, AF_BRIDGE, ${near}, VLANs 1-4094}`, {
      note: `take ${near} out of the bridge's default VLAN`,
    });
  }
  const untagged: readonly PortVlan[] =
    nic.vlanId === null || nic.vlanId === "none" ? [] : [{ id: nic.vlanId, pvid: true, untagged: true }];
  const vlans = [...untagged, ...nic.vlanTagged.map((id) => ({ id }))];
  if (vlans.length === 0) return;
  const words = vlans.map((vlan) => `${vlan.id}${untagged.includes(vlan) ? " PVID untagged" : ""}`).join(", ");
  request(
    monitor,
    made.sockets,
    bridgePortVlans("add", { index: "late", vlans }),
    { index },
    `{RTM_SETLINK, AF_BRIDGE, ${near}, VLANs ${words}}`,
    {
      note: `put ${near} into the VLANs ${words}`,
      hints: { EOPNOTSUPP: "bridges of this kernel know no VLANs" },
    },
  );
}
