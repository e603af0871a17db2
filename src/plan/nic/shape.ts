import { blob } from "../../program/assembler.js";
import { close } from "../../program/calls.js";
import type { Slot } from "../../program/ops.js";
import { BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS } from "../../sys/flags.js";
import { BPF_MAP_CREATE_SIZE, BPF_PROG_LOAD_SIZE, bpfMapCreate, bpfProgLoad } from "../../sys/structs.js";
import { newIngressFilter, newTokenBucket } from "../../sys/traffic.js";
import { leastBurst, type NicLimit } from "../../spec/nic.js";
import { rateText } from "../../spec/rate.js";
import { compileLimit, LIMIT_MAP_AT } from "./limit-bpf.js";
import { bpfHints, missing } from "./guard-hints.js";
import type { NicContext } from "./nic.js";
import { request } from "./netlink.js";
import { call, data, imm, slot, store, within } from "./parts.js";

/** Of what is to go into the container, as much may wait as passes in a tenth of a second, and a few packets in any case. */
const LEAST_QUEUE = 32 * 1024;

/** Of what the container receives: a token bucket where it leaves the host. */
export function planLimitIn(made: NicContext, limit: NicLimit, near: string, index: Slot, mtu: number): void {
  const rate = limit.rate / 8;
  // The kernel gives credit by the timer: a hundredth of a second's worth is enough for any rate. 64 bytes for headers of the link.
  const least = (speed: number): number => Math.ceil(Math.max(leastBurst, mtu + 64, speed / 100));
  const burst = least(rate);
  const peak = limit.peak === undefined ? null : limit.peak / 8;
  const bucket = newTokenBucket({
    index: "late",
    rate: Math.floor(rate),
    burst: Math.max(limit.burst ?? burst, mtu + 64),
    limit: burst + Math.ceil(Math.max(LEAST_QUEUE, (peak ?? rate) / 10)),
    ...(peak === null ? {} : { peak: { rate: Math.floor(peak), burst: least(peak) } }),
  });
  request(
    made.context.monitor,
    made.sockets,
    bucket,
    { index },
    `{RTM_NEWQDISC, ${near}, tbf ${rateText(limit.rate)}}`,
    {
      note: `limit what comes in by ${made.name} to ${rateText(limit.rate)}`,
      at: limit.at,
      hints: missing("NET_SCH_TBF"),
    },
  );
}

/** Of what the container sends: the host's end drops what is too much, since nothing can wait there. The hook must be there. */
export function planLimitOut(made: NicContext, limit: NicLimit, near: string, index: Slot, priority: number): void {
  const { monitor, build } = made.context;
  const { rate, at } = limit;
  const name = "islet_limit";
  const [map, program] = [slot(build, `${near}.limit.map`), slot(build, `${near}.limit`)];
  const note = `limit what goes out by ${made.name} to ${rateText(rate)}`;
  const hints = bpfHints;
  const create = data(build, bpfMapCreate({ valueSize: 8, name }), '{BPF_MAP_TYPE_ARRAY, "islet_limit"}');
  call(monitor, "bpf", [imm(BPF_MAP_CREATE, "BPF_MAP_CREATE"), create, imm(BPF_MAP_CREATE_SIZE)], {
    note: `${note}: make its counter`,
    out: map,
    at,
    hints,
  });
  const instructions = compileLimit({ rate, burst: limit.burst ?? Math.ceil(Math.max(leastBurst, rate / 8 / 5)) });
  const load = blob(
    build,
    bpfProgLoad({ type: BPF_PROG_TYPE_SCHED_CLS, instructions, name }),
    `{BPF_PROG_TYPE_SCHED_CLS, ${instructions.length / 8} instructions}`,
  );
  store(monitor, map, within(load, BPF_PROG_LOAD_SIZE + LIMIT_MAP_AT, 4), 4, "name the counter");
  call(monitor, "bpf", [imm(BPF_PROG_LOAD, "BPF_PROG_LOAD"), load, imm(BPF_PROG_LOAD_SIZE)], {
    note: `${note}: load the program`,
    out: program,
    at,
    hints,
  });
  const filter = newIngressFilter({ index: "late", priority, program: { fd: "late", name }, returns: "verdict" });
  request(monitor, made.sockets, filter, { index, programFd: program }, `{RTM_NEWTFILTER, ${near}, bpf ${name}}`, {
    note,
    at,
    hints: missing("NET_CLS_BPF"),
  });
  close(monitor, program, "close the program");
  close(monitor, map, "close its counter");
}
