import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Handlers } from "../rpc/handlers.js";

/** Networks, pools and the rest, as a host answers that has none of them. */
export function secondaryHandlers(): Handlers {
  /** Each kind of thing counts its own. */
  const counter = (): (() => { readonly callbackID: number }) => {
    let next = 0;
    return () => {
      next += 1;
      return { callbackID: next - 1 };
    };
  };
  return {
    CONNECT_LIST_ALL_NETWORKS: () => ({ nets: [], ret: 0 }),
    CONNECT_LIST_ALL_STORAGE_POOLS: () => ({ pools: [], ret: 0 }),
    CONNECT_LIST_ALL_INTERFACES: () => ({ ifaces: [], ret: 0 }),
    CONNECT_LIST_ALL_NODE_DEVICES: () => ({ devices: [], ret: 0 }),
    CONNECT_LIST_ALL_NWFILTERS: () => ({ filters: [], ret: 0 }),
    CONNECT_LIST_ALL_SECRETS: () => ({ secrets: [], ret: 0 }),
    NETWORK_LOOKUP_BY_NAME: ({ name }) => {
      throw new LibvirtError(errorCodes.noNetwork, errorDomains.network, `no network with matching name '${name}'`);
    },
    CONNECT_NETWORK_EVENT_REGISTER_ANY: counter(),
    CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY: counter(),
    CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY: counter(),
    CONNECT_SECRET_EVENT_REGISTER_ANY: counter(),
  };
}
