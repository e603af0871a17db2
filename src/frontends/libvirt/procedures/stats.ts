import { statSync } from "node:fs";
import type { DetailedUsage } from "../../../engine/engine.js";
import type { Driver } from "../driver/driver.js";
import { notRunning } from "../driver/driver.js";
import { type Domain, isActive } from "../driver/domains.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { HostFiles } from "../host/files.js";
import { diskNumbers } from "../host/disks.js";
import type { Handlers } from "../rpc/handlers.js";
import type { StatsRecord } from "../rpc/messages.js";
import {
  domainStats,
  type DomainFigures,
  type RunningFigures,
  statGroups,
  wantedGroups,
} from "../stats/all-domains.js";
import { blockFigures, type BlockFigures, blockStats, blockStatsFlags } from "../stats/block.js";
import { cpuStats, cpuTimes, perCpuTimes } from "../stats/cpu.js";
import { listFilter, listFlags } from "../stats/flags.js";
import { domainInfo } from "../stats/info.js";
import { guestAddresses } from "../stats/addresses.js";
import { interfaceFigures, type InterfaceFigures } from "../stats/interface.js";
import { memoryStats } from "../stats/memory.js";
import type { DomainDoc } from "../xml/domain.js";
import { checkFlags, domainOf, filterFacts, refOf, stringOkay } from "./common.js";

/** virDomainInterfaceAddressesSource. An agent, 1, is nothing that a container has. */
const addressSources = { lease: 0, arp: 2 } as const;

/** Inode of a process's network namespace; null: it has ended. */
const networkOf = (pid: number | "self"): number | null =>
  statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino ?? null;

