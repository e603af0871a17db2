import { IsletError } from "../../../base/errors.js";
import type { ContainerEvent } from "../../../engine/engine.js";
import type { StopReason } from "../beside/audit.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import type { DomainRef } from "../rpc/messages.js";
import { type Domain, type Domains, refOf } from "./domains.js";
import type { LiveDocs } from "./live-docs.js";

/** What libvirt tells of domains, from the engine's events: whoever caused them, virsh, an lxc-* command or the guest itself. */

/** virDomainEventType and its details, as the LXC driver uses them. */
export const lifecycle = {
  definedAdded: [0, 0],
  definedUpdated: [0, 1],
  undefined: [1, 0],
  started: [2, 0],
  suspended: [3, 0],
  resumed: [4, 0],
  stoppedShutdown: [5, 0],
  stoppedDestroyed: [5, 1],
  stoppedFailed: [5, 5],
} as const;

/** `domain`: with the id of the moment, -1 when it does not run. */
export type DomainEvent =
  | { readonly kind: "lifecycle"; readonly domain: DomainRef; readonly what: readonly [event: number, detail: number] }
  | { readonly kind: "reboot"; readonly domain: DomainRef }
  | { readonly kind: "metadata"; readonly domain: DomainRef; readonly type: number; readonly uri: string | null };

/** virDomainState and reasons. */
export const domainStates = { running: 1, paused: 3, shutoff: 5 } as const;

export interface Reasons {
  /** Reason of the state it is in. */
  of(domain: Domain): { readonly state: number; readonly reason: number };
  /** The next end is by force. */
  expectDestroy(name: string): void;
  emit(event: DomainEvent): void;
  /** Resolves when everything that has happened until now has been told. */
  settled(): Promise<void>;
  subscribe(listener: (event: DomainEvent) => void): () => void;
}

interface History {
  /** Of the last change to running and to shut off. */
  readonly running: number;
  readonly shutoff: number;
}

const reasons = {
  running: { unknown: 0, booted: 1, unpaused: 5 },
  paused: { user: 1 },
  shutoff: { unknown: 0, shutdown: 1, destroyed: 2, failed: 6 },
} as const;

const SIGHUP = 1;

/** What the events of a guest lead to. */
export interface Consequences {
  /** A guest that powered itself off is started again, as it was (on_poweroff). */
  readonly restart: (doc: DomainDoc) => Promise<void>;
  /** It has been running since before this daemon. */
  readonly found: (doc: DomainDoc) => void;
  /** It runs, as a domain; whoever started it. */
  readonly began: (doc: DomainDoc, pid: number) => Promise<void>;
  /** It has ended and begun again by itself. */
  readonly rebooted: (doc: DomainDoc) => void;
  readonly ended: (doc: DomainDoc, reason: StopReason) => void;
  /** Nothing of a container runs, which need not have been a domain, or have run at all. */
  readonly gone: (name: string, doc: DomainDoc | null) => void;
  /** Its init has ended, with that wait status; the end, or a reboot, follows. */
  readonly exited: (doc: DomainDoc, status: number) => void;
  /** Who was started by a configuration that stands for a domain; null: nobody was. */
  readonly docOf: (name: string) => DomainDoc | null;
}

