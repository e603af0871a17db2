import type { Driver } from "../driver/driver.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Handlers } from "../rpc/handlers.js";
import type { DomainDoc } from "../xml/domain.js";
import { getMetadata, type MetadataKind, setMetadata } from "../xml/metadata.js";
import { askedDoc, checkFlags, domainOf, editDocs, inTurn, refOf } from "./common.js";

/** VIR_DOMAIN_XML_*. */
const xmlFlags = { secure: 1, inactive: 2, updateCpu: 4, migratable: 8 } as const;

/** virDomainMetadataType. */
const metadataKinds: readonly MetadataKind[] = ["description", "title", "element"];

function kindOf(type: number): MetadataKind {
  const kind = metadataKinds[type];
  if (kind !== undefined) return kind;
  throw new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, "unknown metadata type");
}

/** With the paths of its consoles, which nothing but the document needs. */
async function withConsoles(driver: Driver, doc: DomainDoc): Promise<DomainDoc> {
  if (doc.live === null) return doc;
  return { ...doc, live: { ...doc.live, consoles: await driver.consolePaths(doc.name) } };
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
      const running = (flags & xmlFlags.inactive) === 0 ? await driver.liveDoc(domain) : null;
      const live = running === null ? null : await withConsoles(driver, running);
      const doc = live ?? (await driver.inactiveDoc(domain));
      return { xml: context.xml.write(doc, { inactive: live === null, secure }) };
    },
    DOMAIN_GET_METADATA: async ({ dom, type, uri, flags }) => {
      checkFlags(flags, 3, "lxcDomainGetMetadata");
      const { doc } = await askedDoc(driver, dom, flags);
      return { metadata: getMetadata(doc, kindOf(type), uri) };
    },
    DOMAIN_SET_METADATA: async ({ dom, type, metadata, key, uri, flags }) => {
      checkFlags(flags, 3, "lxcDomainSetMetadata");
      await inTurn(driver, dom, flags, async (domain, docs) => {
        const kind = kindOf(type);
        await editDocs(driver, domain, docs, (doc) => setMetadata(doc, kind, { value: metadata, key, uri }));
        events.emit({ kind: "metadata", domain: refOf(domain), type, uri });
      });
    },
  };
}
