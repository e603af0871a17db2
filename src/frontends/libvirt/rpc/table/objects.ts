/** Procedures of networks, storage pools and other things beside domains (remote_protocol.x). */
export const objectProcedures = {
  CONNECT_LIST_ALL_NETWORKS: {
    number: 283,
    args: { need_results: "i32", flags: "u32" },
    ret: { nets: "object[]", ret: "u32" },
  },
  NETWORK_LOOKUP_BY_NAME: { number: 46, args: { name: "str" }, ret: { net: "object" } },
  NETWORK_GET_XML_DESC: { number: 43, args: { net: "object", flags: "u32" }, ret: { xml: "str" } },
  NETWORK_GET_AUTOSTART: { number: 44, args: { net: "object" }, ret: { autostart: "i32" } },
  NETWORK_IS_ACTIVE: { number: 152, args: { net: "object" }, ret: { active: "i32" } },
  NETWORK_IS_PERSISTENT: { number: 153, args: { net: "object" }, ret: { persistent: "i32" } },
  CONNECT_LIST_ALL_STORAGE_POOLS: {
    number: 281,
    args: { need_results: "i32", flags: "u32" },
    ret: { pools: "object[]", ret: "u32" },
  },
  CONNECT_LIST_ALL_INTERFACES: {
    number: 284,
    args: { need_results: "i32", flags: "u32" },
    ret: { ifaces: "iface[]", ret: "u32" },
  },
  CONNECT_LIST_ALL_NODE_DEVICES: {
    number: 285,
    args: { need_results: "i32", flags: "u32" },
    ret: { devices: "nodeDevice[]", ret: "u32" },
  },
  CONNECT_LIST_ALL_NWFILTERS: {
    number: 286,
    args: { need_results: "i32", flags: "u32" },
    ret: { filters: "object[]", ret: "u32" },
  },
  CONNECT_LIST_ALL_SECRETS: {
    number: 287,
    args: { need_results: "i32", flags: "u32" },
    ret: { secrets: "secret[]", ret: "u32" },
  },
  CONNECT_NETWORK_EVENT_REGISTER_ANY: {
    number: 313,
    args: { eventID: "i32", net: "object?" },
    ret: { callbackID: "i32" },
  },
  CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY: {
    number: 368,
    args: { eventID: "i32", pool: "object?" },
    ret: { callbackID: "i32" },
  },
  CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY: {
    number: 374,
    args: { eventID: "i32", dev: "nodeDevice?" },
    ret: { callbackID: "i32" },
  },
  CONNECT_SECRET_EVENT_REGISTER_ANY: {
    number: 380,
    args: { eventID: "i32", secret: "secret?" },
    ret: { callbackID: "i32" },
  },
  NETWORK_LOOKUP_BY_UUID: { number: 47, args: { uuid: "uuid" }, ret: { net: "object" } },
  NETWORK_GET_BRIDGE_NAME: { number: 45, args: { net: "object" }, ret: { name: "str" } },
  CONNECT_NUM_OF_NETWORKS: { number: 52, args: {}, ret: { num: "i32" } },
  CONNECT_LIST_NETWORKS: { number: 38, args: { maxnames: "i32" }, ret: { names: "str[]" } },
  CONNECT_NUM_OF_DEFINED_NETWORKS: { number: 50, args: {}, ret: { num: "i32" } },
  CONNECT_LIST_DEFINED_NETWORKS: { number: 36, args: { maxnames: "i32" }, ret: { names: "str[]" } },
  CONNECT_NETWORK_EVENT_DEREGISTER_ANY: { number: 314, args: { callbackID: "i32" }, ret: {} },
  CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY: { number: 369, args: { callbackID: "i32" }, ret: {} },
  CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY: { number: 375, args: { callbackID: "i32" }, ret: {} },
  CONNECT_SECRET_EVENT_DEREGISTER_ANY: { number: 381, args: { callbackID: "i32" }, ret: {} },
} as const;
