import { readSelinux } from "../beside/selinux.js";
import { noSecurityModel, readCapabilities, type SecurityModel } from "../host/capabilities-facts.js";
import { writeCapabilities } from "../host/capabilities.js";
import { cpuMap, type HostArch, nodeCpuStats, nodeInfo } from "../host/cpu.js";
import type { HostFiles } from "../host/files.js";
import { memoryParameters } from "../host/ksm.js";
import { cellsFreeMemory, freeMemory, nodeMemoryStats } from "../host/memory.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Handlers } from "../rpc/handlers.js";
import { checkFlags, stringOkay } from "./common.js";

/** What the daemon knows of its host without reading files. */
export interface HostIdentity {
  readonly arch: HostArch;
  /** For a machine whose firmware has none. */
  readonly uuid: string;
  readonly hostname: string;
  /** `uname -r`: 6.18.44-amd64. */
  readonly kernel: string;
  readonly emulator: string;
  /** Bytes. */
  readonly pageSize: number;
}

/** The version of libvirt whose protocol and answers these are: 9.0.0. */
const libraryVersion = 9_000_000n;

/** 6.18.44 is 6018044. */
export function versionNumber(release: string): bigint {
  const [, major = "0", minor = "0", micro = "0"] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? [];
  return BigInt(major) * 1_000_000n + BigInt(minor) * 1000n + BigInt(micro);
}

function securityModel(): SecurityModel {
  const selinux = readSelinux();
  if (selinux === null) return noSecurityModel;
  return { model: "selinux", doi: "0", baseLabels: [{ type: "lxc", label: selinux.process }] };
}

export function hostHandlers(files: HostFiles, identity: HostIdentity): Handlers {
  const { arch, uuid, emulator, pageSize } = identity;
  return {
    CONNECT_GET_TYPE: () => ({ type: "LXC" }),
    CONNECT_GET_VERSION: () => ({ hv_ver: versionNumber(identity.kernel) }),
    CONNECT_GET_LIB_VERSION: () => ({ lib_ver: libraryVersion }),
    CONNECT_GET_HOSTNAME: () => ({ hostname: identity.hostname }),
    CONNECT_GET_CAPABILITIES: () => ({
      capabilities: writeCapabilities(
        readCapabilities(files, { arch, uuid, emulator, pageSize: pageSize / 1024, securityModel: securityModel() }),
      ),
    }),
    CONNECT_GET_SYSINFO: ({ flags }) => {
      checkFlags(flags, 0, "lxcConnectGetSysinfo");
      throw new LibvirtError(
        errorCodes.configUnsupported,
        errorDomains.lxc,
        "Host SMBIOS information is not available",
      );
    },
    NODE_GET_SECURITY_MODEL: () => {
      const { model, doi } = securityModel();
      return { model: `${model}\0`, doi: `${doi}\0` };
    },
    NODE_GET_INFO: () => {
      const info = nodeInfo(files, arch);
      return { ...info, model: info.model.slice(0, 31) };
    },
    NODE_GET_CPU_MAP: ({ need_map, need_online, flags }) => {
      checkFlags(flags, 0, "lxcNodeGetCPUMap");
      return cpuMap(files, need_map !== 0, need_online !== 0);
    },
    NODE_GET_CPU_STATS: ({ cpuNum, nparams, flags }) => {
      checkFlags(flags, 0, "lxcNodeGetCPUStats");
      return nodeCpuStats(files, cpuNum, nparams);
    },
    NODE_GET_MEMORY_STATS: ({ nparams, cellNum, flags }) => {
      checkFlags(flags, 0, "lxcNodeGetMemoryStats");
      return nodeMemoryStats(files, nparams, cellNum);
    },
    NODE_GET_MEMORY_PARAMETERS: ({ nparams, flags }) => {
      checkFlags(flags, stringOkay, "lxcNodeGetMemoryParameters");
      return memoryParameters(files, nparams);
    },
    NODE_GET_CELLS_FREE_MEMORY: ({ startCell, maxcells }) => ({ cells: cellsFreeMemory(files, startCell, maxcells) }),
    NODE_GET_FREE_MEMORY: () => ({ freeMem: freeMemory(files) }),
  };
}
