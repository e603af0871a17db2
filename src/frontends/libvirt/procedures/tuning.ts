import type { Driver } from "../driver/driver.js";
import { type Domain, isActive } from "../driver/domains.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Handlers } from "../rpc/handlers.js";
import type { DomainRef, TypedParameter } from "../rpc/messages.js";
import { llong, type StatParameter, type StatParameters, string, twoSteps, uint, ullong } from "../stats/parameters.js";
import { hostFile } from "../spec/host-file.js";
import type { BlkioDevice, CpuTune, DomainDoc, MemTune } from "../xml/domain.js";
import { affect, askedDoc, checkFlags, domainOf, editDocs, inTurn, stringOkay } from "./common.js";
import { parseDeviceValues, showDeviceValues, type BlkioField, blkioFields } from "./tuning-blkio.js";

/** VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, KiB: said for no limit. */
const unlimited = 9007199254740991n;
/** Bytes: what the kernel shows where there is no limit, the largest number that is a whole page. */
const kernelUnlimited = 0x7fff_ffff_ffff_f000n;
/** VIR_DOMAIN_MEM_MAXIMUM. */
const memoryMaximum = 4;
const getFlags = affect.live | affect.config | stringOkay;

const invalid = (detail: string): LibvirtError =>
  new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, detail);

/** A number that a parameter carries; libvirt converts between its kinds of numbers, too. */
function numberOf(parameter: TypedParameter): bigint {
  if (parameter.kind === "llong" || parameter.kind === "ullong") return parameter.value;
  if (parameter.kind === "int" || parameter.kind === "uint") return BigInt(parameter.value);
  throw invalid(`invalid type '${parameter.kind}' for parameter '${parameter.field}'`);
}

function unknownField(field: string): LibvirtError {
  return invalid(`parameter '${field}' not supported`);
}

/** `/dev/sda` is 8:0. */
function deviceNumber(path: string): string {
  const found = hostFile(path);
  if (found?.kind === "b") return `${found.major}:${found.minor}`;
  throw invalid(`'${path}' is no block device`);
}

