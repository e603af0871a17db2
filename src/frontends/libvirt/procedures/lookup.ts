import { processLabel, readSelinux } from "../beside/selinux.js";
import type { Driver } from "../driver/driver.js";
import { isActive } from "../driver/domains.js";
import type { Handlers } from "../rpc/handlers.js";
import { listFilter } from "../stats/flags.js";
import { checkFlags, domainOf, filterFacts, refOf } from "./common.js";

/** Lists, look-ups and what is known of a domain without asking it. */
export function lookupHandlers(driver: Driver): Handlers {
  const { events } = driver;
  return {
    CONNECT_LIST_ALL_DOMAINS: async ({ need_results, flags }) => {
      const isWanted = listFilter(flags);
      const wanted = [];
      for (const domain of await driver.list()) {
        if (isWanted(await filterFacts(driver, domain, flags))) wanted.push(refOf(domain));
      }
      return { domains: need_results === 0 ? [] : wanted, ret: wanted.length };
    },
    CONNECT_NUM_OF_DOMAINS: async () => ({ num: (await driver.list()).filter(isActive).length }),
    CONNECT_LIST_DOMAINS: async ({ maxids }) => ({
      ids: (await driver.list()).flatMap(({ pid }) => (pid === null ? [] : [pid])).slice(0, Math.max(0, maxids)),
    }),
    CONNECT_NUM_OF_DEFINED_DOMAINS: async () => ({
      num: (await driver.list()).filter((domain) => !isActive(domain)).length,
    }),
    CONNECT_LIST_DEFINED_DOMAINS: async ({ maxnames }) => ({
      names: (await driver.list())
        .filter((domain) => !isActive(domain))
        .map(({ name }) => name)
        .slice(0, Math.max(0, maxnames)),
    }),
    DOMAIN_LOOKUP_BY_NAME: async ({ name }) => ({ dom: refOf(await driver.byName(name)) }),
    DOMAIN_LOOKUP_BY_UUID: async ({ uuid }) => ({ dom: refOf(await driver.byUuid(uuid)) }),
    DOMAIN_LOOKUP_BY_ID: async ({ id }) => ({ dom: refOf(await driver.byPid(id)) }),
    DOMAIN_IS_ACTIVE: async ({ dom }) => ({ active: isActive(await domainOf(driver, dom)) ? 1 : 0 }),
    DOMAIN_IS_PERSISTENT: async ({ dom }) => ({ persistent: (await domainOf(driver, dom)).isPersistent ? 1 : 0 }),
    DOMAIN_IS_UPDATED: async ({ dom }) => {
      await domainOf(driver, dom);
      return { updated: 0 };
    },
    DOMAIN_GET_STATE: async ({ dom, flags }) => {
      checkFlags(flags, 0, "lxcDomainGetState");
      return events.of(await domainOf(driver, dom));
    },
    DOMAIN_GET_OS_TYPE: async ({ dom }) => {
      await domainOf(driver, dom);
      return { type: "exe" };
    },
    DOMAIN_HAS_MANAGED_SAVE_IMAGE: async ({ dom }) => {
      await domainOf(driver, dom);
      return { result: 0 };
    },
    DOMAIN_GET_SECURITY_LABEL: async ({ dom }) => {
      const { pid } = await domainOf(driver, dom);
      const selinux = pid === null ? null : readSelinux();
      if (pid === null || selinux === null) return { label: "\0", enforcing: 0 };
      return { label: `${processLabel(pid)}\0`, enforcing: selinux.isEnforcing ? 1 : 0 };
    },
    DOMAIN_GET_SECURITY_LABEL_LIST: async ({ dom }) => {
      await domainOf(driver, dom);
      return { labels: [], ret: -1 };
    },
  };
}
