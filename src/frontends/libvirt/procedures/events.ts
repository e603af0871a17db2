import type { Driver } from "../driver/driver.js";
import type { DomainEvent } from "../driver/events.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Client, Handlers } from "../rpc/handlers.js";

/** virDomainEventID: those that ever happen here; the others can be asked for. */
const eventIds = { lifecycle: 0, reboot: 1, metadata: 23 } as const;
const lastEventId = 26;
/** The last that was told before callbacks had ids. */
const lastLegacyId = 15;

const idOf = (event: DomainEvent): number => eventIds[event.kind];

interface Registration {
  readonly client: Client;
  readonly eventId: number;
  /** uuid; null: of all domains. */
  readonly only: string | null;
  /** It does not know of ids: its messages have none. */
  readonly isLegacy: boolean;
}

const internal = (message: string): LibvirtError => new LibvirtError(errorCodes.internal, errorDomains.rpc, message);

/** Clients hear of what happens to domains until they take that back or go. */
export function eventHandlers(driver: Driver): Handlers {
  const registrations = new Map<number, Registration>();
  let next = 0;

  driver.events.subscribe((event) => {
    for (const [callbackID, { client, eventId, only, isLegacy }] of registrations) {
      if (eventId !== idOf(event) || (only !== null && only !== event.domain.uuid)) continue;
      if (isLegacy) pushLegacy(client, event);
      else push(client, callbackID, event);
    }
  });

  const register = (wanted: Registration): number => {
    const { client, eventId, only, isLegacy } = wanted;
    if (eventId < 0 || eventId > (isLegacy ? lastLegacyId : lastEventId))
      throw internal(`unsupported event ID ${eventId}`);
    for (const each of registrations.values()) {
      if (each.client === client && each.eventId === eventId && each.only === only)
        throw new LibvirtError(errorCodes.invalidArgument, errorDomains.none, "event callback already tracked");
    }
    const callbackID = next;
    next += 1;
    registrations.set(callbackID, wanted);
    client.onClose(() => {
      registrations.delete(callbackID);
    });
    return callbackID;
  };
  const deregisterLegacy = (client: Client, eventId: number): void => {
    if (eventId < 0 || eventId > lastLegacyId) throw internal(`unsupported event ID ${eventId}`);
    const [callbackID] =
      [...registrations].find(([, each]) => each.client === client && each.eventId === eventId) ?? [];
    if (callbackID === undefined) throw internal(`domain event ${eventId} not registered`);
    registrations.delete(callbackID);
  };
  const legacy = (client: Client, eventId: number): Registration => ({ client, eventId, only: null, isLegacy: true });

  return {
    CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: ({ eventID, dom }, { client }) => ({
      callbackID: register({ client, eventId: eventID, only: dom?.uuid ?? null, isLegacy: false }),
    }),
    CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: ({ callbackID }, { client }) => {
      if (registrations.get(callbackID)?.client !== client)
        throw internal(`domain event callback ${callbackID} not registered`);
      registrations.delete(callbackID);
    },
    CONNECT_DOMAIN_EVENT_REGISTER: (_, { client }) => {
      register(legacy(client, eventIds.lifecycle));
      return { cb_registered: 0 };
    },
    CONNECT_DOMAIN_EVENT_DEREGISTER: (_, { client }) => {
      deregisterLegacy(client, eventIds.lifecycle);
      return { cb_registered: 0 };
    },
    CONNECT_DOMAIN_EVENT_REGISTER_ANY: ({ eventID }, { client }) => {
      register(legacy(client, eventID));
    },
    CONNECT_DOMAIN_EVENT_DEREGISTER_ANY: ({ eventID }, { client }) => {
      deregisterLegacy(client, eventID);
    },
  };
}

/** Of those that old clients can have asked for. */
function pushLegacy(client: Client, event: DomainEvent): void {
  const dom = event.domain;
  if (event.kind === "lifecycle")
    client.push("DOMAIN_EVENT_LIFECYCLE", { dom, event: event.what[0], detail: event.what[1] });
  else if (event.kind === "reboot") client.push("DOMAIN_EVENT_REBOOT", { dom });
}

function push(client: Client, callbackID: number, event: DomainEvent): void {
  const dom = event.domain;
  switch (event.kind) {
    case "lifecycle":
      client.push("DOMAIN_EVENT_CALLBACK_LIFECYCLE", {
        callbackID,
        msg: { dom, event: event.what[0], detail: event.what[1] },
      });
      break;
    case "reboot":
      client.push("DOMAIN_EVENT_CALLBACK_REBOOT", { callbackID, msg: { dom } });
      break;
    case "metadata":
      client.push("DOMAIN_EVENT_CALLBACK_METADATA_CHANGE", { callbackID, dom, type: event.type, nsuri: event.uri });
      break;
    default: {
      const impossible: never = event;
      return impossible;
    }
  }
}
