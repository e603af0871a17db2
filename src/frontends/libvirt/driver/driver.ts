import { statSync } from "node:fs";
import { IsletError } from "../../../base/errors.js";
import type { Fault } from "../../../base/source.js";
import { type ChangeQueue, createChangeQueue } from "../../../base/queue.js";
import type { Engine, LateSpec, Startable, StartCompany, StartOptions } from "../../../engine/engine.js";
import { nameProblem } from "../../../spec/name.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { errorCodes, errorDomains, LibvirtError, toEngineError } from "../errors.js";
import { changeRecords, startRecords, stopRecords } from "../beside/audit.js";
import type { BegunStart } from "../beside/hooks.js";
import { withUsbFound } from "../host/usb.js";
import { checkStart } from "../spec/check-start.js";
import { hostFile } from "../spec/host-file.js";
import { fromSpec } from "../spec/from-spec.js";
import { toSpec } from "../spec/to-spec.js";
import type { DomainDoc, Interface } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import { createDefinitions, type Definitions } from "./definitions.js";
import { keptText } from "./document.js";
import { createDomains, type Domain, type Domains, isActive, refOf } from "./domains.js";
import { createEvents, lifecycle, type Reasons } from "./events.js";
import { wantedLabels, withLabels } from "./labels.js";
import { createLiveDocs, type LiveDocs } from "./live-docs.js";

/** The domains of one store and what can be done with them; procedures translate its answers. Every method throws LibvirtError or IsletError. */
export interface Driver extends Omit<Domains, "find"> {
  readonly context: DriverContext;
  readonly events: Pick<Reasons, "of" | "subscribe" | "emit">;
  /** Changes of documents, by uuid: each begins with what the one before has left. */
  readonly edits: ChangeQueue;
  /** As it runs; null: it does not. */
  liveDoc(domain: Domain): Promise<DomainDoc | null>;
  /** Paths of the host's ptys that stand for its consoles, in their order; null: that one has none any more. [] also where it does not run. */
  consolePaths(name: string): Promise<readonly (string | null)[]>;
  /** What the next start makes; of a transient domain: what it runs with. */
  inactiveDoc(domain: Domain): Promise<DomainDoc>;
  define(doc: DomainDoc): Promise<Domain>;
  undefine(domain: Domain): Promise<void>;
  start(domain: Domain, fds: readonly number[]): Promise<Domain>;
  /** Of a document that is kept nowhere else: with its end it is gone. */
  create(doc: DomainDoc, fds: readonly number[]): Promise<Domain>;
  shutdown(domain: Domain, how: StopWays): Promise<void>;
  reboot(domain: Domain, how: StopWays): Promise<void>;
  destroy(domain: Domain): Promise<void>;
  suspend(domain: Domain): Promise<void>;
  resume(domain: Domain): Promise<void>;
  autostart(domain: Domain): Promise<boolean>;
  setAutostart(domain: Domain, on: boolean): Promise<void>;
  /** Starts those that are to be started with the host and do not run; one that fails keeps no other from it. */
  startAutomatic(): Promise<void>;
  /** What a domain of that name is started as, by whoever starts it; null: none is defined here. */
  definedAs(name: string): LateSpec | null;
  /** What belongs around every start of it, whoever starts it; null: it is no domain that is defined here. */
  company(what: Startable): StartCompany | null;
  /** The bridge of a network of libvirt's, by name; null: there is no such network. */
  networks(): Promise<(name: string) => string | null>;
  /** Replaces the definition, and what is said about the running one; null: that stays. */
  change(domain: Domain, docs: { readonly live: DomainDoc | null; readonly config: DomainDoc | null }): Promise<void>;
}

/** Both false: first one, then the other. */
export interface StopWays {
  readonly initctl: boolean;
  readonly signal: boolean;
}

const SIGHUP = 1;
const SIGTERM = 15;

