import { IsletError } from "../../base/errors.js";
import type { Block } from "../../program/assembler.js";
import type { Slot } from "../../program/ops.js";
import type { Family } from "../../sys/ip.js";
import { newRoute } from "../../sys/netlink.js";
import type { NicGateway, NicSpec } from "../../spec/nic.js";
import type { NicPlan } from "./nic.js";
import { type NetSockets, request } from "./netlink.js";
import { addressBytes } from "./routes.js";

/** The gateway's address; null where the route has none but goes through the device. */
export function gatewayText(
  context: NicPlan,
  nic: NicSpec,
  name: string,
  family: Family,
  gateway: NicGateway,
): string | null {
  if (gateway.kind === "device") return null;
  if (gateway.kind === "address") return gateway.address;
  const link = "link" in nic ? nic.link : null;
  const text = link === null ? null : (context.start.linkAddresses[link]?.[family] ?? null);
  if (text === null)
    throw new IsletError(
      "ISLET_BAD_CONFIG",
      `the gateway of ${name} is "auto", but ${link ?? "its link"} has no ${family} address`,
      { at: gateway.at },
    );
  return text;
}

/** Inside: the default route of a family. */
export function planGateway(
  context: NicPlan,
  child: Block,
  sockets: NetSockets,
  nic: NicSpec,
  name: string,
  index: Slot,
  family: Family,
  gateway: NicGateway | null,
): void {
  if (gateway === null) return;
  const hints = {
    ENETUNREACH: "the gateway is not on a network of the nic's addresses",
    ENETDOWN: "the nic is not up; see lxc.net.N.flags",
  };
  const text = gatewayText(context, nic, name, family, gateway);
  if (text === null) {
    request(child, sockets, newRoute({ family, index: "late" }), { index }, `{RTM_NEWROUTE, default dev ${name}}`, {
      note: `route everything through ${name}`,
      at: gateway.at,
      hints,
    });
    return;
  }
  const bytes = addressBytes(family, text, gateway.at);
  const message = newRoute({ family, gateway: bytes, index: "late", onlink: true });
  request(child, sockets, message, { index }, `{RTM_NEWROUTE, default via ${text}}`, {
    note: `route everything through ${text}`,
    at: gateway.at,
    hints,
  });
}
