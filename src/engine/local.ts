import { closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { closeFd, memfd } from "../host/addon.js";
import { readFileSync } from "node:fs";
import { missingCalls } from "../host/features.js";
import { ownLink, prepareQuestions } from "../host/netns.js";
import { socketPair } from "../host/socket.js";
import { planAttach, planHostCommand } from "../plan/attach.js";
import { planInterfaceIn, planInterfaceOut } from "../plan/nic/hotplug.js";
import { planOpen } from "../plan/open.js";
import { planUnshare } from "../plan/unshare.js";
import { planStart } from "../plan/start.js";
import { encodeProgram } from "../program/encode.js";
import { explainProgram, programJson } from "../program/explain.js";
import type { LaunchProgram } from "../program/ops.js";
import { decodeRecord, failureError } from "../program/report.js";
import {
  createMonitorPool,
  type FreshMonitor,
  type MonitorMeta,
  monitorSocketPath,
  notRunning,
  sendSignal,
  whenKnown,
} from "../runtime/monitors.js";
import { monitorFrames, writer } from "../host/protocol.js";
import type { BridgeNetwork } from "../spec/bridge.js";
import type { NicGrants } from "../spec/user-nic.js";
import type { HostFacts, StartFacts } from "../spec/host.js";
import { instanceIdKey, readyKey, type Settings } from "../spec/settings.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { LinkInfo } from "../sys/netlink-parse.js";
import { livingStates } from "../spec/states.js";
import { attachRequest, attachTargetOf } from "./attach.js";
import { sendRunLevel } from "./initctl.js";
import { openNamespacesOf } from "./namespace-files.js";
import {
  type ContainerId,
  type ContainerStatus,
  type Engine,
  type Exported,
  type GuestDoor,
  noSuchContainer,
  type LateSpec,
  type Startable,
  type StartCompany,
  type StartOptions,
  type State,
} from "./engine.js";
import { clientTask, room } from "./client-task.js";
import { environmentStrings } from "./commands.js";
import type { AttachedImages } from "./disk-images.js";
import {
  isNetworkElsewhere,
  joinedLinks,
  readSources,
  openCallerNamespaces,
  type Sources,
  startFacts,
} from "./facts.js";
import { cgroupItem, deviceRuleOf, freezerSwitch, setCgroupItem } from "./cgroup-item.js";
import type { Bridges } from "./bridges.js";
import { bridgeFiles } from "./bridge-files.js";
import { createBridgeRegister } from "./bridge-register.js";
import { nicAccountsFile } from "./nic-accounts.js";
import type { UserNics } from "./user-nics.js";
import { addNode, bindNode, isInterface, mustBind, removeNode, unbindNode } from "./device.js";
import { changeDevices, forgetDevices, sweepDevices } from "./device-rules.js";
import type { LiveDevices, Running } from "./live-devices.js";
import { destroyEphemeral, forgetEphemeral, notedEphemerals, noteEphemeral } from "./ephemeral.js";
import { freezeContainer } from "./freeze.js";
import { destroyContainer, createContainer } from "./lifecycle.js";
import { createGuestApis } from "./guest-api.js";
import { describeMonitor } from "./meta.js";
import { createNetworkChecks } from "./network-check.js";
import { addressesOf, interfacesOf, linksOf } from "./network-status.js";
import { createPhysReturn } from "./phys-return.js";
import { openRoot } from "./open.js";
import { containersByCgroup, outputSocket, payloadOf } from "./processes.js";
import type { Images } from "./images.js";
import { settleMaking } from "./making.js";
import { createLxcfsKeeper } from "./lxcfs.js";
import { createQuickMoves } from "./quick-moves.js";
import { createChangeQueue } from "../base/queue.js";
import { type Registry, createRegistry } from "./registry.js";
import {
  checkName,
  configFileOf,
  definedNames,
  directoryOf,
  dropUnwritten,
  forgetContainer,
  maxConfig,
  readConfigText,
  settle,
  writeWhole,
} from "./store.js";
import type { StorageHost } from "../storage/driver.js";
import { expectedScope, takeScope } from "./scope.js";
import { endNow, startInCompany } from "./start-company.js";
import { stopContainer } from "./stop.js";
import { outerTerminals, takeTerminal } from "./terminal.js";
import { unshareRequest } from "./unshare.js";
import { createWholes } from "./whole.js";
import { readDetailedUsage, readLiveUsage, readUsage } from "./usage.js";

export interface LocalEngine extends Engine {
  /** Finds the containers that run already. */
  rediscover(): Promise<void>;
  readonly registry: Registry;
  /** There is something that must be done when a container ends. */
  hasDuties(): boolean;
  /** Plans a start and throws the program away. */
  rehearse(spec: ContainerSpec): void;
  /** Makes what the next start will need. */
  prepare(): void;
  /** Resolves when nothing of it is left but the containers. */
  close(): Promise<void>;
}

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

/** The engine itself, in this process. */
export function createEngine(options: LocalOptions): LocalEngine {
  const { host } = options;
  const storage: StorageHost = { arch: host.arch, binary: options.binary, runtimeDir: host.runtimeDir, facts: host };
  mkdirSync(`${host.runtimeDir}/rootfs`, { recursive: true, mode: 0o755 });
  const registry = createRegistry(host.arch, host.runtimeDir, options.binary);
  const pool = createMonitorPool(
    host.arch,
    host.runtimeDir,
    options.binary,
    options.keepSpare,
    options.monitorGroups ?? (() => []),
  );
  const queue = createChangeQueue();
  const lxcfs = createLxcfsKeeper(host, options.binary, registry);
  const apis = createGuestApis(host, registry, options.binary, options.guestDoor, options.usesDoors === true);
  const physReturn = createPhysReturn(host, options.binary);
  const networkChecks = createNetworkChecks(host, registry);
  let bridgesMade: Promise<Bridges> | null = null;
  const bridges = (): Promise<Bridges> =>
    (bridgesMade ??= import("./bridges.js").then(({ createBridges }) => createBridges(host, options.binary)));
  const register = createBridgeRegister(host, registry, bridges);
  const nicGrants = options.nicGrants ?? ((): Promise<NicGrants> => Promise.resolve({ grants: [], faults: [] }));
  let userNicsMade: Promise<UserNics> | null = null;
  const userNics = (): Promise<UserNics> =>
    (userNicsMade ??= import("./user-nics.js").then(({ createUserNics }) =>
      createUserNics(host, {
        binary: options.binary,
        grants: nicGrants,
        accounts: nicAccountsFile(host),
        provideBridge,
      }),
    ));
  let imagesMade: Promise<Images> | null = null;
  const images = (): Promise<Images> =>
    (imagesMade ??= import("./images.js").then(({ createImages }) => createImages(host, options.binary)));
  const endQuickMoves = createQuickMoves(host, options.binary, registry);
  const key = (id: ContainerId): string => directoryOf(id);
  let sealed: number | null = null;

  const binaryFd = (): number => {
    if (sealed === null) {
      const made = memfd("islet", readFileSync(options.binary), true);
      if (made < 0) throw new IsletError("ISLET_IO", "cannot copy islet's binary into memory");
      sealed = made;
    }
    return sealed;
  };

  const pidOf = (container: string): number | null => {
    const slash = container.lastIndexOf("/");
    for (const monitor of registry.all()) {
      const matches = slash < 0 ? monitor.meta.name === container : directoryOf(monitor.meta) === container;
      if (matches && monitor.pid !== null) return monitor.pid;
    }
    return null;
  };

  const failOperationOf = (wanted: StartOptions): number | null => {
    const text = options.isUnderTest === true ? wanted.caller.environment["ISLET_TEST_FAIL_OPERATION"] : undefined;
    return text === undefined ? null : Number(text);
  };

  const factsOf = (
    spec: ContainerSpec,
    wanted: StartOptions,
    scope: StartFacts["scope"],
    sources: Sources | null,
    loops = 0,
  ): StartFacts => {
    try {
      return startFacts(spec, host, wanted, scope, pidOf, lxcfs.current(), sources, loops);
    } finally {
      // The start needs what is opened there for itself.
      sources?.files?.close();
    }
  };

  const planFor = (spec: ContainerSpec, start: StartOptions, sources: Sources | null): LaunchProgram =>
    planStart(
      spec,
      host,
      factsOf(spec, start, expectedScope(host, spec), sources),
      start.warn,
      sources?.mounts ?? null,
    );

  const launch = async (
    spec: ContainerSpec,
    wanted: StartOptions,
    facts: StartFacts,
    program: LaunchProgram,
    meta: MonitorMeta,
    fresh: FreshMonitor | null,
    loops: readonly number[],
  ): Promise<ContainerStatus> => {
    const fds: number[] = [];
    if (wanted.stdio !== undefined) for (const fd of wanted.stdio) fds.push(fd ?? binaryFd());
    if (spec.init.mode === "supervised") fds.push(binaryFd());
    const elsewhere = openCallerNamespaces(facts);
    fds.push(...elsewhere, ...(wanted.listen?.fds ?? []), ...loops);
    const [near, far] = wanted.join === undefined ? [null, null] : socketPair(host.arch);
    const result = await pool
      .launch(
        {
          meta,
          title: `[lxc monitor] ${spec.storePath} ${spec.name}`,
          image: (allocate) => encodeProgram(program, allocate, "without notes"),
          fds,
          failOperation: wanted.failOperation ?? failOperationOf(wanted),
          joined: far,
          fresh,
        },
        registry.events,
      )
      .catch((error: unknown) => {
        // Nothing was handed over.
        for (const fd of [near, far]) if (fd !== null) closeFd(fd);
        throw error;
      })
      .finally(() => {
        for (const fd of elsewhere) closeFd(fd);
      });
    setImmediate(() => {
      pool.prepare();
    });
    // It has been in the registry since its first sign of life, and may have left it again: a short command ends before we come here.
    if (result.kind === "running") {
      if (near !== null) wanted.join?.(near);
      return registry.status(spec);
    }
    if (near !== null) closeFd(near);
    if (result.kind === "died")
      throw new IsletError("ISLET_START_FAILED", `the monitor of ${spec.name} ended before the container ran`);
    throw startError(program, result.record, result.log, spec.name);
  };

  /** In the container's queue, once its main process is known. */
  const withLive = async <T>(
    id: ContainerId,
    change: (live: LiveDevices, target: Running) => Promise<T>,
  ): Promise<T> => {
    await whenKnown(started(registry, id));
    const { createLiveDevices } = await import("./live-devices.js");
    const live = createLiveDevices(host, options.binary);
    return await queue.run(key(id), async () => {
      const { meta, pid, pidfd } = started(registry, id);
      if (pid === null || pidfd === null) throw notRunning(id.name);
      return await change(live, { meta, pid, pidfd });
    });
  };

  /** Makes a bridge if the host wants it. What keeps guests from using it. */
  const provideBridge = async (name: string): Promise<readonly string[]> => {
    const network = (await options.wantedBridge?.(name)) ?? null;
    return network === null ? [] : (await (await bridges()).up(network)).warnings;
  };

  /** Makes what the host wants of the bridges that the container is to be joined with and that are not there, or not whole. Gives back those that are. */
  const provideBridges = async (spec: ContainerSpec, { caller, warn }: StartOptions): Promise<readonly LinkInfo[]> => {
    const links = joinedLinks(spec);
    const there = links.flatMap((link) => ownLink(host.arch, link) ?? []);
    const missing = links.filter((link) => !there.some(({ name }) => name === link));
    const noted = links.filter((link) => !missing.includes(link) && existsSync(bridgeFiles(host, link).note));
    if (missing.length + noted.length === 0 || isNetworkElsewhere(spec, caller.pid)) return there;
    for (const link of noted) {
      for (const message of await (await bridges()).mend(link)) warn?.({ message, at: null });
    }
    for (const link of missing) {
      for (const message of await provideBridge(link)) warn?.({ message, at: null });
    }
    return there;
  };

  /** In the container's queue. */
  const startNow = async (given: ContainerSpec, wanted: StartOptions): Promise<ContainerStatus> => {
    let spec = given;
    const links = await provideBridges(spec, wanted);
    // Of an end that nobody has seen.
    await physReturn.restore(spec);
    await limitRoot(storage, spec);
    const admitted = networkChecks.admit(spec, wanted, links);
    let scoped: Awaited<ReturnType<typeof takeScope>> = null;
    let disks: AttachedImages | null = null;
    try {
      if ((spec.mounts.dev.images ?? []).length > 0) {
        disks = await (await import("./disk-images.js")).attachImages(host.arch, spec);
        spec = disks.spec;
      }
      scoped = await takeScope(host, pool, spec, wanted.warn);
      const reading = readSources(host, options.binary, spec);
      const sources = reading === null ? null : await reading;
      const facts = factsOf(spec, wanted, scoped?.cgroups ?? {}, sources, disks?.fds.length);
      const program = planStart(spec, host, facts, wanted.warn, sources?.mounts ?? null);
      const meta = describeMonitor(spec, host, facts);
      const unregister = await register.admit(spec, facts, wanted.warn);
      apis.open(meta);
      if (facts.networkPin !== null) physReturn.note(spec);
      if (spec.lifecycle.ephemeral) noteEphemeral(storage, spec);
      try {
        return await launch(spec, wanted, facts, program, meta, scoped?.monitor ?? null, disks?.fds ?? []);
      } catch (error) {
        unregister();
        apis.close(meta);
        if (spec.lifecycle.ephemeral) forgetEphemeral(storage, spec);
        await physReturn.restore(spec);
        throw error;
      }
    } finally {
      // The monitor has its own.
      disks?.[Symbol.dispose]();
      admitted();
      await scoped?.monitor.discard();
    }
  };

  const start = async (what: Startable, wanted: StartOptions): Promise<ContainerStatus> => {
    // Not in the queue: what is starting may take its time.
    if (registry.get(what) !== undefined) throw alreadyRunning(what.name);
    let joined: number | null = null;
    const join = (descriptor: number): void => {
      joined = descriptor;
    };
    const { status, company } = await queue.run(key(what), async () => {
      checkName(what.name);
      if (registry.get(what) !== undefined) throw alreadyRunning(what.name);
      if (registry.isOrphan(what)) await orphanEnd(registry, what);
      const inside = wanted.join === undefined ? wanted : { ...wanted, join };
      return await startInCompany(what, options.company?.(what) ?? null, inside, startNow);
    });
    try {
      // Not in the queue: who is told may ask for a change of what runs.
      await company?.after(() => endNow(host.arch, registry, what));
    } catch (error) {
      if (joined !== null) closeFd(joined);
      throw error;
    }
    if (joined !== null) wanted.join?.(joined);
    return status;
  };

  const takeBack = (id: ContainerId): Promise<void> =>
    queue.run(key(id), async () => {
      if (registry.get(id) === undefined && !registry.isOrphan(id)) await physReturn.restore(id);
    });

  const endEphemeral = (id: ContainerId): void => {
    queue
      .run(key(id), async () => {
        await destroyEphemeral(storage, id);
        await register.forget(id);
      })
      .catch((error: unknown) => {
        console.error(`cannot destroy the ephemeral container ${id.name}`, error);
      });
  };

  const setFrozen = async (id: ContainerId, frozen: boolean): Promise<void> => {
    const monitor = started(registry, id);
    if (monitor.doomed) throw notRunning(id.name);
    await freezeContainer(host.arch, monitor, frozen, registry.events.changed);
  };

  /** Neither changes meanwhile. Always in the same order, so that two never wait for each other. */
  const both = async <T>(one: ContainerId, other: ContainerId, change: () => Promise<T>): Promise<T> => {
    const [first, second] = [key(one), key(other)].sort();
    if (first === undefined || second === undefined || first === second)
      throw new IsletError("ISLET_EXISTS", `the container ${other.name} exists already`);
    return await queue.run(first, () => queue.run(second, change));
  };

  /** Nothing of it changes meanwhile: it does not run, or it is frozen. `use` gets its main process. */
  const atRest = async (
    id: ContainerId,
    mayRun: boolean,
    use: (pid: number | null) => Promise<void>,
  ): Promise<void> => {
    const monitor = registry.get(id);
    if (monitor === undefined && !registry.isOrphan(id)) {
      await use(null);
      return;
    }
    if (!mayRun || monitor === undefined) throw originalRuns(id.name);
    const wasFrozen = monitor.state === "FROZEN";
    if (!wasFrozen) await setFrozen(id, true);
    try {
      await use(monitor.pid);
    } finally {
      // It may have been ended meanwhile.
      if (!wasFrozen && registry.get(id) === monitor && !monitor.doomed) await setFrozen(id, false);
    }
  };

  const mustStand = (id: ContainerId): void => {
    checkName(id.name);
    if (registry.get(id) !== undefined || registry.isOrphan(id))
      throw new IsletError("ISLET_RUNNING", `${id.name} is running`, { hint: `stop it first: lxc-stop -n ${id.name}` });
  };

  const checkExists = (id: ContainerId): void => {
    checkName(id.name);
    if (registry.get(id) === undefined && !existsSync(configFileOf(id))) throw noSuchContainer(id);
  };

  const readSettings = (id: ContainerId): Settings => {
    checkExists(id);
    const store = apis.settings(id);
    // It may be a copy, which is another instance.
    if (store.read()[instanceIdKey] !== undefined) store.instanceId();
    const settings = store.read();
    return settings[readyKey] === undefined
      ? settings
      : { ...settings, [readyKey]: String(registry.get(id) !== undefined && apis.isReady(id) === true) };
  };

  /** Containers whose remains of a dead daemon are being removed: who asks for one hears of it when that is over. */
  const settling = new Map<string, Promise<void>>();
  const wholes = createWholes(maxConfig);

  const engine: LocalEngine = {
    registry,
    async rediscover() {
      // Before the look around: what appears meanwhile is not missed.
      registry.watchOthers();
      await registry.rediscover();
      for (const id of physReturn.noted()) await takeBack(id);
      await lxcfs.begin();
      apis.resume();
      await register.resume();
      sweepDevices(host.runtimeDir);
      const settleOne = async (id: ContainerId): Promise<void> => {
        const settled = queue.run(key(id), async () => {
          await settle(storage, id);
          dropUnwritten(id);
        });
        settling.set(
          key(id),
          settled.catch(() => undefined),
        );
        try {
          await settled;
        } finally {
          settling.delete(key(id));
        }
      };
      settleMaking(storage, settleOne).catch((error: unknown) => {
        console.error(error);
      });
      for (const id of notedEphemerals(storage))
        if (registry.get(id) === undefined && !registry.isOrphan(id)) endEphemeral(id);
    },
    hasDuties: () =>
      [...registry.all()].some((monitor) => monitor.meta.ephemeral) ||
      [...registry.orphans()].length > 0 ||
      lxcfs.isNeeded() ||
      register.isNeeded() ||
      apis.count > 0,
    rehearse: (spec) => {
      const wanted: StartOptions = {
        caller: { uid: 0, gid: 0, pid: process.pid, environment: {}, cwd: "/" },
        pidFile: null,
        console: "monitor",
      };
      const facts = factsOf(spec, wanted, {}, null);
      encodeProgram(planStart(spec, host, facts), room, "without notes");
      JSON.stringify(describeMonitor(spec, host, facts));
    },
    prepare: () => {
      pool.prepare();
      prepareQuestions(host.arch);
    },
    close: async () => {
      lxcfs.close();
      apis.abandon();
      endQuickMoves();
      await register.close();
      if (sealed !== null) closeFd(sealed);
      sealed = null;
      return pool.close();
    },
    defined: (storePath) => Promise.resolve(definedNames(storePath, wholes)),
    readConfig: async (id) => {
      await settling.get(key(id));
      return await readConfigText(storage, id);
    },
    async isDefined(id) {
      checkName(id.name);
      await settling.get(key(id));
      return wholes.look(directoryOf(id)) || (await readConfigText(storage, id)) !== null;
    },
    writeConfig: (id, text) => {
      checkName(id.name);
      writeWhole(configFileOf(id), text, 0o640);
      return Promise.resolve();
    },
    async status(id) {
      const monitor = registry.get(id);
      if (monitor !== undefined && monitor.state === "RUNNING") await whenKnown(monitor);
      return registry.status(id);
    },
    active: (storePath) => {
      const out: ContainerStatus[] = [];
      for (const monitor of registry.all()) {
        if (monitor.meta.storePath === storePath) out.push(registry.status(monitor.meta));
      }
      for (const meta of registry.orphans()) if (meta.storePath === storePath) out.push(registry.status(meta));
      return Promise.resolve(out.sort((a, b) => (a.name < b.name ? -1 : 1)));
    },
    usage: (id) => {
      const monitor = registry.get(id);
      if (monitor === undefined)
        return Promise.resolve({
          cpuNanoseconds: null,
          blkioBytes: null,
          memoryBytes: null,
          kernelMemoryBytes: null,
          swapBytes: null,
        });
      return Promise.resolve(readUsage(host.arch, monitor.meta));
    },
    async interfaces(id) {
      const monitor = registry.get(id);
      if (monitor === undefined) return [];
      await whenKnown(monitor);
      return monitor.pid === null ? [] : interfacesOf(host.arch, monitor.pid);
    },
    async addresses(id) {
      const monitor = registry.get(id);
      if (monitor !== undefined) await whenKnown(monitor);
      return monitor === undefined || monitor.pid === null
        ? { ipv4: [], ipv6: [] }
        : addressesOf(host.arch, monitor.pid);
    },
    definedElsewhere: async (id) => (await options.definedElsewhere?.(id)) ?? null,
    links: (id) => Promise.resolve(linksOf(registry.get(id)?.meta.links ?? [])),
    start,
    async execute(spec, wanted) {
      await start(spec, wanted);
      return { ended: registry.wait(spec, ["STOPPED"], null).then((status) => status.exitStatus ?? 255) };
    },
    async plan(spec, wanted) {
      const program = planFor(spec, wanted, await readSources(host, options.binary, spec));
      return {
        text: explainProgram(program),
        json: { arch: program.arch, operations: programJson(program) },
      };
    },
    async stop(id, wanted) {
      const result = await stopContainer(host.arch, registry, id, wanted);
      // An ephemeral one is being removed: whoever has stopped it finds it gone.
      if (registry.get(id) === undefined) await queue.run(key(id), () => Promise.resolve());
      return result;
    },
    async signal(id, signal) {
      const monitor = running(registry, id);
      await whenKnown(monitor);
      sendSignal(monitor, signal);
    },
    initctl: async (id, runLevel) => await sendRunLevel(host, options.binary, await startedPid(registry, id), runLevel),
    openNamespaces: async (id) => openNamespacesOf(await startedPid(registry, id)),
    forget: (id, beside) =>
      queue.run(key(id), () => {
        checkExists(id);
        forgetContainer(id, beside);
        return Promise.resolve();
      }),
    wait: (id, wanted: readonly State[], timeout, aborted) => registry.wait(id, wanted, timeout, aborted),
    async attach(id, wanted) {
      const monitor = started(registry, id);
      await whenKnown(monitor);
      if (monitor.pidfd === null || monitor.pid === null) throw notRunning(id.name);
      const program = planAttach(
        attachTargetOf(monitor.meta),
        attachRequest(host.arch, monitor.meta, monitor.pid, wanted),
        host,
      );
      return clientTask(program, [monitor.pidfd, ...(wanted.terminalLog === undefined ? [] : [wanted.terminalLog])]);
    },
    hostCommand: (argv, caller, extra, mount = null) => {
      const environment = environmentStrings({ ...caller.environment, ...extra });
      const presets = { output: false, network: false, mountAt: mount?.path ?? null };
      const program = planHostCommand(argv, environment, caller.cwd, host, presets);
      return Promise.resolve(clientTask(program, mount === null ? [] : [mount.descriptor]));
    },
    console: (id, wanted) => {
      const monitor = running(registry, id);
      const [ours, theirs] = socketPair(host.arch);
      monitor.channel.send(
        monitorFrames.console,
        writer()
          .u32(wanted.replay ? 1 : 0)
          .finish(),
        [theirs],
        true,
      );
      return Promise.resolve(ours);
    },
    resizeConsole: (id, rows, columns) => {
      registry.get(id)?.channel.send(monitorFrames.resize, writer().u16(rows).u16(columns).finish());
      return Promise.resolve();
    },
    create: (id, wanted) => queue.run(key(id), () => createContainer(storage, registry, id, wanted)),
    fillRootfs: async (request, wanted) => {
      if (request.kind === "busybox") {
        const { fillWithBusybox } = await import("../image/busybox.js");
        await fillWithBusybox(request);
        return null;
      }
      return (await images()).fill(request, wanted);
    },
    remoteImages: async (server, wanted) => {
      const { remoteImages } = await import("./remote-images.js");
      return await remoteImages(host, server, wanted);
    },
    pinImage: async (image, wanted) => {
      if (image.kind !== "oci") return image;
      const { pinOci } = await import("./remote-images.js");
      return await pinOci(image, wanted);
    },
    images: async () => (await images()).list(),
    pruneImages: async (wanted) => (await images()).prune(wanted),
    refreshImage: async (name, wanted) => (await images()).refresh(name, wanted),
    destroy: (id, spec, caller) => {
      const change = async (): Promise<void> => {
        await destroyContainer(storage, registry, id, spec, caller);
        await register.forget(id);
      };
      // Refused at once, even while it starts.
      return registry.get(id) !== undefined ? change() : queue.run(key(id), change);
    },
    copy: async (source, target, wanted) => {
      const { copyContainer } = await import("./copy.js");
      if (registry.get(target) !== undefined)
        throw new IsletError("ISLET_RUNNING", `a container ${target.name} is running`);
      await both(source, target, () =>
        atRest(source, wanted.allowRunning, (pid) => copyContainer(storage, { source, target, options: wanted, pid })),
      );
    },
    rename: async (source, target, wanted) => {
      const { renameContainer } = await import("./rename.js");
      await both(source, target, async () => {
        mustStand(source);
        mustStand(target);
        await renameContainer(storage, source, target, wanted);
        await register.forget(source);
      });
    },
    snapshots: async (id) => {
      checkName(id.name);
      return await (await import("./snapshots.js")).snapshotsOf(storage, id);
    },
    snapshot: async (source, optionsFor, name = null) => {
      const { takeSnapshot } = await import("./snapshots.js");
      return await queue.run(key(source), async () => {
        mustStand(source);
        return await takeSnapshot(storage, source, optionsFor, name);
      });
    },
    restore: async (current, snapshot, wanted) => {
      const { restoreContainer } = await import("./restore.js");
      await queue.run(key(current), async () => {
        mustStand(current);
        await restoreContainer(storage, current, snapshot, wanted);
      });
    },
    backUp: async (spec, wanted) => {
      const { backUp } = await import("./backup.js");
      await queue.run(key(spec), () => atRest(spec, true, () => backUp(storage, spec, wanted)));
    },
    restoreBackup: async (spec, wanted) => {
      const { bringBackUpBack } = await import("./backup.js");
      await queue.run(key(spec), async () => {
        mustStand(spec);
        await bringBackUpBack(storage, spec, wanted);
      });
    },
    export: async (spec, wanted) => {
      const { exportContainer } = await import("./export.js");
      let exported: Exported = { path: null };
      await queue.run(key(spec), () =>
        atRest(spec, wanted.allowRunning, async (pid) => {
          exported = await exportContainer(storage, spec, pid, wanted);
        }),
      );
      return exported;
    },
    readArchive: async (wanted) => {
      const { readArchive } = await import("./import.js");
      return await readArchive(storage, wanted, (id, create) => engine.create(id, create));
    },
    copies: async (id) => {
      const { copiesOf } = await import("./dependents.js");
      return (await copiesOf(storage, id)).filter(({ storePath }) => storePath !== `${directoryOf(id)}/snaps`);
    },
    freeze: (id) => queue.run(key(id), () => setFrozen(id, true)),
    unfreeze: (id) => queue.run(key(id), () => setFrozen(id, false)),
    subscribe: (listener) => Promise.resolve(registry.subscribe(listener)),
    cgroupItem: (id, item) =>
      new Promise((resolve) => {
        resolve(cgroupItem(host, running(registry, id).meta, item));
      }),
    async setCgroupItem(id, item, value) {
      const { meta } = running(registry, id);
      const rule = deviceRuleOf(meta, item, value);
      if (rule !== null) {
        await queue.run(key(id), () => {
          changeDevices(host, running(registry, id).meta, rule);
          return Promise.resolve();
        });
        return;
      }
      const frozen = freezerSwitch(item, value);
      await (frozen === null
        ? setCgroupItem(host.arch, meta, item, value)
        : queue.run(key(id), () => setFrozen(id, frozen)));
    },
    async outerTerminals(id) {
      const { meta } = running(registry, id);
      return meta.outer === true ? await outerTerminals(host, meta) : [];
    },
    takeTerminal: (id, number) => takeTerminal(host, running(registry, id).meta, number),
    async hostOutput(argv, caller, networkOf) {
      let network: number | null = null;
      if (networkOf !== null) {
        const monitor = started(registry, networkOf);
        await whenKnown(monitor);
        if (monitor.pidfd === null) throw notRunning(networkOf.name);
        network = monitor.pidfd;
      }
      const environment = environmentStrings(caller.environment);
      const program = planHostCommand(argv, environment, caller.cwd, host, {
        output: true,
        network: network !== null,
        mountAt: null,
      });
      const { output, theirs } = outputSocket(host.arch);
      const task = clientTask(program, network === null ? [theirs] : [theirs, network]);
      return { task, output, handedOver: () => void closeFd(theirs) };
    },
    containersOf: (storePath, pids) => {
      const payloads = [...registry.all()].flatMap(({ meta }) =>
        meta.storePath === storePath ? payloadOf(meta, host.cgroups) : [],
      );
      return Promise.resolve(containersByCgroup(payloads, pids));
    },
    unshare: (wanted) => Promise.resolve(clientTask(planUnshare(unshareRequest(wanted), host), [])),
    async changeDevice(id, { caller, action, source, destination }) {
      const monitor = started(registry, id);
      await whenKnown(monitor);
      const { pid } = monitor;
      if (pid === null) throw notRunning(id.name);
      if (isInterface(action === "add" ? caller.pid : pid, source)) {
        const netns = openSync(`/proc/${pid}/ns/net`, "r");
        const plan = action === "add" ? planInterfaceIn : planInterfaceOut;
        return {
          task: clientTask(plan(source, destination, host), [netns]),
          handedOver: () => {
            closeSync(netns);
          },
          done: () => {
            const name = action === "add" ? destination : source;
            apis.device(id, changes[action], name, { name, nictype: "physical", parent: source, type: "nic" });
          },
        };
      }
      const node = nodeDevice(source, destination);
      const { meta } = monitor;
      if (mustBind(meta)) {
        const plan = action === "add" ? bindNode : unbindNode;
        const program = await queue.run(key(id), () => Promise.resolve(plan(host, meta, pid, source, destination)));
        const { pidfd } = monitor;
        if (pidfd === null) throw notRunning(id.name);
        return {
          task: clientTask(program, [pidfd]),
          handedOver: () => undefined,
          done: () => {
            apis.device(id, changes[action], node.name, node.config);
          },
        };
      }
      const change = action === "add" ? addNode : removeNode;
      await queue.run(key(id), () => {
        change(host, meta, pid, source, destination);
        return Promise.resolve();
      });
      apis.device(id, changes[action], node.name, node.config);
      return null;
    },
    changeNode: (id, change) => withLive(id, (live, target) => live.changeNode(target, change)),
    async addNic(id, nic) {
      if (nic.link !== null && ownLink(host.arch, nic.link) === null) await provideBridge(nic.link);
      return await withLive(id, (live, target) => live.addNic(target, nic));
    },
    removeNic: (id, hostName) => withLive(id, (live, target) => live.removeNic(target, hostName)),
    async nested(id, levels) {
      const monitor = started(registry, id);
      await whenKnown(monitor);
      const { nestedContainers } = await import("./nested.js");
      return nestedContainers(host.arch, monitor, levels);
    },
    activeStores: () => Promise.resolve([...new Set([...registry.all()].map(({ meta }) => meta.storePath))].sort()),
    async lookUp(id, spec, path, follow) {
      const monitor = registry.get(id);
      if (monitor !== undefined) await whenKnown(monitor);
      const { root, idmap } = await openRoot(host, options.binary, monitor?.pid ?? null, spec);
      return {
        task: clientTask(planOpen(path, follow, host), [root]),
        idmap,
        handedOver: () => {
          closeSync(root);
        },
      };
    },
    liveUsage: (id, wanted) =>
      Promise.resolve(readLiveUsage(host.arch, registry.get(id)?.meta ?? null, wanted.activity)),
    hostReport: () =>
      Promise.resolve({
        host,
        binary: options.binary,
        missingCalls: missingCalls(host.arch),
        monitors: [...registry.all()].map(({ meta: { storePath, name } }) => ({
          storePath,
          name,
          socket: monitorSocketPath(host.runtimeDir, storePath, name),
        })),
      }),
    wantedBridge: async () => (await options.wantedBridge?.(null)) ?? null,
    bridgeUp: async (network) => (await bridges()).up(network),
    bridgeDown: async (name, force) => (await bridges()).down(name, force),
    bridgeCheck: async (name) => (await bridges()).check(name),
    bridges: async () => (await bridges()).list(),
    nicGrants,
    addUserNic: async (request) => (await userNics()).add(request),
    removeUserNic: async (request) => (await userNics()).remove(request),
    settings: (id) =>
      new Promise((resolve) => {
        resolve(readSettings(id));
      }),
    changeSettings: (id, changed) =>
      queue.run(key(id), async () => {
        checkExists(id);
        const program = apis.changed(id, apis.settings(id).change(changed));
        const monitor = registry.get(id);
        if (program === null || monitor === undefined) return null;
        await whenKnown(monitor);
        const { pidfd } = monitor;
        return pidfd === null ? null : { task: clientTask(program, [pidfd]), handedOver: () => undefined };
      }),
    isReady: (id) => Promise.resolve(registry.get(id) === undefined ? null : apis.isReady(id)),
    waitReady: async (id, timeout, aborted) => {
      checkExists(id);
      await apis.waitReady(id, timeout, aborted);
    },
    detailedUsage: (id) => Promise.resolve(readDetailedUsage(host.arch, registry.get(id)?.meta ?? null)),
  };
  registry.subscribe((event) => {
    if (event.kind === "state" && event.state === "STOPPED") forgetDevices(host, event);
  });
  registry.onGone((meta) => {
    takeBack(meta).catch((error: unknown) => {
      console.error(error);
    });
  });
  registry.onGone((meta) => {
    if (meta.ephemeral) endEphemeral(meta);
  });
  return engine;
}

/** islet.rootfs.size. */
async function limitRoot({ arch }: StorageHost, { rootfs }: ContainerSpec): Promise<void> {
  if (rootfs.size === undefined || rootfs.source.kind !== "dir") return;
  const { limitDirectory } = await import("../storage/quota.js");
  await limitDirectory(arch, rootfs.source.path, BigInt(rootfs.size));
}

/** What a guest is told of lxc-device's add and del. */
const changes = { add: "added", del: "removed" } as const;

/** A device node as LXD describes one. */
function nodeDevice(
  source: string,
  destination: string,
): { readonly name: string; readonly config: Readonly<Record<string, string>> } {
  const stats = statSync(source, { throwIfNoEntry: false });
  const type = stats?.isBlockDevice() === true ? "unix-block" : "unix-char";
  return { name: destination.replace(/^\/+(?:dev\/+)?/, ""), config: { path: destination, source, type } };
}

/** Milliseconds that a start waits for the end of a guest whose monitor was killed. */
const orphanTime = 2000;

async function orphanEnd(registry: Registry, id: ContainerId): Promise<void> {
  try {
    await registry.wait(id, ["STOPPED"], orphanTime);
  } catch {
    throw new IsletError("ISLET_BUSY", `${id.name} is still ending: its monitor was killed`, {
      hint: "lxc-stop -k ends it at once",
    });
  }
}

function originalRuns(name: string): IsletError {
  return new IsletError(
    "ISLET_RUNNING",
    `Original container (${name}) is running. Use --allowrunning if you want to force a snapshot of the running container.`,
  );
}

function alreadyRunning(name: string): IsletError {
  return new IsletError("ISLET_RUNNING", `the container ${name} is already running`);
}

function running(registry: Registry, id: ContainerId): NonNullable<ReturnType<Registry["get"]>> {
  const monitor = registry.get(id);
  if (monitor === undefined || monitor.state === "STOPPED") throw notRunning(id.name);
  return monitor;
}

/** Running, and whole: the main program has begun. */
function started(registry: Registry, id: ContainerId): NonNullable<ReturnType<Registry["get"]>> {
  const monitor = running(registry, id);
  if (!livingStates.has(monitor.state)) throw notRunning(id.name);
  return monitor;
}

/** Of its main process. */
async function startedPid(registry: Registry, id: ContainerId): Promise<number> {
  const monitor = running(registry, id);
  await whenKnown(monitor);
  const { pid } = started(registry, id);
  if (pid === null) throw notRunning(id.name);
  return pid;
}

/** How much of a hook's last line is told, characters. */
const lastWords = 300;

/** The error of a failed start: the lock means that the container runs; what hooks wrote last belongs to their failure. */
function startError(program: LaunchProgram, record: Uint8Array, log: string, name: string): IsletError {
  const decoded = decodeRecord(record);
  if (decoded === null)
    return new IsletError("ISLET_PROTOCOL", `the monitor of ${name} sent a report that cannot be read`);
  const error = failureError(program, decoded, "ISLET_START_FAILED");
  if (error.syscall === "bind" && error.errno === "EADDRINUSE") return alreadyRunning(name);
  const last = log.trim().split("\n").at(-1) ?? "";
  if (error.errno !== "STATUS" || last === "") return error;
  return new IsletError("ISLET_HOOK_FAILED", `${error.message}: ${printable(last).slice(0, lastWords)}`, {
    at: error.at,
    errno: "STATUS",
  });
}