export const notRunning = (): LibvirtError =>
  new LibvirtError(errorCodes.operationInvalid, errorDomains.domain, "domain is not running");

const isForeignError = (domain: Domain, storePath: string): LibvirtError =>
  new LibvirtError(
    errorCodes.operationInvalid,
    errorDomains.lxc,
    `${domain.name} was made by lxc-create: what it is like is said in ${storePath}/${domain.name}/config`,
  );

export async function createDriver(context: DriverContext): Promise<Driver> {
  const { engine, storePath, services, hooks } = context;
  const definitions = createDefinitions(context);
  definitions.settle();
  const live = createLiveDocs(context);
  const domains = createDomains(context, definitions, live);
  const events = await createEvents(context, domains, live, {
    restart: (doc) => launch(context, domains, live, doc, []),
    found: (doc) => {
      context.log.found(doc.name);
      hooks.found(doc);
    },
    docOf: (name) => hooks.docOf(name),
    began: async (doc, pid) => {
      context.log.began(doc);
      // What is audited does not wait for a monitor that does not answer.
      const consoles = await consolePaths(context, doc.name).catch(() => []);
      services.audit(startRecords(doc, { pid, pidNamespace: pidNamespace(pid), consoles }));
    },
    exited: (doc, status) => {
      context.log.exited(doc.name, status);
    },
    rebooted: (doc) => {
      hooks.rebooted(doc, () => endUnwanted(context, events, doc.name));
    },
    ended: (doc, reason) => {
      context.log.ended(doc.name, reason);
      services.audit(stopRecords(doc, reason));
    },
    gone: (name, doc) => {
      hooks.ended(name, doc);
    },
  });
  const active = new Set((await engine.active(storePath)).map(({ name }) => name));
  hooks.resume((name) => !active.has(name));
  return {
    ...domains,
    context,
    events,
    edits: createChangeQueue(),
    ...documents(context, definitions, live),
    ...changes(context, definitions, live, domains, events),
    async start(domain, fds) {
      if (isActive(domain))
        throw new LibvirtError(errorCodes.operationInvalid, errorDomains.lxc, "Domain is already running");
      const own = definitions.read(domain.name);
      if (own === null) {
        const spec = await context.lxcSpec({ storePath, name: domain.name });
        await engine.start(spec, startOptions(context, fds));
      } else await launch(context, domains, live, own, fds);
      return await domains.byName(domain.name);
    },
    async create(doc, fds) {
      const other = await clash(domains, doc);
      if (other !== null && isActive(other)) {
        throw new LibvirtError(errorCodes.operationInvalid, errorDomains.lxc, `domain '${doc.name}' is already active`);
      }
      await launch(context, domains, live, doc, fds);
      return await domains.byName(doc.name);
    },
    consolePaths: (name) => consolePaths(context, name),
    networks: () => networksOf(engine),
    definedAs(name) {
      const doc = definitions.read(name);
      return doc === null ? null : lateSpec(context, domains, live, doc, 0);
    },
    company(what) {
      if (what.storePath !== storePath) return null;
      const doc = live.docOf(what.annotations) ?? definitions.read(what.name);
      return doc === null ? null : companyOf(context, events, doc);
    },
    async startAutomatic() {
      for (const domain of await domains.list()) {
        const doc = definitions.read(domain.name);
        if (doc === null || isActive(domain) || !(await definitions.autostart(domain.name))) continue;
        await launch(context, domains, live, doc, []).catch((error: unknown) => {
          console.error(
            `Failed to autostart VM '${doc.name}': ${error instanceof Error ? error.message : String(error)}`,
          );
        });
      }
    },
    shutdown: (domain, how) => ask(context, domain, how, "0", SIGTERM),
    reboot: (domain, how) => ask(context, domain, how, "6", SIGHUP),
    async destroy(domain) {
      if (!isActive(domain)) throw notRunning();
      events.expectDestroy(domain.name);
      await engine.stop({ storePath, name: domain.name }, { kind: "kill", timeout: null, noKill: false });
    },
    async suspend(domain) {
      if (!isActive(domain)) throw notRunning();
      if (domain.status.state !== "FROZEN") await engine.freeze({ storePath, name: domain.name });
    },
    async resume(domain) {
      if (!isActive(domain)) throw notRunning();
      if (domain.status.state === "FROZEN") await engine.unfreeze({ storePath, name: domain.name });
    },
    autostart: (domain) => (domain.isPersistent ? definitions.autostart(domain.name) : Promise.resolve(false)),
    async setAutostart(domain, on) {
      if (!domain.isPersistent) {
        throw new LibvirtError(
          errorCodes.operationInvalid,
          errorDomains.lxc,
          "Cannot set autostart for transient domain",
        );
      }
      await definitions.setAutostart(domain.name, on);
    },
  };
}

