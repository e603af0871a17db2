import type { Driver } from "../driver/driver.js";
import { type Domain, isActive } from "../driver/domains.js";
import type { DomainRef } from "../rpc/messages.js";
import { type FilteredDomain, listsAutostart } from "../stats/flags.js";
import type { DomainDoc } from "../xml/domain.js";
import { notRunning } from "../driver/driver.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

export const domainOf = (driver: Driver, { name, uuid }: DomainRef): Promise<Domain> => driver.byUuid(uuid, name);

export { refOf } from "../driver/domains.js";
export { checkFlags } from "../stats/flags.js";

/** VIR_DOMAIN_AFFECT_*. */
export const affect = { live: 1, config: 2 } as const;
/** VIR_TYPED_PARAM_STRING_OKAY: said by every client of today. */
export const stringOkay = 4;

export interface Affected {
  readonly live: boolean;
  readonly config: boolean;
}

/** What a change is for: of the running domain, of its definition; neither said: of what it is now. */
export function affected(domain: Domain, flags: number): Affected {
  const isRunning = isActive(domain);
  const said = { live: (flags & affect.live) !== 0, config: (flags & affect.config) !== 0 };
  const is = said.live || said.config ? said : { live: isRunning, config: !isRunning };
  if (is.live && !isRunning) throw notRunning();
  if (is.config && !domain.isPersistent) {
    throw new LibvirtError(
      errorCodes.operationInvalid,
      errorDomains.lxc,
      "transient domains do not have any persistent config",
    );
  }
  return is;
}

/** What the filters of lists look at; `flags`: whether somebody asks for its autostart, which is in a file. */
export async function filterFacts(driver: Driver, domain: Domain, flags: number): Promise<FilteredDomain> {
  return {
    isActive: isActive(domain),
    isPersistent: domain.isPersistent,
    state: driver.events.of(domain).state,
    isAutostart: listsAutostart(flags) && (await driver.autostart(domain)),
  };
}

/** The document that a getter asks for: of the running domain, else its definition. */
export async function askedDoc(
  driver: Driver,
  dom: DomainRef,
  flags: number,
): Promise<{ readonly domain: Domain; readonly live: boolean; readonly doc: DomainDoc }> {
  const domain = await domainOf(driver, dom);
  const is = affected(domain, flags);
  const doc = is.live ? await driver.liveDoc(domain) : null;
  return { domain, live: is.live, doc: doc ?? (await driver.inactiveDoc(domain)) };
}

/** Those that a change is for; null: it is not for that one. */
export interface AffectedDocs {
  readonly config: DomainDoc | null;
  readonly live: DomainDoc | null;
}

/** One change of a domain's documents at a time. `check`: throws for a domain that is not to be changed so. */
export function inTurn(
  driver: Driver,
  dom: DomainRef,
  flags: number,
  change: (domain: Domain, docs: AffectedDocs) => Promise<void>,
  check: (domain: Domain) => void = () => undefined,
): Promise<void> {
  return driver.edits.run(dom.uuid, async () => {
    const domain = await domainOf(driver, dom);
    const is = affected(domain, flags);
    check(domain);
    const config = is.config ? await driver.inactiveDoc(domain) : null;
    await change(domain, { config, live: is.live ? await driver.liveDoc(domain) : null });
  });
}

/** First what may fail on the host (`apply`, to the running domain), then what is written down. */
export async function editDocs(
  driver: Driver,
  domain: Domain,
  docs: AffectedDocs,
  edit: (doc: DomainDoc) => DomainDoc,
  apply: (domain: Domain) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const config = docs.config === null ? null : edit(docs.config);
  if (docs.live !== null) await apply(domain);
  await driver.change(domain, { live: docs.live === null ? null : edit(docs.live), config });
}
