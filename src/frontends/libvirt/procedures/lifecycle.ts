import type { Driver, StopWays } from "../driver/driver.js";
import type { Domain } from "../driver/domains.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Call, Handlers } from "../rpc/handlers.js";
import type { DomainRef } from "../rpc/messages.js";
import { checkFlags, domainOf, refOf } from "./common.js";

/** VIR_DOMAIN_START_*. */
const startFlags = { autodestroy: 2, validate: 16 } as const;
/** VIR_DOMAIN_SHUTDOWN_* and VIR_DOMAIN_REBOOT_*: the same numbers. */
const waysFlags = { initctl: 4, signal: 8 } as const;
const defineValidate = 1;

const waysOf = (flags: number): StopWays => ({
  initctl: (flags & waysFlags.initctl) !== 0,
  signal: (flags & waysFlags.signal) !== 0,
});

/** The domain ends with its client. */
function bind(driver: Driver, { client }: Call, { name }: Domain): void {
  client.onClose(() => {
    driver
      .byName(name)
      .then((domain) => driver.destroy(domain))
      .catch(() => undefined);
  });
}

export function lifecycleHandlers(driver: Driver, validate: (xml: string) => Promise<void>): Handlers {
  const { xml } = driver.context;

  /** The driver's one way to start what is defined, by whichever procedure. */
  const start = async (dom: DomainRef, flags: number, call: Call): Promise<Domain> => {
    checkFlags(flags, startFlags.autodestroy, "lxcDomainCreateWithFiles");
    const started = await driver.start(await domainOf(driver, dom), call.fds);
    if ((flags & startFlags.autodestroy) !== 0) bind(driver, call, started);
    return started;
  };

  const create = async (text: string, flags: number, call: Call): Promise<Domain> => {
    checkFlags(flags, startFlags.autodestroy | startFlags.validate, "lxcDomainCreateXMLWithFiles");
    if ((flags & startFlags.validate) !== 0) await validate(text);
    const started = await driver.create(xml.read(text), call.fds);
    if ((flags & startFlags.autodestroy) !== 0) bind(driver, call, started);
    return started;
  };

  const define = async (text: string, flags: number): Promise<Domain> => {
    checkFlags(flags, defineValidate, "lxcDomainDefineXMLFlags");
    if ((flags & defineValidate) !== 0) await validate(text);
    return await driver.define(xml.read(text));
  };

  return {
    DOMAIN_DEFINE_XML: async (args) => ({ dom: refOf(await define(args.xml, 0)) }),
    DOMAIN_DEFINE_XML_FLAGS: async (args) => ({ dom: refOf(await define(args.xml, args.flags)) }),
    DOMAIN_CREATE: async ({ dom }, call) => {
      await start(dom, 0, call);
    },
    DOMAIN_CREATE_WITH_FLAGS: async ({ dom, flags }, call) => ({
      dom: refOf(await start(dom, flags, call)),
    }),
    DOMAIN_CREATE_WITH_FILES: async ({ dom, flags }, call) => ({
      dom: refOf(await start(dom, flags, call)),
    }),
    DOMAIN_CREATE_XML: async ({ xml_desc, flags }, call) => ({ dom: refOf(await create(xml_desc, flags, call)) }),
    DOMAIN_CREATE_XML_WITH_FILES: async ({ xml_desc, flags }, call) => ({
      dom: refOf(await create(xml_desc, flags, call)),
    }),
    DOMAIN_SHUTDOWN: async ({ dom }) => {
      await driver.shutdown(await domainOf(driver, dom), waysOf(0));
    },
    DOMAIN_SHUTDOWN_FLAGS: async ({ dom, flags }) => {
      checkFlags(flags, waysFlags.initctl | waysFlags.signal, "lxcDomainShutdownFlags");
      await driver.shutdown(await domainOf(driver, dom), waysOf(flags));
    },
    DOMAIN_REBOOT: async ({ dom, flags }) => {
      checkFlags(flags, waysFlags.initctl | waysFlags.signal, "lxcDomainReboot");
      await driver.reboot(await domainOf(driver, dom), waysOf(flags));
    },
    DOMAIN_DESTROY: async ({ dom }) => {
      await driver.destroy(await domainOf(driver, dom));
    },
    DOMAIN_DESTROY_FLAGS: async ({ dom, flags }) => {
      checkFlags(flags, 0, "lxcDomainDestroyFlags");
      await driver.destroy(await domainOf(driver, dom));
    },
    DOMAIN_UNDEFINE: async ({ dom }) => {
      await driver.undefine(await domainOf(driver, dom));
    },
    DOMAIN_UNDEFINE_FLAGS: async ({ dom, flags }) => {
      checkFlags(flags, 0, "lxcDomainUndefineFlags");
      await driver.undefine(await domainOf(driver, dom));
    },
    DOMAIN_SUSPEND: async ({ dom }) => {
      await driver.suspend(await domainOf(driver, dom));
    },
    DOMAIN_RESUME: async ({ dom }) => {
      await driver.resume(await domainOf(driver, dom));
    },
    DOMAIN_GET_AUTOSTART: async ({ dom }) => ({
      autostart: (await driver.autostart(await domainOf(driver, dom))) ? 1 : 0,
    }),
    DOMAIN_SET_AUTOSTART: async ({ dom, autostart }) => {
      await driver.setAutostart(await domainOf(driver, dom), autostart !== 0);
    },
    DOMAIN_SEND_PROCESS_SIGNAL: async ({ dom, pid_value, signum, flags }) => {
      checkFlags(flags, 0, "lxcDomainSendProcessSignal");
      const domain = await domainOf(driver, dom);
      if (pid_value !== 1n) {
        throw new LibvirtError(errorCodes.argumentUnsupported, errorDomains.lxc, "Only the init process may be killed");
      }
      await driver.context.engine.signal({ storePath: driver.context.storePath, name: domain.name }, signum);
    },
  };
}
