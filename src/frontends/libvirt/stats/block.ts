import { llong, type StatParameters, twoSteps } from "./parameters.js";

export interface BlockFigures {
  readonly readBytes: bigint;
  readonly readRequests: bigint;
  readonly writeBytes: bigint;
  readonly writeRequests: bigint;
}

/** What the block controller says, of either cgroup version; null: there is no such file. */
export interface BlockTexts {
  /** v1: blkio.throttle.io_service_bytes and blkio.throttle.io_serviced. */
  readonly serviceBytes: string | null;
  readonly serviced: string | null;
  /** v2: io.stat. */
  readonly ioStat: string | null;
}

/** Of some devices (`8:16`), or of all of them (null). What nobody accounts is 0. */
export function blockFigures(
  { serviceBytes, serviced, ioStat }: BlockTexts,
  devices: readonly string[] | null,
): BlockFigures {
  const v1 = (text: string | null, word: string): bigint =>
    sum(
      linesOf(text, devices)
        .map((line) => line.split(" "))
        .filter(([, kind]) => kind === word)
        .map(([, , value]) => value),
    );
  const v2 = (word: string): bigint =>
    sum(linesOf(ioStat, devices).map((line) => new RegExp(`(?<= )${word}=(\\d+)`).exec(line)?.[1]));
  return {
    readBytes: v1(serviceBytes, "Read") + v2("rbytes"),
    readRequests: v1(serviced, "Read") + v2("rios"),
    writeBytes: v1(serviceBytes, "Write") + v2("wbytes"),
    writeRequests: v1(serviced, "Write") + v2("wios"),
  };
}

/** Lines that begin with a device's numbers, one of these. */
function linesOf(text: string | null, devices: readonly string[] | null): readonly string[] {
  return (text ?? "").split("\n").filter((line) => {
    const device = /^(\d+:\d+) /.exec(line)?.[1];
    return device !== undefined && (devices === null || devices.includes(device));
  });
}

function sum(values: readonly (string | undefined)[]): bigint {
  return values.reduce(
    (total, value) => (value !== undefined && /^\d+$/.test(value) ? total + BigInt(value) : total),
    0n,
  );
}

/** DOMAIN_BLOCK_STATS; errors are not counted: -1. */
export const blockStats = (
  figures: BlockFigures,
): Readonly<Record<"rd_req" | "rd_bytes" | "wr_req" | "wr_bytes" | "errs", bigint>> => ({
  rd_req: figures.readRequests,
  rd_bytes: figures.readBytes,
  wr_req: figures.writeRequests,
  wr_bytes: figures.writeBytes,
  errs: -1n,
});

/** DOMAIN_BLOCK_STATS_FLAGS. */
export const blockStatsFlags = (figures: BlockFigures, nparams: number): StatParameters =>
  twoSteps(nparams, [
    llong("wr_bytes", figures.writeBytes),
    llong("wr_operations", figures.writeRequests),
    llong("rd_bytes", figures.readBytes),
    llong("rd_operations", figures.readRequests),
  ]);
