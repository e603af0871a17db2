import { IsletError } from "../../../base/errors.js";
import { fromSpec } from "../spec/from-spec.js";
import type { DomainDoc, Interface } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import type { Definitions } from "./definitions.js";
import { type Domain, isActive } from "./domains.js";
import type { Driver } from "./driver.js";
import type { LiveDocs } from "./live-docs.js";
import { networksOf } from "./networks.js";

/** What domains are like, as documents say it. */

/** Driver.consolePaths */
export async function consolePaths(
  { engine, storePath }: DriverContext,
  name: string,
): Promise<readonly (string | null)[]> {
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

export function documents(context: DriverContext, definitions: Definitions, live: LiveDocs): Documents {
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
