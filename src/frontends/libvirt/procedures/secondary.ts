import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Call, Client, Handlers } from "../rpc/handlers.js";

const internal = (message: string): LibvirtError => new LibvirtError(errorCodes.internal, errorDomains.rpc, message);

interface Registry {
  readonly register: (args: { readonly eventID: number }, call: Call) => { readonly callbackID: number };
  readonly deregister: (args: { readonly callbackID: number }, call: Call) => void;
}

/** Who wants to hear of one kind of thing, of which nothing ever happens. `last`: its last event (libvirt-KIND.h). */
function registry(kind: string, last: number): Registry {
  const clients = new Map<number, Client>();
  let next = 0;
  return {
    register({ eventID }, { client }) {
      if (eventID < 0 || eventID > last) throw internal(`unsupported ${kind} event ID ${eventID}`);
      const callbackID = next;
      next += 1;
      clients.set(callbackID, client);
      client.onClose(() => {
        clients.delete(callbackID);
      });
      return { callbackID };
    },
    deregister({ callbackID }, { client }) {
      if (clients.get(callbackID) !== client) throw internal(`${kind} event callback ${callbackID} not registered`);
      clients.delete(callbackID);
    },
  };
}

/** Networks, pools and the rest, as a host answers that has none of them. */
export function secondaryHandlers(): Handlers {
  const networks = registry("network", 0);
  const pools = registry("storage pool", 1);
  const devices = registry("node device", 1);
  const secrets = registry("secret", 1);
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
    CONNECT_NETWORK_EVENT_REGISTER_ANY: networks.register,
    CONNECT_NETWORK_EVENT_DEREGISTER_ANY: networks.deregister,
    CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY: pools.register,
    CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY: pools.deregister,
    CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY: devices.register,
    CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY: devices.deregister,
    CONNECT_SECRET_EVENT_REGISTER_ANY: secrets.register,
    CONNECT_SECRET_EVENT_DEREGISTER_ANY: secrets.deregister,
  };
}
