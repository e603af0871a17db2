/** Messages to clients that registered for them (remote_protocol.x). */
export const events = {
  CONNECT_EVENT_CONNECTION_CLOSED: { number: 362, message: { reason: "i32" } },
  DOMAIN_EVENT_CALLBACK_LIFECYCLE: { number: 318, message: { callbackID: "i32", msg: "lifecycle" } },
  DOMAIN_EVENT_CALLBACK_REBOOT: { number: 319, message: { callbackID: "i32", msg: "reboot" } },
  DOMAIN_EVENT_CALLBACK_METADATA_CHANGE: {
    number: 379,
    message: { callbackID: "i32", dom: "dom", type: "i32", nsuri: "str?" },
  },
  // Of clients that know of no callbacks with ids (before libvirt 1.2).
  DOMAIN_EVENT_LIFECYCLE: { number: 107, message: { dom: "dom", event: "i32", detail: "i32" } },
  DOMAIN_EVENT_REBOOT: { number: 169, message: { dom: "dom" } },
} as const;
