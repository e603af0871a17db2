import { type Driver, notRunning } from "../driver/driver.js";
import { isActive } from "../driver/domains.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Handlers } from "../rpc/handlers.js";
import { checkFlags, domainOf } from "./common.js";

/** VIR_DOMAIN_CONSOLE_FORCE and _SAFE: several clients share a console here, so there is nobody to be thrown out. */
const consoleFlags = 3;

/** Consoles and namespaces of a running domain. */
export function consoleHandlers(driver: Driver): Handlers {
  const { engine, storePath } = driver.context;
  return {
    DOMAIN_OPEN_CONSOLE: async ({ dom, dev_name, flags }, call) => {
      checkFlags(flags, consoleFlags, "lxcDomainOpenConsole");
      const domain = await domainOf(driver, dom);
      if (!isActive(domain)) throw notRunning();
      const doc = await driver.liveDoc(domain);
      const named = doc?.consoles.length ?? 1;
      // A domain has one, whether its document names it or not.
      const port = portOf(dev_name, domain.isForeign ? named : Math.max(named, 1));
      if (port === null) {
        throw new LibvirtError(
          errorCodes.internal,
          errorDomains.lxc,
          `cannot find console device '${dev_name ?? "<null>"}'`,
        );
      }
      const id = { storePath, name: domain.name };
      if (port === 0) {
        call.openStream(await engine.console(id, { replay: true }));
        return;
      }
      const taken = await engine.takeTerminal(id, port);
      call.openStream(taken.descriptor, () => {
        taken.release();
      });
    },
    LXC_DOMAIN_OPEN_NAMESPACE: async ({ dom, flags }, call) => {
      checkFlags(flags, 0, "lxcDomainLxcOpenNamespace");
      const domain = await domainOf(driver, dom);
      if (!isActive(domain)) throw notRunning();
      for (const fd of await engine.openNamespaces({ storePath, name: domain.name })) call.replyWith(fd);
    },
  };
}

/** null: there is none. */
function portOf(name: string | null, count: number): number | null {
  if (name === null) return count === 0 ? null : 0;
  const port = /^console(0|[1-9]\d{0,3})$/.exec(name)?.[1];
  return port === undefined || Number(port) >= count ? null : Number(port);
}
