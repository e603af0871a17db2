import type { Driver } from "../driver/driver.js";
import type { DomainEvent } from "../driver/events.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Client, Handlers } from "../rpc/handlers.js";

/** virDomainEventID: those that ever happen here; the others can be asked for. */
const eventIds = { lifecycle: 0, reboot: 1, metadata: 23 } as const;
const lastEventId = 26;

const idOf = (event: DomainEvent): number => eventIds[event.kind];

interface Registration {
  readonly client: Client;
  readonly eventId: number;
  /** uuid; null: of all domains. */
  readonly only: string | null;
}

/** Clients hear of what happens to domains until they take that back or go. */
export function eventHandlers(driver: Driver): Handlers {
  const registrations = new Map<number, Registration>();
  let next = 0;

  driver.events.subscribe((event) => {
    for (const [callbackID, { client, eventId, only }] of registrations) {
      if (eventId !== idOf(event) || (only !== null && only !== event.domain.uuid)) continue;
      push(client, callbackID, event);
    }
  });

  return {
    CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: ({ eventID, dom }, { client }) => {
      if (eventID < 0 || eventID > lastEventId)
        throw new LibvirtError(errorCodes.internal, errorDomains.rpc, `unsupported event ID ${eventID}`);
      const callbackID = next;
      next += 1;
      registrations.set(callbackID, { client, eventId: eventID, only: dom?.uuid ?? null });
      client.onClose(() => {
        registrations.delete(callbackID);
      });
      return { callbackID };
    },
    CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: ({ callbackID }, { client }) => {
      if (registrations.get(callbackID)?.client !== client) {
        throw new LibvirtError(
          errorCodes.internal,
          errorDomains.rpc,
          `domain event callback ${callbackID} not registered`,
        );
      }
      registrations.delete(callbackID);
    },
  };
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
