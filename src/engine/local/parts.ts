import { mkdirSync, readFileSync } from "node:fs";
import { IsletError } from "../../base/errors.js";
import { once } from "../../base/once.js";
import { type ChangeQueue, createChangeQueue } from "../../base/queue.js";
import { closeFd, memfd } from "../../host/addon.js";
import { createMonitorPool, type MonitorPool } from "../../runtime/monitors.js";
import type { BridgeNetwork } from "../../spec/bridge.js";
import type { HostFacts } from "../../spec/host.js";
import type { NicGrants } from "../../spec/user-nic.js";
import type { StorageHost } from "../../storage/driver.js";
import { type BridgeRegister, createBridgeRegister } from "../bridge-register.js";
import type { Bridges } from "../bridges.js";
import type { ContainerId, GuestDoor, LateSpec, Startable, StartCompany } from "../engine.js";
import { createGuestApis, type GuestApis } from "../guest-api.js";
import type { Images } from "../images.js";
import { createLxcfsKeeper, type LxcfsKeeper } from "../lxcfs.js";
import { createNetworkChecks, type NetworkChecks } from "../network-check.js";
import { nicAccountsFile } from "../nic-accounts.js";
import { createPhysReturn, type PhysReturn } from "../phys-return.js";
import { createRegistry, type Registry } from "../registry.js";
import { directoryOf } from "../store.js";
import type { UserNics } from "../user-nics.js";
import { provideBridge } from "./provide-bridges.js";

export interface LocalOptions {
  readonly host: HostFacts;
  /** The static binary: monitors and small inits. */
  readonly binary: string;
  readonly keepSpare: boolean;
  /** Callers may ask by ISLET_TEST_FAIL_OPERATION=N that the N-th operation of a start fails; only tests start such a daemon. */
  readonly isUnderTest?: boolean;
  /** Guests' connections are taken as on kernels before 6.16; only tests start such a daemon. */
  readonly usesDoors?: boolean;
  /** Whoever speaks the API of guests to them: called when the first guest that has one is started. */
  readonly guestDoor: () => Promise<GuestDoor>;
  /** The bridge that the host's administrator wants (lxc-net), if it has that name; null: there is none. */
  readonly wantedBridge?: (name: string | null) => Promise<BridgeNetwork | null>;
  /** What the host's administrator grants users of nics; absent: nothing. */
  readonly nicGrants?: () => Promise<NicGrants>;
  /** The `cgroup.procs` files of groups in which monitors are to be made; else they are where this process is. */
  readonly monitorGroups?: () => readonly string[];
  /** Engine.definedElsewhere; absent: there are no other front ends. */
  readonly definedElsewhere?: (id: ContainerId) => Promise<LateSpec | null>;
  /** Who is to be asked and told around a start; null: nobody. Called before every one. */
  readonly company?: (what: Startable) => Promise<StartCompany | null> | null;
}

/** What the requests of one engine share. */
export interface EngineParts {
  readonly options: LocalOptions;
  readonly host: HostFacts;
  readonly binary: string;
  readonly storage: StorageHost;
  readonly registry: Registry;
  readonly pool: MonitorPool;
  /** Changes of one container (directoryOf), one after another. */
  readonly queue: ChangeQueue;
  readonly lxcfs: LxcfsKeeper;
  readonly apis: GuestApis;
  readonly physReturn: PhysReturn;
  readonly networkChecks: NetworkChecks;
  readonly register: BridgeRegister;
  readonly bridges: () => Promise<Bridges>;
  readonly nicGrants: () => Promise<NicGrants>;
  readonly userNics: () => Promise<UserNics>;
  readonly images: () => Promise<Images>;
  /** A sealed copy of the binary, in memory: made when it is first asked for, closed by `close`. */
  readonly sealedBinary: () => number;
  readonly close: () => void;
}

export function createParts(options: LocalOptions): EngineParts {
  const { host, binary } = options;
  mkdirSync(`${host.runtimeDir}/rootfs`, { recursive: true, mode: 0o755 });
  const registry = createRegistry(host.arch, host.runtimeDir, binary);
  const bridges = once(async () => (await import("../bridges.js")).createBridges(host, binary));
  const nicGrants = options.nicGrants ?? ((): Promise<NicGrants> => Promise.resolve({ grants: [], faults: [] }));
  const userNics = once(async () =>
    (await import("../user-nics.js")).createUserNics(host, {
      binary,
      grants: nicGrants,
      accounts: nicAccountsFile(host),
      provideBridge: (name) => provideBridge({ options, bridges }, name),
    }),
  );
  let sealed: number | null = null;
  return {
    options,
    host,
    binary,
    storage: { arch: host.arch, binary, runtimeDir: host.runtimeDir, facts: host },
    registry,
    pool: createMonitorPool(host.arch, host.runtimeDir, binary, options.keepSpare, options.monitorGroups ?? (() => [])),
    queue: createChangeQueue(),
    lxcfs: createLxcfsKeeper(host, binary, registry),
    apis: createGuestApis(host, registry, binary, options.guestDoor, options.usesDoors === true),
    physReturn: createPhysReturn(host, binary),
    networkChecks: createNetworkChecks(host, registry),
    register: createBridgeRegister(host, registry, bridges),
    bridges,
    nicGrants,
    userNics,
    images: once(async () => (await import("../images.js")).createImages(host, binary)),
    sealedBinary: () => {
      if (sealed === null) {
        const made = memfd("islet", readFileSync(binary), true);
        if (made < 0) throw new IsletError("ISLET_IO", "cannot copy islet's binary into memory");
        sealed = made;
      }
      return sealed;
    },
    close: () => {
      if (sealed !== null) closeFd(sealed);
      sealed = null;
    },
  };
}

/** A change of one container, after those that were asked for before. */
export const inQueue = <T>({ queue }: EngineParts, id: ContainerId, change: () => Promise<T>): Promise<T> =>
  queue.run(directoryOf(id), change);
