import { statSync } from "node:fs";
import { type ChangeQueue, createChangeQueue } from "../../../base/queue.js";
import type { LateSpec, Startable, StartCompany } from "../../../engine/engine.js";
import { startRecords, stopRecords } from "../beside/audit.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import { changes, clash } from "./define.js";
import { createDefinitions } from "./definitions.js";
import { consolePaths, documents } from "./describe.js";
import { createDomains, type Domain, type Domains, isActive } from "./domains.js";
import { createEvents, type Reasons } from "./events.js";
import { createLiveDocs } from "./live-docs.js";
import { networksOf } from "./networks.js";
import { companyOf, lateSpec, launch, startOptions } from "./start.js";

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

/** Inode; null: the process has ended. */
const pidNamespace = (pid: number): number | null =>
  statSync(`/proc/${pid}/ns/pid`, { throwIfNoEntry: false })?.ino ?? null;

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
