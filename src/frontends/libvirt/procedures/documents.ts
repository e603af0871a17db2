import type { Driver } from "../driver/driver.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Handlers } from "../rpc/handlers.js";
import { getMetadata, type MetadataKind, setMetadata } from "../xml/metadata.js";
import type { DomainDoc } from "../xml/domain.js";
import { affected, checkFlags, domainOf } from "./common.js";

/** VIR_DOMAIN_XML_*. */
const xmlFlags = { secure: 1, inactive: 2, updateCpu: 4, migratable: 8 } as const;

/** virDomainMetadataType. */
const metadataKinds: readonly MetadataKind[] = ["description", "title", "element"];

function kindOf(type: number): MetadataKind {
  const kind = metadataKinds[type];
  if (kind !== undefined) return kind;
  throw new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, "unknown metadata type");
}

/** Documents of domains: dumpxml, desc, metadata. */
export function documentHandlers(driver: Driver): Handlers {
  const { events, context } = driver;
  return {
    DOMAIN_GET_XML_DESC: async ({ dom, flags }, { client }) => {
      checkFlags(flags, 15, "lxcDomainGetXMLDesc");
      const secure = (flags & xmlFlags.secure) !== 0;
      if (secure && client.readOnly) {
        throw new LibvirtError(errorCodes.operationDenied, errorDomains.domain, "virDomainGetXMLDesc with secure flag");
      }
      const domain = await domainOf(driver, dom);
      const live = (flags & xmlFlags.inactive) === 0 ? await driver.liveDoc(domain) : null;
      const doc = live ?? (await driver.inactiveDoc(domain));
      return { xml: context.xml.write(doc, { inactive: live === null, secure }) };
    },
    DOMAIN_GET_METADATA: async ({ dom, type, uri, flags }) => {
      checkFlags(flags, 3, "lxcDomainGetMetadata");
      const domain = await domainOf(driver, dom);
      const is = affected(domain, flags);
      const doc = is.live ? await driver.liveDoc(domain) : null;
      return { metadata: getMetadata(doc ?? (await driver.inactiveDoc(domain)), kindOf(type), uri) };
    },
    DOMAIN_SET_METADATA: async ({ dom, type, metadata, key, uri, flags }) => {
      checkFlags(flags, 3, "lxcDomainSetMetadata");
      const domain = await domainOf(driver, dom);
      const is = affected(domain, flags);
      const kind = kindOf(type);
      const change = (doc: DomainDoc): DomainDoc => setMetadata(doc, kind, { value: metadata, key, uri });
      const live = is.live ? await driver.liveDoc(domain) : null;
      await driver.change(domain, {
        live: live === null ? null : change(live),
        config: is.config ? change(await driver.inactiveDoc(domain)) : null,
      });
      events.emit({
        kind: "metadata",
        domain: { name: domain.name, uuid: domain.uuid, id: domain.pid ?? -1 },
        type,
        uri,
      });
    },
  };
}