const startOptions = ({ caller }: DriverContext, fds: readonly number[]): StartOptions => ({
  caller,
  pidFile: null,
  console: "monitor",
  ...(fds.length === 0 ? {} : { listen: { fds, names: null } }),
});

async function consolePaths({ engine, storePath }: DriverContext, name: string): Promise<readonly (string | null)[]> {
  try {
    return await engine.outerTerminals({ storePath, name });
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_NOT_RUNNING") return [];
    throw error;
  }
}

type Documents = Pick<Driver, "liveDoc" | "inactiveDoc">;

/** `links`: of the veths that it was started with, in their order. */
function withTargetsOf(
  interfaces: readonly Interface[],
  started: readonly Interface[],
  links: readonly { readonly hostName: string }[],
): readonly Interface[] {
  const macs = started.flatMap(({ mac, source: { kind } }) =>
    kind === "bridge" || kind === "network" || kind === "ethernet" ? [mac] : [],
  );
  return interfaces.map((item) => {
    const at = item.target === null ? macs.indexOf(item.mac) : -1;
    return at === -1 ? item : { ...item, target: links[at]?.hostName ?? null };
  });
}

function documents(context: DriverContext, definitions: Definitions, live: LiveDocs): Documents {
  const { storePath, hostMemory, engine, arch } = context;
  const foreign = async (domain: Domain): Promise<DomainDoc> =>
    fromSpec(await context.lxcSpec({ storePath, name: domain.name }), domain.uuid, hostMemory, arch);
  const running = (domain: Domain, doc: DomainDoc): DomainDoc =>
    domain.pid === null ? doc : { ...doc, live: { id: domain.pid, consoles: [] } };
  /** The names of the host's ends, which the start has chosen where the document names none. */
  const withTargets = async (domain: Domain, doc: DomainDoc): Promise<DomainDoc> => {
    if (doc.interfaces.every(({ target }) => target !== null)) return doc;
    const links = await engine.links({ storePath, name: domain.name });
    return { ...doc, interfaces: withTargetsOf(doc.interfaces, live.started(domain.status)?.interfaces ?? [], links) };
  };
  /** The bridges of networks. */
  const withBridges = async (doc: DomainDoc): Promise<DomainDoc> => {
    if (doc.interfaces.every(({ source }) => source.kind !== "network")) return doc;
    const bridgeOf = await networksOf(engine);
    const interfaces = doc.interfaces.map((item) => {
      const { source } = item;
      return source.kind === "network" ? { ...item, source: { ...source, bridge: bridgeOf(source.network) } } : item;
    });
    return { ...doc, interfaces };
  };
  return {
    async liveDoc(domain) {
      if (!isActive(domain)) return null;
      const own = live.of(domain.status);
      return running(domain, own === null ? await foreign(domain) : await withBridges(await withTargets(domain, own)));
    },
    async inactiveDoc(domain) {
      return definitions.read(domain.name) ?? live.of(domain.status) ?? (await foreign(domain));
    },
  };
}

type Changes = Pick<Driver, "define" | "undefine" | "change">;

