import { IsletError } from "../../base/errors.js";
import type { Slot } from "../../program/ops.js";
import { encodeClassic } from "../../sys/cbpf.js";
import { TC_ACT_SHOT } from "../../sys/flags.js";
import { type Family, parsePrefixed } from "../../sys/ip.js";
import { newIngressFilter } from "../../sys/traffic.js";
import type { NicSpec } from "../../spec/nic.js";
import { type Allowed, compileFilter } from "./filter-bpf.js";
import { missing } from "./guard-hints.js";
import type { NicContext } from "./nic.js";
import { request } from "./netlink.js";

type Veth = Extract<NicSpec, { readonly type: "veth" }>;

/** The nic's own addresses, that which is reserved for it, and the networks that the host routes to it. */
export function allowedAddresses(nic: Veth, family: Family): readonly Allowed[] {
  const own = nic.addresses.filter((one) => one.family === family).map((one) => one.address);
  const reserved = family === "ipv4" && nic.reservation !== null ? [nic.reservation.address] : [];
  const routed = family === "ipv4" ? nic.routes4 : nic.routes6;
  return [...own, ...reserved, ...routed].map((text) => {
    const parsed = parsePrefixed(family, text);
    if (parsed === undefined) throw new IsletError("ISLET_BAD_CONFIG", `"${text}" is not an address`, { at: nic.at });
    return { address: parsed.address, prefix: parsed.prefix ?? parsed.address.length * 8 };
  });
}

/** Two filters of the hook, which must be there: one lets pass what the nic may send, and one behind it drops all. */
export function planFilter(
  made: NicContext,
  nic: Veth,
  filter: NonNullable<Veth["filter"]>,
  near: string,
  index: Slot,
  mac: Uint8Array,
  priority: number,
): void {
  const { words, at } = filter;
  const classic = compileFilter({
    words,
    mac,
    allowed4: allowedAddresses(nic, "ipv4"),
    allowed6: allowedAddresses(nic, "ipv6"),
  });
  const hints = missing("NET_CLS_BPF");
  const add = (message: ReturnType<typeof newIngressFilter>, what: string, note: string): void => {
    request(made.context.monitor, made.sockets, message, { index }, `{RTM_NEWTFILTER, ${near}, bpf ${what}}`, {
      note,
      at,
      hints,
    });
  };
  add(
    newIngressFilter({ index: "late", priority, program: { classic }, returns: "match" }),
    `of ${classic.length / 8} instructions for ${words.join(", ")}`,
    `let out by ${made.name} what is its own`,
  );
  const all = encodeClassic([{ code: 0x06, jt: 0, jf: 0, k: TC_ACT_SHOT }]);
  add(
    newIngressFilter({ index: "late", priority: priority + 1, program: { classic: all }, returns: "verdict" }),
    "to drop all",
    `drop all else that comes out by ${made.name}`,
  );
}
