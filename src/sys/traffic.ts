/**
 * Requests of rtnetlink(7) for queueing disciplines and filters, as tc(8) sends them: a token bucket (tc-tbf(8)), the hook for what comes
 * in (clsact), and BPF programs on it (tc-bpf(8)).
 */
import { cString, pack } from "./bytes.js";
import * as k from "./flags.js";
import {
  attribute,
  attributeU16,
  attributeU32,
  join,
  late,
  netlinkMessage,
  raw,
  type Late,
  type NetlinkMessage,
  type Part,
} from "./nlmsg.js";

const CREATE = k.NLM_F_REQUEST | k.NLM_F_ACK | k.NLM_F_CREATE | k.NLM_F_EXCL;

interface Target {
  readonly index: Late;
  readonly seq?: number;
}

/** struct tcmsg: u8 family and padding, s32 index, u32 handle, u32 parent, u32 info. */
function tcmsg(index: Late, handle: number, parent: number, info = 0): Part {
  const tail = pack(12).u32(0, handle).u32(4, parent).u32(8, info).bytes;
  return join([raw(new Uint8Array(4)), late(index, "index"), raw(tail)]);
}

/** `rate` in bytes a second; `burst` what may go out at once and `limit` what may wait, in bytes. */
export interface TokenBucket extends Target {
  readonly rate: number;
  readonly burst: number;
  readonly limit: number;
  /** How fast a burst goes out, a second bucket: its rate must be above the other. Absent: as fast as the link takes it. */
  readonly peak?: { readonly rate: number; readonly burst: number };
}

/** A nanosecond clock shown in ticks of 64 ns (PSCHED_SHIFT). */
const TICK = 64;

/** The discipline of all that leaves by the link. A packet larger than the burst is cut if it is a GSO packet, else dropped. */
export function newTokenBucket(bucket: TokenBucket): NetlinkMessage {
  const { rate, burst, limit, peak } = bucket;
  const time = (size: number, speed: number): number => Math.min(Math.floor((size * 1e9) / speed / TICK), 0xffff_ffff);
  // struct tc_tbf_qopt: two struct tc_ratespec of 12 bytes (rate and peak rate), limit, buffer, mtu.
  let parms = pack(36)
    .u8(1, k.TC_LINKLAYER_ETHERNET)
    .u32(8, Math.min(rate, 0xffff_ffff))
    .u32(24, limit)
    .u32(28, time(burst, rate));
  if (peak !== undefined)
    parms = parms
      .u8(13, k.TC_LINKLAYER_ETHERNET)
      .u32(20, Math.min(peak.rate, 0xffff_ffff))
      .u32(32, time(peak.burst, peak.rate));
  const options = [attribute(k.TCA_TBF_PARMS, raw(parms.bytes)), attributeU32(k.TCA_TBF_BURST, burst)];
  const wide = (kind: number, speed: number): void => {
    if (speed > 0xffff_ffff) options.push(attribute(kind, raw(pack(8).u64(0, speed).bytes)));
  };
  wide(k.TCA_TBF_RATE64, rate);
  if (peak !== undefined) {
    options.push(attributeU32(k.TCA_TBF_PBURST, peak.burst));
    wide(k.TCA_TBF_PRATE64, peak.rate);
  }
  return netlinkMessage(
    k.RTM_NEWQDISC,
    CREATE,
    bucket.seq ?? 0,
    tcmsg(bucket.index, 0, k.TC_H_ROOT),
    attribute(k.TCA_KIND, raw(cString("tbf"))),
    attribute(k.TCA_OPTIONS, ...options),
  );
}

/** Where filters of what comes in by the link hang. */
export function newFilterHook(link: Target): NetlinkMessage {
  const header = tcmsg(link.index, (k.TC_H_CLSACT & 0xffff_0000) >>> 0, k.TC_H_CLSACT);
  return netlinkMessage(k.RTM_NEWQDISC, CREATE, link.seq ?? 0, header, attribute(k.TCA_KIND, raw(cString("clsact"))));
}

/** What decides: classic BPF instructions (8 bytes each), or a loaded eBPF program whose place is `programFd`. */
export type FilterProgram = { readonly classic: Uint8Array } | { readonly fd: Late; readonly name: string };

export interface IngressFilter extends Target {
  /** 1 to 65535; lower ones are asked first. */
  readonly priority: number;
  readonly program: FilterProgram;
  /**
   * `match`: a packet for which the program returns 0 goes on to the next filter, any other one passes; so does a classic program's load
   * from beyond the packet. `verdict`: the program returns TC_ACT_*.
   */
  readonly returns: "match" | "verdict";
}

/** A filter of all that comes in by a link that has the hook. */
export function newIngressFilter(filter: IngressFilter): NetlinkMessage {
  const { program } = filter;
  const parent = ((k.TC_H_CLSACT & 0xffff_0000) | k.TC_H_MIN_INGRESS) >>> 0;
  // The protocol is in network order.
  const info = ((filter.priority << 16) | (k.ETH_P_ALL << 8)) >>> 0;
  const options =
    "classic" in program
      ? [attributeU16(k.TCA_BPF_OPS_LEN, program.classic.length / 8), attribute(k.TCA_BPF_OPS, raw(program.classic))]
      : [attributeU32(k.TCA_BPF_FD, program.fd, "programFd"), attribute(k.TCA_BPF_NAME, raw(cString(program.name)))];
  if (filter.returns === "verdict") options.push(attributeU32(k.TCA_BPF_FLAGS, k.TCA_BPF_FLAG_ACT_DIRECT));
  return netlinkMessage(
    k.RTM_NEWTFILTER,
    CREATE,
    filter.seq ?? 0,
    tcmsg(filter.index, 0, parent, info),
    attribute(k.TCA_KIND, raw(cString("bpf"))),
    attribute(k.TCA_OPTIONS, ...options),
  );
}
