import { call, data, ignore, nil } from "./parts.js";
import type { Slot } from "../../program/ops.js";
import { timespec } from "../../sys/structs.js";
import type { NicSpec } from "../../spec/nic.js";
import { gatewayText } from "./gateway.js";
import type { NicContext } from "./nic.js";
import { addProxy } from "./proxy.js";
import { addRoute, routeTo } from "./routes.js";
import { requireSwitch, turnOn } from "./sysctl.js";

/**
 * lxc.net.N.veth.mode = router: there is no bridge; the host forwards between its own end and its other interfaces, answers there for
 * the container's gateways and has a route to each of its addresses. All of it goes with the host's end.
 */
export function planRouter(
  made: NicContext,
  nic: Extract<NicSpec, { readonly type: "veth" }>,
  near: string,
  index: Slot,
): void {
  const { monitor, build } = made.context;
  const gateway4 = nic.gateway4 === null ? null : gatewayText(made.context, nic, made.name, "ipv4", nic.gateway4);
  const gateway6 = nic.gateway6 === null ? null : gatewayText(made.context, nic, made.name, "ipv6", nic.gateway6);
  if (gateway4 !== null || gateway6 !== null) {
    // Kernels before 6.14 drop the entries when they come to note that the end has no carrier yet (neigh_carrier_down): first let them.
    const moment = data(build, timespec(1000n), "{1 us}");
    call(monitor, "nanosleep", [moment, nil], { note: "let the kernel take note of the new link", on: ignore("any") });
  }
  if (gateway4 !== null) {
    turnOn(monitor, { family: "ipv4", link: near, name: "forwarding" });
    addProxy(made, { family: "ipv4", address: gateway4, at: nic.gateway4?.at ?? nic.at }, near, index, false);
  }
  if (gateway6 !== null) {
    const what = `lxc.net.${nic.index}.veth.mode = router with an IPv6 gateway`;
    requireSwitch(monitor, { family: "ipv6", link: "all", name: "forwarding" }, what);
    turnOn(monitor, { family: "ipv6", link: near, name: "forwarding" });
    turnOn(monitor, { family: "ipv6", link: near, name: "proxy_ndp" });
    addProxy(made, { family: "ipv6", address: gateway6, at: nic.gateway6?.at ?? nic.at }, near, index, false);
  }
  for (const address of nic.addresses) addRoute(made, routeTo(address), near, index, false);
}
