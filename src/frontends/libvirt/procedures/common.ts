import type { Driver } from "../driver/driver.js";
import { type Domain, isActive } from "../driver/domains.js";
import { notRunning } from "../driver/driver.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

/** As every procedure names a domain; the uuid alone counts. */
export interface DomainArgument {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
}

export const domainOf = (driver: Driver, { name, uuid }: DomainArgument): Promise<Domain> => driver.byUuid(uuid, name);

export const refOf = ({ name, uuid, pid }: Domain): DomainArgument => ({ name, uuid, id: pid ?? -1 });

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
