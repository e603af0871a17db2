import { nameProblem } from "../../../spec/name.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { changeRecords } from "../beside/audit.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import type { Definitions } from "./definitions.js";
import { keptText } from "./document.js";
import { type Domain, type Domains, refOf } from "./domains.js";
import type { Driver } from "./driver.js";
import { lifecycle, type Reasons } from "./events.js";
import type { LiveDocs } from "./live-docs.js";
import { specOf } from "./start.js";

/** What is written down of domains. */

type Changes = Pick<Driver, "define" | "undefine" | "change">;

export function changes(
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

/** One of that name or uuid; both must be the same domain's. */
export async function clash(domains: Domains, doc: DomainDoc): Promise<Domain | null> {
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

const isForeignError = (domain: Domain, storePath: string): LibvirtError =>
  new LibvirtError(
    errorCodes.operationInvalid,
    errorDomains.lxc,
    `${domain.name} was made by lxc-create: what it is like is said in ${storePath}/${domain.name}/config`,
  );
