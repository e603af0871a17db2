import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { BlockFigures } from "./block.js";
import type { CpuTimes } from "./cpu.js";
import { listFlags } from "./flags.js";
import type { InterfaceFigures } from "./interface.js";
import { int, type StatParameter, string, uint, ullong } from "./parameters.js";

/** Groups of virDomainStatsTypes that a container has. */
export const statGroups = { state: 1, cpu: 2, balloon: 4, vcpu: 8, interface: 16, block: 32 } as const;
const allGroups = 63;

/** Answer with an error if the daemon does not know a group that was asked for. */
const enforce = 2 ** 31;
/** Accepted: nothing here waits, and there are no backing files. */
const harmless = 2 ** 29 + 2 ** 30;

/** What is told of one domain. Memory in KiB. */
export interface DomainFigures {
  readonly state: number;
  readonly reason: number;
  readonly balloon: { readonly current: bigint; readonly maximum: bigint };
  readonly vcpu: { readonly current: number; readonly maximum: number };
  /** null: it does not run. */
  readonly running: RunningFigures | null;
}

export interface RunningFigures {
  readonly cpu: CpuTimes;
  readonly memory: bigint | null;
  readonly interfaces: readonly { readonly name: string; readonly figures: InterfaceFigures | null }[];
  readonly blocks: readonly { readonly name: string; readonly figures: BlockFigures }[];
}

/** The groups that GET_ALL_DOMAIN_STATS is to tell of, as bits. Throws 74, 8. */
export function wantedGroups(stats: number, flags: number): number {
  const known = listFlags + harmless + enforce;
  const unknown = (flags & ~known) >>> 0;
  if (unknown !== 0) {
    const detail = `unsupported flags (0x${unknown.toString(16)}) in function lxcConnectGetAllDomainStats`;
    throw new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, detail, { bare: true });
  }
  const missing = (stats & ~allGroups) >>> 0;
  if (missing !== 0 && flags >>> 0 >= enforce) {
    const detail = `Stats types bits 0x${missing.toString(16)} are not supported by this daemon`;
    throw new LibvirtError(errorCodes.argumentUnsupported, errorDomains.lxc, detail);
  }
  return stats === 0 ? allGroups : stats & allGroups;
}

/** One record's parameters, in libvirt's order; what a stopped domain does not have is left out. */
export function domainStats(figures: DomainFigures, groups: number): readonly StatParameter[] {
  const of = (group: number, params: () => readonly StatParameter[]): readonly StatParameter[] =>
    (groups & group) === 0 ? [] : params();
  const { running } = figures;
  return [
    ...of(statGroups.state, () => [int("state.state", figures.state), int("state.reason", figures.reason)]),
    ...of(statGroups.cpu, () =>
      running === null
        ? []
        : [
            ...some("cpu.time", running.cpu.total),
            ...some("cpu.user", running.cpu.user),
            ...some("cpu.system", running.cpu.system),
          ],
    ),
    ...of(statGroups.balloon, () => [
      ullong("balloon.current", figures.balloon.current),
      ullong("balloon.maximum", figures.balloon.maximum),
      ...some("balloon.rss", running?.memory ?? null),
    ]),
    ...of(statGroups.vcpu, () => [
      uint("vcpu.current", figures.vcpu.current),
      uint("vcpu.maximum", figures.vcpu.maximum),
    ]),
    ...of(statGroups.interface, () => (running === null ? [] : interfaceParameters(running.interfaces))),
    ...of(statGroups.block, () => (running === null ? [] : blockParameters(running.blocks))),
  ];
}

const some = (field: string, value: bigint | null): readonly StatParameter[] =>
  value === null ? [] : [ullong(field, value)];

const interfaceFields = [
  ["rx.bytes", "rx_bytes"],
  ["rx.pkts", "rx_packets"],
  ["rx.errs", "rx_errs"],
  ["rx.drop", "rx_drop"],
  ["tx.bytes", "tx_bytes"],
  ["tx.pkts", "tx_packets"],
  ["tx.errs", "tx_errs"],
  ["tx.drop", "tx_drop"],
] as const;

function interfaceParameters(interfaces: RunningFigures["interfaces"]): readonly StatParameter[] {
  return [
    uint("net.count", interfaces.length),
    ...interfaces.flatMap(({ name, figures }, index) => [
      string(`net.${index}.name`, name),
      ...(figures === null ? [] : interfaceFields.map(([field, key]) => ullong(`net.${index}.${field}`, figures[key]))),
    ]),
  ];
}

function blockParameters(blocks: RunningFigures["blocks"]): readonly StatParameter[] {
  return [
    uint("block.count", blocks.length),
    ...blocks.flatMap(({ name, figures }, index) => [
      string(`block.${index}.name`, name),
      ullong(`block.${index}.rd.reqs`, figures.readRequests),
      ullong(`block.${index}.rd.bytes`, figures.readBytes),
      ullong(`block.${index}.wr.reqs`, figures.writeRequests),
      ullong(`block.${index}.wr.bytes`, figures.writeBytes),
    ]),
  ];
}
