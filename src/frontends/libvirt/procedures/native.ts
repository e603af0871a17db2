import type { Driver } from "../driver/driver.js";
import { checkFormat } from "../native/faults.js";
import { domainFromNative, type NativeContext } from "../native/from-native.js";
import { nativeFromDomain } from "../native/to-native.js";
import type { Handlers } from "../rpc/handlers.js";
import { hostFile } from "../spec/host-file.js";
import { checkFlags } from "./common.js";

/** domxml-from-native and domxml-to-native: between LXC's configurations and domains. */
export function nativeHandlers(driver: Driver, native: NativeContext): Handlers {
  const { xml } = driver.context;
  return {
    CONNECT_DOMAIN_XML_FROM_NATIVE: ({ nativeFormat, nativeConfig, flags }) => {
      checkFlags(flags, 0, "lxcConnectDomainXMLFromNative");
      checkFormat(nativeFormat);
      return { domainXml: xml.write(domainFromNative(nativeConfig, native), { inactive: true, secure: true }) };
    },
    CONNECT_DOMAIN_XML_TO_NATIVE: async ({ nativeFormat, domainXml, flags }) => {
      checkFlags(flags, 0, "lxcConnectDomainXMLToNative");
      checkFormat(nativeFormat);
      const bridgeOf = await driver.networks();
      const nativeConfig = nativeFromDomain(xml.read(domainXml), {
        deviceNumbers: (path) => {
          const found = hostFile(path);
          return found?.kind === "c" || found?.kind === "b" ? found : null;
        },
        isDirectory: (path) => hostFile(path)?.kind === "dir",
        bridgeOf,
      });
      return { nativeConfig };
    },
  };
}
