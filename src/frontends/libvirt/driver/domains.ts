import type { ContainerStatus } from "../../../engine/engine.js";
import { livingStates } from "../../../spec/states.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { derivedUuid } from "../spec/from-spec.js";
import type { DriverContext } from "./context.js";
import type { Definitions } from "./definitions.js";
import type { DomainRef } from "../rpc/messages.js";
import type { LiveDocs } from "./live-docs.js";

/** A container of the store, as libvirt names it. */
export interface Domain {
  readonly name: string;
  readonly uuid: string;
  /** A process of the guest on the host; null: it does not run. */
  readonly pid: number | null;
  readonly isPersistent: boolean;
  /** Its definition is LXC's. */
  readonly isForeign: boolean;
  readonly status: ContainerStatus;
}

/** As clients are told of it, at this moment. */
export const refOf = ({ name, uuid, pid }: Domain): DomainRef => ({ name, uuid, id: pid ?? -1 });

export interface Domains {
  /** In the order of their names. */
  list(): Promise<readonly Domain[]>;
  /** Throw 42 (no domain). */
  byName(name: string): Promise<Domain>;
  byUuid(uuid: string, name?: string): Promise<Domain>;
  byPid(pid: number): Promise<Domain>;
  /** null: there is none. */
  find(name: string): Promise<Domain | null>;
}

export const isActive = ({ status }: Pick<Domain, "status">): boolean =>
  livingStates.has(status.state) || status.state === "STARTING" || status.state === "STOPPING";

export function noDomain(what: string): LibvirtError {
  return new LibvirtError(errorCodes.noDomain, errorDomains.lxc, what);
}

export function createDomains({ engine, storePath }: DriverContext, definitions: Definitions, live: LiveDocs): Domains {
  const domainOf = (name: string, isDefined: boolean, status: ContainerStatus): Domain => {
    const own = isDefined ? definitions.read(name) : null;
    const running = own === null ? live.of(status) : null;
    return {
      name,
      uuid: own?.uuid ?? running?.uuid ?? derivedUuid(storePath, name),
      pid: status.initPid,
      isPersistent: isDefined,
      isForeign: own === null && running === null,
      status,
    };
  };

  const list = async (): Promise<readonly Domain[]> => {
    const active = new Map((await engine.active(storePath)).map((status) => [status.name, status] as const));
    const defined = new Set(await engine.defined(storePath));
    const names = [...new Set([...defined, ...active.keys()])].sort();
    const found: Domain[] = [];
    for (const name of names) {
      const status = active.get(name) ?? (await engine.status({ storePath, name }));
      found.push(domainOf(name, defined.has(name), status));
    }
    return found;
  };

  const find = async (name: string): Promise<Domain | null> => {
    const id = { storePath, name };
    const isDefined = await engine.isDefined(id).catch(() => false);
    const status = await engine.status(id);
    return isDefined || status.state !== "STOPPED" ? domainOf(name, isDefined, status) : null;
  };

  return {
    list,
    find,
    async byName(name) {
      const found = await find(name);
      if (found === null) throw noDomain(`No domain with matching name '${name}'`);
      return found;
    },
    async byUuid(uuid, name) {
      const likely = name === undefined ? null : await find(name);
      if (likely?.uuid === uuid) return likely;
      const found = (await list()).find((each) => each.uuid === uuid);
      if (found !== undefined) return found;
      throw noDomain(
        name === undefined
          ? `No domain with matching uuid '${uuid}'`
          : `no domain with matching uuid '${uuid}' (${name})`,
      );
    },
    async byPid(pid) {
      const found = (await list()).find((each) => each.pid === pid);
      if (found === undefined) throw noDomain(`No domain with matching id ${pid}`);
      return found;
    },
  };
}