function changes(
  context: DriverContext,
  definitions: Definitions,
  live: LiveDocs,
  domains: Domains,
  events: Reasons,
): Changes {
  const { storePath } = context;
  const write = async (doc: DomainDoc): Promise<void> => {
    let spec: ContainerSpec | { readonly problem: string };
    try {
      spec = await specOf(context, domains, doc, 0);
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error;
      spec = { problem: error.message };
    }
    await definitions.write(doc, spec);
  };
  return {
    async define(doc) {
      const problem = nameProblem(doc.name);
      if (problem !== null) throw new LibvirtError(errorCodes.xml, errorDomains.domain, problem);
      const before = await clash(domains, doc);
      if (before?.isForeign === true) throw isForeignError(before, storePath);
      await write({ ...doc, live: null });
      const domain = await domains.byName(doc.name);
      events.emit({
        kind: "lifecycle",
        domain: refOf(domain),
        what: before?.isPersistent === true ? lifecycle.definedUpdated : lifecycle.definedAdded,
      });
      return domain;
    },
    async undefine(domain) {
      if (!domain.isPersistent) {
        throw new LibvirtError(errorCodes.operationInvalid, errorDomains.lxc, "Cannot undefine transient domain");
      }
      if (definitions.read(domain.name) === null) throw isForeignError(domain, storePath);
      await definitions.remove(domain.name);
      events.emit({
        kind: "lifecycle",
        domain: refOf(domain),
        what: lifecycle.undefined,
      });
    },
    async change(domain, docs) {
      // What fails leaves nothing: the definition is written first.
      if (docs.live !== null) keptText(context, docs.live);
      if (docs.config !== null) {
        if (definitions.read(domain.name) === null) throw isForeignError(domain, storePath);
        await write({ ...docs.config, live: null });
      }
      if (docs.live === null) return;
      const before = live.of(domain.status);
      live.change(domain.status, { ...docs.live, live: null });
      if (before !== null) context.services.audit(changeRecords(before, docs.live));
    },
  };
}

/** Inode; null: the process has ended. */
const pidNamespace = (pid: number): number | null =>
  statSync(`/proc/${pid}/ns/pid`, { throwIfNoEntry: false })?.ino ?? null;

/** One of that name or uuid; both must be the same domain's. */
async function clash(domains: Domains, doc: DomainDoc): Promise<Domain | null> {
  const named = await domains.find(doc.name);
  if (named !== null) {
    if (named.uuid === doc.uuid) return named;
    throw new LibvirtError(
      errorCodes.operationFailed,
      errorDomains.domain,
      `domain '${doc.name}' already exists with uuid ${named.uuid}`,
    );
  }
  const same = (await domains.list()).find(({ uuid }) => uuid === doc.uuid);
  if (same === undefined) return null;
  throw new LibvirtError(
    errorCodes.operationFailed,
    errorDomains.domain,
    `domain '${same.name}' is already defined with uuid ${doc.uuid}`,
  );
}

/** The network that every host has, if any: the bridge that islet makes for its containers. */
const defaultNetwork = "default";

const noNetworks = (): null => null;

async function networksOf(engine: Engine): Promise<(name: string) => string | null> {
  const bridge = (await engine.wantedBridge())?.name ?? null;
  return (name) => (name === defaultNetwork ? bridge : null);
}

async function specOf(
  { engine, storePath }: DriverContext,
  domains: Domains,
  doc: DomainDoc,
  passedFds: number,
): Promise<ContainerSpec> {
  const isNetworked = doc.interfaces.some(({ source }) => source.kind === "network");
  const bridgeOf = isNetworked ? await networksOf(engine) : noNetworks;
  const pids = doc.namespaces === null ? [] : (await domains.list()).map(({ name, pid }) => [name, pid] as const);
  const running = new Map(pids);
  return toSpec(doc, {
    storePath,
    configFile: `${storePath}/${doc.name}/config`,
    networks: (name) => {
      const bridge = bridgeOf(name);
      return bridge === null ? null : { bridge };
    },
    shared: (name) => running.get(name) ?? null,
    passedFds,
    stat: hostFile,
  });
}

