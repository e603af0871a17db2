/**
 * Limits and the filter of a veth, all of them on the host's end: out of the guest's reach, before the guest runs, and gone with the
 * interface.
 */
import { newFilterHook } from "../../sys/traffic.js";
import type { NicSpec } from "../../spec/nic.js";
import { planFilter } from "./filter.js";
import { missing } from "./guard-hints.js";
import type { NicContext } from "./nic.js";
import { interfaceIndex, request } from "./netlink.js";
import { planLimitIn, planLimitOut } from "./shape.js";

type Veth = Extract<NicSpec, { readonly type: "veth" }>;

/** The order of the filters: what is dropped as forged has been counted. */
const LIMIT_PRIORITY = 1;
const FILTER_PRIORITY = 2;

/** `mac`: of the inside end. */
export function planGuard(made: NicContext, nic: Veth, near: string, mac: Uint8Array | undefined): void {
  const { limitIn, limitOut, filter } = nic;
  if (limitIn === null && limitOut === null && filter === null) return;
  const index = interfaceIndex(made.context.monitor, made.sockets, near, { note: `find ${near}` });
  if (limitIn !== null) planLimitIn(made, limitIn, near, index, nic.mtu ?? 0);
  if (limitOut === null && filter === null) return;
  request(
    made.context.monitor,
    made.sockets,
    newFilterHook({ index: "late" }),
    { index },
    `{RTM_NEWQDISC, ${near}, clsact}`,
    {
      note: `make a hook for what comes out by ${made.name}`,
      at: filter?.at ?? limitOut?.at ?? nic.at,
      hints: missing("NET_SCH_INGRESS"),
    },
  );
  if (limitOut !== null) planLimitOut(made, limitOut, near, index, LIMIT_PRIORITY);
  if (filter === null) return;
  if (mac === undefined) throw new TypeError(`nic ${nic.index} has a filter and no MAC address`);
  planFilter(made, nic, filter, near, index, mac, FILTER_PRIORITY);
}
