import { randomBytes, randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { hostname, release } from "node:os";
import type { AbsPath } from "../../base/brand.js";
import type { Caller, ContainerId, Engine, LateSpec, Startable, StartCompany } from "../../engine/engine.js";
import type { ContainerSpec } from "../../spec/spec.js";
import { createDomainLog } from "./beside/domain-log.js";
import { createHookNotes } from "./beside/hook-notes.js";
import { createHooks } from "./beside/hooks.js";
import { logsWithDaemon } from "./beside/lxc-conf.js";
import { lxcContextsFile } from "./beside/selinux.js";
import type { Services } from "./beside/services.js";
import type { DriverContext } from "./driver/context.js";
import { createDriver, type Driver } from "./driver/driver.js";
import { hostCpuCount, type HostArch } from "./host/cpu.js";
import type { HostFiles } from "./host/files.js";
import { hostMemory } from "./host/memory.js";
import { readTopology } from "./host/topology.js";
import { consoleHandlers } from "./procedures/console.js";
import { deviceHandlers } from "./procedures/devices.js";
import { documentHandlers } from "./procedures/documents.js";
import { eventHandlers } from "./procedures/events.js";
import { hostHandlers, type HostIdentity } from "./procedures/host.js";
import { lifecycleHandlers } from "./procedures/lifecycle.js";
import { lookupHandlers } from "./procedures/lookup.js";
import { nativeHandlers } from "./procedures/native.js";
import { secondaryHandlers } from "./procedures/secondary.js";
import { statsHandlers } from "./procedures/stats.js";
import { tuningHandlers } from "./procedures/tuning.js";
import { validateDomain } from "./procedures/validate.js";
import type { Handlers } from "./rpc/handlers.js";
import { createRpcServer, type RpcServer } from "./rpc/server.js";
import { usualEmulator as emulator } from "./xml/read-context.js";
import type { DomainDoc } from "./xml/domain.js";
import { readDomain, type ReadContext } from "./xml/read-domain.js";
import { writeDomain } from "./xml/write-domain.js";

/** The libvirt front end: unmodified clients of libvirt's LXC driver find their domains, which are the containers of one store. */

export interface LibvirtOptions {
  readonly engine: Engine;
  readonly caller: Caller;
  readonly storePath: string;
  readonly runtimeDir: string;
  readonly arch: HostArch;
  readonly lxcSpec: (id: ContainerId) => Promise<ContainerSpec>;
  readonly lxcConfig: (spec: ContainerSpec) => string;
  readonly services: Services;
  /** Where libvirt's hooks are; null: nowhere. */
  readonly hooksDirectory: string | null;
  /** libvirt's lxc.conf; null: none. */
  readonly lxcConf: string | null;
  /** islet's. */
  readonly version: string;
}

/** Of libvirt's own prefix for what has no address. */
function newMac(): string {
  return ["52", "54", "00", ...Array.from(randomBytes(3), (byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

const hostFiles: HostFiles = {
  read: (path) => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return null;
    }
  },
  list: (path) => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  },
};

export interface Libvirt {
  readonly server: RpcServer;
  /** What a domain is started as, by whoever starts it; null: the container is no domain that is defined here. */
  readonly definedAs: (id: ContainerId) => LateSpec | null;
  /** What belongs around every start of a domain; null: it is none that is defined here. */
  readonly company: (what: Startable) => StartCompany | null;
  /** Starts what is to be started with the host. */
  readonly startAutomatic: () => Promise<void>;
}

function readContext(arch: HostArch): ReadContext {
  const model = lxcContextsFile() === null ? {} : ({ securityModel: "selinux" } as const);
  return { newUuid: randomUUID, newMac, defaultEmulator: emulator, arch, ...model };
}

/** All procedures that are answered here. */
export function libvirtHandlers(driver: Driver, identity: HostIdentity): Handlers {
  const { arch } = identity;
  return {
    ...hostHandlers(hostFiles, identity),
    ...lookupHandlers(driver),
    ...lifecycleHandlers(driver, validateDomain),
    ...documentHandlers(driver),
    ...deviceHandlers(driver, readContext(arch), hostFiles),
    ...eventHandlers(driver),
    ...consoleHandlers(driver),
    ...statsHandlers(driver, hostFiles, () => hostCpuCount(readTopology(hostFiles).present)),
    ...tuningHandlers(driver),
    ...nativeHandlers(driver, { newUuid: randomUUID, newMac, emulator, arch }),
    ...secondaryHandlers(),
  };
}

export async function createLibvirt(options: LibvirtOptions): Promise<Libvirt> {
  const {
    engine,
    caller,
    storePath,
    runtimeDir,
    arch,
    lxcSpec,
    lxcConfig,
    services,
    hooksDirectory,
    lxcConf,
    version,
  } = options;
  const reading = readContext(arch);
  const read = (text: string): DomainDoc => readDomain(text, reading);
  const notes = createHookNotes(runtimeDir, {
    read,
    write: (doc) => writeDomain(doc, { inactive: true, secure: true }),
  });
  const context: DriverContext = {
    engine,
    caller,
    storePath: storePath as AbsPath,
    runtimeDir,
    lxcSpec,
    lxcConfig,
    services,
    files: hostFiles,
    lxcConf,
    arch,
    log: createDomainLog(services, { version, kernel: release(), hostname: hostname() }, () => logsWithDaemon(lxcConf)),
    hooks: createHooks(services, hooksDirectory, (doc) => writeDomain(doc, { inactive: false, secure: false }), notes),
    hostMemory: hostMemory(hostFiles).total,
    xml: { read, write: writeDomain },
  };
  const identity: HostIdentity = {
    arch,
    uuid: randomUUID(),
    hostname: hostname(),
    kernel: release(),
    emulator,
    pageSize: 4096,
  };
  const driver = await createDriver(context);
  const server = createRpcServer(libvirtHandlers(driver, identity));
  return {
    server,
    startAutomatic: () => driver.startAutomatic(),
    definedAs: (id) => (id.storePath === storePath ? driver.definedAs(id.name) : null),
    company: (what) => driver.company(what),
  };
}