async function launch(
  context: DriverContext,
  domains: Domains,
  live: LiveDocs,
  doc: DomainDoc,
  fds: readonly number[],
): Promise<void> {
  const warn = (fault: Fault): void => {
    context.log.warned(doc.name, fault);
  };
  await context.engine.start(lateSpec(context, domains, live, doc, fds.length), {
    ...startOptions(context, fds),
    warn,
  });
}

/** What the next start makes of it; whether it can be started shows when it is: a hook may mount what the document names. */
function lateSpec(
  context: DriverContext,
  domains: Domains,
  live: LiveDocs,
  doc: DomainDoc,
  passedFds: number,
): LateSpec {
  const running = async (): Promise<readonly DomainDoc[]> =>
    (await domains.list()).flatMap(({ status }) => live.of(status) ?? []);
  return {
    storePath: context.storePath,
    name: doc.name,
    annotations: live.annotations(doc),
    make: async () => {
      try {
        const made = await withLabels(context, running, withUsbFound(doc, context.files));
        await checkStart(made);
        return { ...(await specOf(context, domains, made, passedFds)), annotations: live.annotations(made) };
      } catch (error) {
        throw toEngineError(error);
      }
    },
  };
}

function companyOf(context: DriverContext, events: Reasons, doc: DomainDoc): StartCompany {
  const { hooks, services, log } = context;
  let begun: BegunStart | null = null;
  const tell = (error: unknown): void => {
    // What the engine is told in its own words of what was refused here says no more.
    log.failed(doc, error instanceof IsletError && error.cause instanceof LibvirtError ? error.cause : error);
    services.audit(startRecords(doc, null));
  };
  const orTell = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      tell(error);
      throw toEngineError(error);
    }
  };
  return {
    before: () =>
      orTell(async () => {
        // In LXC's words it is a domain, too.
        wantedLabels(context, doc);
        // An end that happened before may still have to be told.
        await events.settled();
        begun = await hooks.begin(doc);
      }),
    making(spec, { listen }) {
      log.starting(doc, spec, listen ?? null);
    },
    after: (end) =>
      orTell(async () =>
        begun?.began(async () => {
          log.undoing(doc.name);
          await end();
        }),
      ),
    failed: async (error) => {
      tell(error);
      await begun?.failed();
    },
  };
}

/** It has rebooted and must not run. Nothing waits for its end, which is an event like others. */
async function endUnwanted({ engine, storePath }: DriverContext, events: Reasons, name: string): Promise<void> {
  const id = { storePath, name };
  if ((await engine.status(id)).state === "STOPPED") return;
  events.expectDestroy(name);
  engine.stop(id, { kind: "kill", timeout: null, noKill: false }).catch((error: unknown) => {
    console.error(`${name} was not to be started again by itself, and could not be ended`, error);
  });
}

/** shutdown and reboot: sysvinit's pipe, else a signal to the main process. A container of LXC's gets the signals that it is configured to have. */
async function ask(
  { engine, storePath }: DriverContext,
  domain: Domain,
  { initctl, signal }: StopWays,
  runLevel: "0" | "6",
  number: number,
): Promise<void> {
  if (!isActive(domain)) throw notRunning();
  const id = { storePath, name: domain.name };
  const isEither = initctl === signal;
  if ((isEither || initctl) && (await engine.initctl(id, runLevel))) return;
  if (!isEither && initctl) {
    throw new LibvirtError(
      errorCodes.operationUnsupported,
      errorDomains.lxc,
      "Container does not provide an initctl pipe",
    );
  }
  if (domain.isForeign) {
    await engine.stop(id, { kind: runLevel === "0" ? "clean" : "reboot", timeout: 0, noKill: true });
    return;
  }
  await engine.signal(id, number);
}