export async function createEvents(
  context: DriverContext,
  domains: Domains,
  live: LiveDocs,
  { restart, found, began, rebooted, ended, gone, exited, docOf }: Consequences,
): Promise<Reasons> {
  const { engine, storePath } = context;
  const history = new Map<string, History>();
  const doomed = new Set<string>();
  const rebooting = new Set<string>();
  /** They wanted to reboot and must not. */
  const over = new Set<string>();
  const frozen = new Set<string>();
  /** The last that was known of each that runs: what has ended cannot be asked. */
  const refs = new Map<string, DomainRef>();
  /** Of those that run as domains. */
  const docs = new Map<string, DomainDoc>();
  const listeners = new Set<(event: DomainEvent) => void>();

  const remember = (domain: Domain): DomainDoc | null => {
    const doc = live.of(domain.status);
    if (doc !== null) docs.set(domain.name, doc);
    return doc;
  };
  const emit = (event: DomainEvent): void => {
    for (const listener of listeners) listener(event);
  };
  const note = (name: string, change: Partial<History>): void => {
    history.set(name, { running: 0, shutoff: 0, ...history.get(name), ...change });
  };
  const refNow = async (name: string): Promise<DomainRef | null> => {
    const domain = await domains.find(name);
    if (domain === null) return null;
    remember(domain);
    return refOf(domain);
  };

  const ran = async (name: string): Promise<void> => {
    const ref = await refNow(name);
    if (ref === null) return;
    const before = refs.get(name);
    refs.set(name, ref);
    const doc = docs.get(name) ?? docOf(name);
    if (rebooting.delete(name)) {
      if (doc !== null) {
        ended(doc, "reboot");
        await began(doc, ref.id);
        rebooted(doc);
      }
      note(name, { running: reasons.running.booted });
      emit({ kind: "reboot", domain: ref });
    } else if (frozen.delete(name)) {
      note(name, { running: reasons.running.unpaused });
      emit({ kind: "lifecycle", domain: ref, what: lifecycle.resumed });
    } else if (before === undefined || before.id === -1) {
      if (doc !== null) await began(doc, ref.id);
      note(name, { running: reasons.running.booted });
      emit({ kind: "lifecycle", domain: ref, what: lifecycle.started });
    }
  };

  const stopped = async (name: string): Promise<void> => {
    // A moment of a reboot: it is starting again by now.
    if (rebooting.has(name) && (await engine.status({ storePath, name })).state !== "STOPPED") return;
    const isDestroyed = doomed.delete(name);
    const isOver = over.delete(name);
    const ref = refs.get(name);
    const own = docs.get(name) ?? null;
    const doc = own ?? docOf(name);
    refs.delete(name);
    docs.delete(name);
    rebooting.delete(name);
    frozen.delete(name);
    live.drop(name);
    note(name, { shutoff: isDestroyed ? reasons.shutoff.destroyed : reasons.shutoff.shutdown });
    gone(name, own);
    // One that never ran has not stopped.
    if (ref === undefined) return;
    if (doc !== null) ended(doc, isDestroyed ? "destroyed" : "shutdown");
    const what = isDestroyed ? lifecycle.stoppedDestroyed : lifecycle.stoppedShutdown;
    emit({ kind: "lifecycle", domain: { ...ref, id: -1 }, what });
    if (isDestroyed || isOver || own?.onPoweroff !== "restart") return;
    // A start waits for all events until now: this one must not wait for it.
    restart(own).catch((error: unknown) => {
      // Somebody was faster.
      if (!(error instanceof IsletError && error.code === "ISLET_RUNNING"))
        console.error(`Failed to restart VM '${name}': ${error instanceof Error ? error.message : String(error)}`);
    });
  };

  const happened = async (event: ContainerEvent): Promise<void> => {
    const { name } = event;
    if (event.kind === "exit") {
      const doc = docs.get(name);
      if (doc !== undefined) exited(doc, event.waitStatus);
      // As reboot(2) in a pid namespace tells it.
      if ((event.waitStatus & 0x7f) !== SIGHUP || doomed.has(name)) return;
      // Its monitor knows whether it starts again.
      if (doc?.onReboot !== "destroy" && doc?.onReboot !== "preserve") rebooting.add(name);
      else over.add(name);
      return;
    }
    if (event.kind !== "state") return;
    if (event.state === "RUNNING") await ran(name);
    else if (event.state === "STOPPED") await stopped(name);
    else if (event.state === "FROZEN") {
      frozen.add(name);
      const ref = await refNow(name);
      if (ref !== null) emit({ kind: "lifecycle", domain: ref, what: lifecycle.suspended });
    }
  };

  // In their order, although some have to ask first.
  let queue: Promise<void> = Promise.resolve();
  await engine.subscribe((event) => {
    if (event.storePath !== storePath) return;
    queue = queue
      .then(() => happened(event))
      .catch((error: unknown) => {
        console.error(`an event of ${event.name} is lost`, error);
      });
  });
  for (const domain of await domains.list()) {
    const doc = remember(domain);
    if (doc !== null) found(doc);
    if (domain.pid !== null) refs.set(domain.name, refOf(domain));
    if (domain.status.state === "FROZEN") frozen.add(domain.name);
  }

  return {
    of({ name, status }) {
      const before = history.get(name);
      if (status.state === "FROZEN") return { state: domainStates.paused, reason: reasons.paused.user };
      if (status.state === "STOPPED") return { state: domainStates.shutoff, reason: before?.shutoff ?? 0 };
      return { state: domainStates.running, reason: before?.running ?? 0 };
    },
    expectDestroy: (name) => {
      doomed.add(name);
    },
    emit,
    settled: () => queue,
    subscribe(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
  };
}