/** Figures of domains. */
export function statsHandlers(driver: Driver, files: HostFiles, cpus: () => number): Handlers {
  const { engine, storePath } = driver.context;
  const idOf = ({ name }: Domain): { readonly storePath: typeof storePath; readonly name: string } => ({
    storePath,
    name,
  });
  const item = async (domain: Domain, name: string): Promise<string | null> =>
    await engine.cgroupItem(idOf(domain), name).catch(() => null);
  const running = async (dom: Parameters<typeof domainOf>[1]): Promise<Domain> => {
    const domain = await domainOf(driver, dom);
    if (!isActive(domain)) throw notRunning();
    return domain;
  };
  const docOf = async (domain: Domain): Promise<DomainDoc> =>
    (await driver.liveDoc(domain)) ?? (await driver.inactiveDoc(domain));

  /** Of a disk by its name inside or its source; "": of all that the domain uses. */
  const disksOf = async (domain: Domain, path: string): Promise<readonly string[] | null> => {
    if (path === "") return null;
    const disk = (await docOf(domain)).disks.find(({ target, source }) => target === path || source === path);
    if (disk === undefined)
      throw new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, `invalid path: ${path}`);
    return diskNumbers(disk, files);
  };

  const blocksOf = async (domain: Domain, devices: readonly string[] | null): Promise<BlockFigures> =>
    blockFigures(
      {
        serviceBytes: await item(domain, "blkio.throttle.io_service_bytes"),
        serviced: await item(domain, "blkio.throttle.io_serviced"),
        ioStat: await item(domain, "io.stat"),
      },
      devices,
    );

  const interfacesOf = async (domain: Domain): Promise<readonly string[]> => {
    if (domain.isForeign) return (await engine.links(idOf(domain))).map(({ hostName }) => hostName);
    const doc = await driver.liveDoc(domain);
    return doc?.interfaces.flatMap(({ target }) => target ?? []) ?? [];
  };
  /** Of several links at one moment. */
  const interfaces = (): ((name: string) => InterfaceFigures | null) => {
    const text = files.read("/proc/net/dev");
    return (name) => interfaceFigures(text, name);
  };

  const figuresOf = async (domain: Domain, groups: number): Promise<DomainFigures> => {
    const doc = await docOf(domain);
    const usage = isActive(domain) ? await engine.detailedUsage(idOf(domain)) : null;
    return {
      ...driver.events.of(domain),
      balloon: { current: doc.currentMemory, maximum: doc.memory },
      vcpu: { current: doc.vcpu.current ?? doc.vcpu.count, maximum: doc.vcpu.count },
      running: usage === null ? null : await runningFigures(domain, usage, groups),
    };
  };

  const linkFigures = async (domain: Domain): Promise<RunningFigures["interfaces"]> => {
    const names = await interfacesOf(domain);
    const figuresOfLink = interfaces();
    return names.map((name) => ({ name, figures: figuresOfLink(name) }));
  };

  const runningFigures = async (domain: Domain, usage: DetailedUsage, groups: number): Promise<RunningFigures> => ({
    cpu: cpuTimes(usage),
    memory: usage.memoryBytes === null ? null : usage.memoryBytes / 1024n,
    interfaces: (groups & statGroups.interface) === 0 ? [] : await linkFigures(domain),
    blocks: (groups & statGroups.block) === 0 ? [] : [{ name: "", figures: await blocksOf(domain, null) }],
  });

  return {
    DOMAIN_GET_INFO: async ({ dom }) => {
      const domain = await domainOf(driver, dom);
      const usage = isActive(domain) ? await engine.detailedUsage(idOf(domain)) : null;
      return domainInfo(await docOf(domain), driver.events.of(domain).state, usage);
    },
    DOMAIN_GET_MAX_MEMORY: async ({ dom }) => ({ memory: (await docOf(await domainOf(driver, dom))).memory }),
    DOMAIN_GET_CPU_STATS: async (args) => {
      checkFlags(args.flags, stringOkay, "lxcDomainGetCPUStats");
      const domain = await running(args.dom);
      const usage = await engine.detailedUsage(idOf(domain));
      return cpuStats(args, cpuTimes(usage), perCpuTimes(await item(domain, "cpuacct.usage_percpu")), cpus());
    },
    DOMAIN_MEMORY_STATS: async ({ dom, maxStats, flags }) => {
      checkFlags(flags, 0, "lxcDomainMemoryStats");
      const domain = await running(dom);
      const { currentMemory } = await docOf(domain);
      return { stats: memoryStats(await engine.detailedUsage(idOf(domain)), currentMemory, maxStats) };
    },
    DOMAIN_INTERFACE_STATS: async ({ dom, device }) => {
      const domain = await running(dom);
      const figures = (await interfacesOf(domain)).includes(device) ? interfaces()(device) : null;
      if (figures !== null) return figures;
      throw new LibvirtError(
        errorCodes.invalidArgument,
        errorDomains.lxc,
        `invalid path, '${device}' is not a known interface`,
      );
    },
    DOMAIN_BLOCK_STATS: async ({ dom, path }) => {
      const domain = await running(dom);
      return blockStats(await blocksOf(domain, await disksOf(domain, path)));
    },
    DOMAIN_BLOCK_STATS_FLAGS: async ({ dom, path, nparams, flags }) => {
      checkFlags(flags, stringOkay, "lxcDomainBlockStatsFlags");
      const domain = await running(dom);
      return blockStatsFlags(await blocksOf(domain, await disksOf(domain, path)), nparams);
    },
    DOMAIN_INTERFACE_ADDRESSES: async ({ dom, source, flags }) => {
      checkFlags(flags, 0, "lxcDomainInterfaceAddresses");
      const domain = await running(dom);
      if (source !== addressSources.lease && source !== addressSources.arp) {
        throw new LibvirtError(
          errorCodes.argumentUnsupported,
          errorDomains.lxc,
          `Unknown IP address data source ${source}`,
        );
      }
      // Without a network of its own it has no interface of its own.
      const isHosts = domain.pid === null || networkOf(domain.pid) === networkOf("self");
      return { ifaces: isHosts ? [] : guestAddresses(await engine.interfaces(idOf(domain))) };
    },
    DOMAIN_GET_HOSTNAME: async ({ dom, flags }) => {
      checkFlags(flags, 3, "lxcDomainGetHostname");
      const domain = await running(dom);
      throw new LibvirtError(errorCodes.noHostname, errorDomains.lxc, `no hostname found for domain ${domain.name}`);
    },
    CONNECT_GET_ALL_DOMAIN_STATS: async ({ doms, stats, flags }) => {
      const groups = wantedGroups(stats, flags);
      const isWanted = listFilter(flags & listFlags);
      const retStats: StatsRecord[] = [];
      const domains =
        doms.length === 0 ? await driver.list() : await Promise.all(doms.map((dom) => domainOf(driver, dom)));
      for (const domain of domains) {
        if (isWanted(await filterFacts(driver, domain, flags)))
          retStats.push({ dom: refOf(domain), params: domainStats(await figuresOf(domain, groups), groups) });
      }
      return { retStats };
    },
  };
}