/** Limits and shares of domains, of those that run and of their definitions. */
export function tuningHandlers(driver: Driver): Handlers {
  const { engine, storePath } = driver.context;

  const item = async ({ name }: Domain, file: string): Promise<bigint | null> => {
    const text = await engine.cgroupItem({ storePath, name }, file).catch(() => null);
    const number = text?.trim() ?? "";
    return /^-?\d{1,20}$/.test(number) ? BigInt(number) : null;
  };
  const set = async ({ name }: Domain, file: string, value: bigint | string): Promise<void> => {
    await engine.setCgroupItem({ storePath, name }, file, String(value));
  };
  const change = (
    dom: DomainRef,
    flags: number,
    apply: (domain: Domain) => Promise<void>,
    edit: (doc: DomainDoc) => DomainDoc,
  ): Promise<void> => inTurn(driver, dom, flags, (domain, docs) => editDocs(driver, domain, docs, edit, apply));

  const scheduler = async (dom: DomainRef, nparams: number, flags: number): Promise<StatParameters> => {
    checkFlags(flags, getFlags, "lxcDomainGetSchedulerParametersFlags");
    const { domain, live, doc } = await askedDoc(driver, dom, flags);
    const params = [
      ullong("cpu_shares", live ? ((await item(domain, "cpu.shares")) ?? 0n) : (doc.cputune?.shares ?? 0n)),
      ullong("vcpu_period", live ? ((await item(domain, "cpu.cfs_period_us")) ?? 0n) : (doc.cputune?.period ?? 0n)),
      llong("vcpu_quota", live ? ((await item(domain, "cpu.cfs_quota_us")) ?? 0n) : (doc.cputune?.quota ?? 0n)),
    ];
    return { params: params.slice(0, nparams), nparams: 0 };
  };

  const setScheduler = async (dom: DomainRef, params: readonly TypedParameter[], flags: number): Promise<void> => {
    checkFlags(flags, affect.live | affect.config, "lxcDomainSetSchedulerParametersFlags");
    const wanted = new Map(params.map((each) => [each.field, numberOf(each)] as const));
    const files = {
      cpu_shares: "cpu.shares",
      vcpu_period: "cpu.cfs_period_us",
      vcpu_quota: "cpu.cfs_quota_us",
    } as const;
    for (const field of wanted.keys()) if (!Object.hasOwn(files, field)) throw unknownField(field);
    await change(
      dom,
      flags,
      async (domain) => {
        for (const [field, file] of Object.entries(files)) {
          const value = wanted.get(field);
          if (value !== undefined) await set(domain, file, value);
        }
      },
      (doc) => {
        const before: CpuTune = doc.cputune ?? { shares: null, period: null, quota: null };
        return {
          ...doc,
          cputune: {
            shares: wanted.get("cpu_shares") ?? before.shares,
            period: wanted.get("vcpu_period") ?? before.period,
            quota: wanted.get("vcpu_quota") ?? before.quota,
          },
        };
      },
    );
  };

  const memoryFiles = {
    hard_limit: ["memory.limit_in_bytes", "hardLimit"],
    soft_limit: ["memory.soft_limit_in_bytes", "softLimit"],
    swap_hard_limit: ["memory.memsw.limit_in_bytes", "swapHardLimit"],
  } as const;
  const bounded = (kibibytes: bigint): bigint => (kibibytes > unlimited ? unlimited : kibibytes);

  const memory = async (dom: DomainRef, flags: number): Promise<readonly StatParameter[]> => {
    checkFlags(flags, getFlags, "lxcDomainGetMemoryParameters");
    const { domain, live, doc } = await askedDoc(driver, dom, flags);
    const params: StatParameter[] = [];
    for (const [field, [file, key]] of Object.entries(memoryFiles)) {
      const bytes = live ? await item(domain, file) : null;
      const value = live
        ? bytes === null || bytes < 0n || bytes >= kernelUnlimited
          ? unlimited
          : bytes / 1024n
        : (doc.memtune?.[key] ?? unlimited);
      params.push(ullong(field, bounded(value)));
    }
    return params;
  };

  const setMemory = async (dom: DomainRef, size: bigint, flags: number): Promise<void> => {
    checkFlags(flags, affect.live | affect.config | memoryMaximum, "lxcDomainSetMemoryFlags");
    const isMaximum = (flags & memoryMaximum) !== 0;
    const edit = (doc: DomainDoc): DomainDoc =>
      isMaximum
        ? { ...doc, memory: size, currentMemory: doc.currentMemory > size ? size : doc.currentMemory }
        : { ...doc, currentMemory: size };
    await inTurn(driver, dom, flags & (affect.live | affect.config), async (domain, docs) => {
      if (isMaximum && docs.live !== null) {
        throw new LibvirtError(
          errorCodes.operationInvalid,
          errorDomains.lxc,
          "Cannot resize the max memory on an active domain",
        );
      }
      if (!isMaximum && [docs.live, docs.config].some((doc) => doc !== null && size > doc.memory))
        throw invalid("Cannot set memory higher than max memory");
      await editDocs(driver, domain, docs, edit, () => set(domain, "memory.limit_in_bytes", size * 1024n));
    });
  };

  const blkio = async (dom: DomainRef, flags: number): Promise<readonly StatParameter[]> => {
    checkFlags(flags, getFlags, "lxcDomainGetBlkioParameters");
    const { domain, live, doc } = await askedDoc(driver, dom, flags);
    const weight = (live ? await item(domain, "blkio.weight") : null) ?? BigInt(doc.blkio?.weight ?? 0);
    const devices = doc.blkio?.devices ?? [];
    return [
      uint("weight", Number(weight)),
      ...Object.keys(blkioFields).map((field) => string(field, showDeviceValues(devices, field as BlkioField))),
    ];
  };

  const setBlkio = async (dom: DomainRef, params: readonly TypedParameter[], flags: number): Promise<void> => {
    checkFlags(flags, affect.live | affect.config, "lxcDomainSetBlkioParameters");
    let weight: number | null = null;
    const changes: { readonly field: BlkioField; readonly values: ReadonlyMap<string, bigint> }[] = [];
    for (const each of params) {
      if (each.field === "weight") weight = Number(numberOf(each));
      else if (!Object.hasOwn(blkioFields, each.field)) throw unknownField(each.field);
      else if (each.kind !== "string") throw invalid(`invalid type '${each.kind}' for parameter '${each.field}'`);
      else {
        const field = each.field as BlkioField;
        changes.push({ field, values: parseDeviceValues(each.value, field) });
      }
    }
    await change(
      dom,
      flags,
      async (domain) => {
        if (weight !== null) await set(domain, "blkio.weight", BigInt(weight));
        for (const { field, values } of changes) {
          for (const [path, value] of values)
            await set(domain, blkioFields[field].file, `${deviceNumber(path)} ${value}`);
        }
      },
      (doc) => {
        const before = doc.blkio ?? { weight: null, devices: [] };
        const devices = changes.reduce(withValues, before.devices);
        return { ...doc, blkio: { weight: weight ?? before.weight, devices } };
      },
    );
  };

  return {
    DOMAIN_GET_SCHEDULER_TYPE: async ({ dom }) => {
      await domainOf(driver, dom);
      return { type: "posix", nparams: 3 };
    },
    DOMAIN_GET_SCHEDULER_PARAMETERS: async ({ dom, nparams }) => ({
      params: (await scheduler(dom, nparams, 0)).params,
    }),
    DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS: async ({ dom, nparams, flags }) => ({
      params: (await scheduler(dom, nparams, flags)).params,
    }),
    DOMAIN_SET_SCHEDULER_PARAMETERS: async ({ dom, params }) => {
      await setScheduler(dom, params, 0);
    },
    DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS: async ({ dom, params, flags }) => {
      await setScheduler(dom, params, flags);
    },
    DOMAIN_GET_MEMORY_PARAMETERS: async ({ dom, nparams, flags }) => twoSteps(nparams, await memory(dom, flags)),
    DOMAIN_SET_MEMORY_PARAMETERS: async ({ dom, params, flags }) => {
      checkFlags(flags, affect.live | affect.config, "lxcDomainSetMemoryParameters");
      const wanted = new Map(params.map((each) => [each.field, numberOf(each)] as const));
      for (const field of wanted.keys()) if (!Object.hasOwn(memoryFiles, field)) throw unknownField(field);
      await change(
        dom,
        flags,
        async (domain) => {
          for (const [field, [file]] of Object.entries(memoryFiles)) {
            const value = wanted.get(field);
            if (value !== undefined) await set(domain, file, value >= unlimited ? -1n : value * 1024n);
          }
        },
        (doc) => {
          const before: MemTune = doc.memtune ?? { hardLimit: null, softLimit: null, swapHardLimit: null };
          const limit = (field: keyof typeof memoryFiles): bigint | null => {
            const value = wanted.get(field);
            return value === undefined ? before[memoryFiles[field][1]] : value >= unlimited ? null : value;
          };
          const memtune = {
            hardLimit: limit("hard_limit"),
            softLimit: limit("soft_limit"),
            swapHardLimit: limit("swap_hard_limit"),
          };
          return { ...doc, memtune };
        },
      );
    },
    DOMAIN_GET_BLKIO_PARAMETERS: async ({ dom, nparams, flags }) => twoSteps(nparams, await blkio(dom, flags)),
    DOMAIN_SET_BLKIO_PARAMETERS: async ({ dom, params, flags }) => {
      await setBlkio(dom, params, flags);
    },
    DOMAIN_SET_MEMORY_FLAGS: async ({ dom, memory: size, flags }) => {
      await setMemory(dom, size, flags);
    },
    DOMAIN_SET_MEMORY: async ({ dom, memory: size }) => {
      await setMemory(dom, size, affect.live);
    },
    DOMAIN_SET_MAX_MEMORY: async ({ dom, memory: size }) => {
      const isRunning = isActive(await domainOf(driver, dom));
      await setMemory(dom, size, memoryMaximum | (isRunning ? affect.live : affect.config));
    },
  };
}

/** A value of 0 takes a device's away. */
function withValues(
  devices: readonly BlkioDevice[],
  { field, values }: { readonly field: BlkioField; readonly values: ReadonlyMap<string, bigint> },
): readonly BlkioDevice[] {
  const { key } = blkioFields[field];
  const paths = [...new Set([...devices.map(({ path }) => path), ...values.keys()])];
  const none = { weight: null, readIops: null, writeIops: null, readBytes: null, writeBytes: null };
  return paths
    .map((path): BlkioDevice => {
      const before = devices.find((each) => each.path === path) ?? { path, ...none };
      const value = values.get(path);
      if (value === undefined) return before;
      const given = value === 0n ? null : value;
      return key === "readBytes" || key === "writeBytes"
        ? { ...before, [key]: given }
        : { ...before, [key]: given === null ? null : Number(given) };
    })
    .filter(({ path: _path, ...rest }) => Object.values(rest).some((value) => value !== null));
}
