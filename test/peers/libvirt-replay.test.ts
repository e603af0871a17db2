import { test } from "node:test";
import { dom, replay, type Session } from "../support/libvirt-replay.js";
import { lacksHost, sameLinks, situation, t4 } from "../support/libvirt-situation.js";

/** Recorded sessions of Debian's virsh and python3-libvirt that look at a host and its domains, made again of a daemon: what is answered otherwise has a reason. */

const noObjects = "networks, interfaces, devices and filters are none of islet's: lists are empty";
const addition = "its LXC driver has none; virt-top asks for them";

const handshake: Session = { name: "00-handshake", machine: {}, reasons: {} };

const lookups: Session = {
  name: "20-list-lookup",
  leftOut: {
    10: ["DOMAIN_LOOKUP_BY_NAME", { name: "nosuch" }],
    11: ["DOMAIN_LOOKUP_BY_NAME", { name: "zzz" }],
    12: ["DOMAIN_LOOKUP_BY_UUID", { uuid: "00000000-0000-0000-0000-000000000001" }],
    13: ["DOMAIN_LOOKUP_BY_ID", { id: 99_999_999 }],
  },
  machine: {},
  reasons: {
    "net_list CONNECT_LIST_ALL_NETWORKS.nets: 1 of them, here 0": noObjects,
    "net_list CONNECT_LIST_ALL_NETWORKS.ret: 1, here 0": noObjects,
  },
};

const host: Session = {
  name: "10-connect",
  before: {
    py_conn: async ({ call, names }) => {
      for (const name of ["r1", "u1", "n1", "p1"])
        await call("DOMAIN_CREATE_XML", { xml_desc: String(names.toOurs(t4)).replace("t4", name), flags: 0 });
    },
  },
  leftOut: { 60: ["CONNECT_GET_ALL_DOMAIN_STATS", { doms: [dom("t2")], stats: 0, flags: 0 }] },
  machine: {
    "CONNECT_GET_VERSION.hv_ver": "the kernel's",
    "CONNECT_GET_HOSTNAME.hostname": "the host's",
    "NODE_GET_INFO.model": "the processor's architecture",
    "NODE_GET_INFO.memory": "what the host has",
    "NODE_GET_INFO.cpus": "what the host has",
    "NODE_GET_INFO.mhz": "what the host has",
    "NODE_GET_INFO.nodes": "what the host has",
    "NODE_GET_INFO.sockets": "what the host has",
    "NODE_GET_INFO.cores": "what the host has",
    "NODE_GET_INFO.threads": "what the host has",
    "NODE_GET_CPU_MAP.cpumap": "what the host has",
    "NODE_GET_CPU_MAP.online": "what the host has",
    "NODE_GET_CPU_MAP.ret": "what the host has",
    "NODE_GET_FREE_MEMORY.freeMem": "what the host has left",
    "NODE_GET_CELLS_FREE_MEMORY.cells": "what the host has left",
    "CONNECT_GET_CAPABILITIES.capabilities":
      "all but names of elements is the host's; test/unit/frontends/libvirt-host has the recorded host's facts, and its text",
  },
  unordered: {
    "CONNECT_LIST_DOMAINS.ids": "that of a hash table there, of names here",
    "CONNECT_LIST_ALL_DOMAINS.domains": "that of a hash table there, of names here",
  },
  reasons: {
    'py_conn CONNECT_GET_ALL_DOMAIN_STATS.status: "3, this function is not supported by the connection driver: virConnectGetAllDomainStats", here "ok"':
      addition,
    'py_conn CONNECT_GET_ALL_DOMAIN_STATS.status: "3, this function is not supported by the connection driver: virDomainListGetStats", here "ok"':
      addition,
    "py_conn CONNECT_LIST_ALL_NETWORKS.nets: 1 of them, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_NETWORKS.ret: 1, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_INTERFACES.ifaces: 5 of them, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_INTERFACES.ret: 5, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_NODE_DEVICES.devices: 9 of them, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_NODE_DEVICES.ret: 9, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_NWFILTERS.filters: 24 of them, here 0": noObjects,
    "py_conn CONNECT_LIST_ALL_NWFILTERS.ret: 24, here 0": noObjects,
  },
};

const stats: Session = {
  name: "60-stats",
  before: {
    domifstat: sameLinks,
    py_dom: ({ call, dom: now }) => call("DOMAIN_SET_MEMORY_FLAGS", { dom: now("t2"), memory: 80_000n, flags: 1 }),
  },
  leftOut: {
    61: ["DOMAIN_GET_INFO", { dom: dom("t2") }],
    66: ["DOMAIN_MEMORY_STATS", { dom: dom("t2"), maxStats: 13, flags: 0 }],
    87: ["DOMAIN_GET_CPU_STATS", { dom: dom("t2"), nparams: 3, start_cpu: -1, ncpus: 1, flags: 4 }],
    88: ["DOMAIN_GET_CPU_STATS", { dom: dom("t2"), nparams: 1, start_cpu: 0, ncpus: 2, flags: 4 }],
  },
  machine: {
    "DOMAIN_GET_INFO.memory": "what the guest uses",
    "DOMAIN_GET_INFO.cpuTime": "what the guest has used",
    "DOMAIN_GET_CPU_STATS.params[cpu_time].value": "what the guest has used",
    "DOMAIN_GET_CPU_STATS.params[user_time].value": "what the guest has used",
    "DOMAIN_GET_CPU_STATS.params[system_time].value": "what the guest has used",
    "DOMAIN_MEMORY_STATS.stats[0].val": "what the guest uses",
    "DOMAIN_MEMORY_STATS.stats[7].val": "what the guest uses",
    "DOMAIN_INTERFACE_STATS.rx_drop": "what else was on that bridge",
  },
  reasons: {
    'domstats CONNECT_GET_ALL_DOMAIN_STATS.status: "3, this function is not supported by the connection driver: virConnectGetAllDomainStats", here "ok"':
      addition,
    'domstats_one CONNECT_GET_ALL_DOMAIN_STATS.status: "3, this function is not supported by the connection driver: virDomainListGetStats", here "ok"':
      addition,
  },
};

test("hands are shaken and domains are found as libvirtd answered it", async (t) => {
  if (lacksHost(t)) return;
  const { place, names } = await situation(t, { running: ["t1", "t2"] });
  await replay(t, place, names, handshake);
  await replay(t, place, names, lookups);
});

test("the host and its domains are looked at as libvirtd answered it", async (t) => {
  if (lacksHost(t)) return;
  const { place, names } = await situation(t, { off: ["t3"], running: ["t1", "t2"] });
  await replay(t, place, names, stats);
  await replay(t, place, names, host);
});
