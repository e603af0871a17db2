import { test } from "node:test";
import { dom, replay, type Session } from "../support/libvirt-replay.js";
import { bring, lacksHost, situation, t1, t3, t4 } from "../support/libvirt-situation.js";
import { waitFor } from "../support/wait.js";

/** Recorded sessions in which domains begin and end, and in which clients ask for what they do not get, made again of a daemon. */

const life: Session = {
  name: "30-lifecycle",
  before: {
    shutdown_signal: async (stage) => {
      await bring(stage, "t3", "off");
      await bring(stage, "t3", "running");
    },
    destroy: (stage) => bring(stage, "t3", "running"),
    start_autodestroy: async (stage) => {
      await bring(stage, "t4", "gone");
      await bring(stage, "t3", "off");
    },
    destroy_graceful: ({ call, dom: now }) =>
      waitFor("t3 to end with its client", async () => {
        return (await call("DOMAIN_GET_STATE", { dom: now("t3"), flags: 0 })).state === 5;
      }),
    transient_autostart: ({ call, names }) =>
      call("DOMAIN_CREATE_XML", { xml_desc: String(names.toOurs(t4)), flags: 0 }),
    py_life: async (stage) => {
      await bring(stage, "t4", "gone");
      await bring(stage, "t4", "running");
    },
    51: (stage) => bring(stage, "t4", "off"),
    53: (stage) => bring(stage, "t4", "running"),
    54: (stage) => bring(stage, "t4", "gone"),
    55: (stage) => bring(stage, "t4", "gone"),
  },
  leftOut: {
    16: ["DOMAIN_REBOOT", { dom: dom("t3"), flags: 1 }],
    25: ["DOMAIN_DESTROY", { dom: dom("t3") }],
    36: ["DOMAIN_UNDEFINE_FLAGS", { dom: dom("t3"), flags: 0 }],
    37: ["DOMAIN_LOOKUP_BY_NAME", { name: "t3" }],
    46: ["DOMAIN_SET_AUTOSTART", { dom: dom("t4"), autostart: 1 }],
    53: ["DOMAIN_DESTROY_FLAGS", { dom: dom("t4"), flags: 0 }],
    54: ["DOMAIN_DEFINE_XML_FLAGS", { xml: t4, flags: 0 }],
    57: ["DOMAIN_LOOKUP_BY_NAME", { name: "zzz" }],
    58: ["DOMAIN_LOOKUP_BY_UUID", { uuid: "00000000-0000-0000-0000-000000000001" }],
    60: ["DOMAIN_LOOKUP_BY_ID", { id: 99_999_999 }],
    61: ["DOMAIN_DEFINE_XML", { xml: "<domain" }],
  },
  machine: {
    "DOMAIN_GET_INFO.memory": "what the guest uses",
    "DOMAIN_GET_INFO.cpuTime": "what the guest has used",
  },
  reasons: {
    'start_autodestroy DOMAIN_CREATE_WITH_FLAGS.dom.id: -1, here "id of t3"':
      "it runs by then, and other answers have its id",
  },
};

const errors: Session = {
  name: "95-errors",
  before: {
    shutdown_acpi: (stage) => bring(stage, "t3", "running"),
    suspend_off: (stage) => bring(stage, "t3", "off"),
    create_dup: ({ call, names }) => call("DOMAIN_CREATE_XML", { xml_desc: String(names.toOurs(t4)), flags: 0 }),
    redefine: (stage) => bring(stage, "t3", "gone"),
  },
  leftOut: {
    4: ["CONNECT_OPEN", { name: "lxc:///foo", flags: 0 }],
    25: ["DOMAIN_DEFINE_XML", { xml: t3 }],
    26: ["DOMAIN_DEFINE_XML", { xml: t3 }],
    27: ["DOMAIN_GET_XML_DESC", { dom: dom("t1"), flags: 0 }],
    28: ["DOMAIN_DEFINE_XML", { xml: t1().replace("<name>t1<", "<name>t1b<") }],
    29: ["DOMAIN_SET_MEMORY_FLAGS", { dom: dom("t1"), memory: 9_999_999n, flags: 2 }],
  },
  machine: {},
  reasons: {
    'console_force DOMAIN_OPEN_CONSOLE.status: "8, unsupported flags (0x3) in function lxcDomainOpenConsole", here "ok"':
      "several clients can be at one console",
  },
};

test("domains begin and end as libvirtd answered it", async (t) => {
  if (lacksHost(t)) return;
  const { place, names } = await situation(t, { running: ["t1", "t2"] });
  await replay(t, place, names, life);
});

test("what cannot be done is refused as libvirtd refused it", async (t) => {
  if (lacksHost(t)) return;
  const { place, names } = await situation(t, { off: ["t1", "t3"], running: ["t2"] });
  await replay(t, place, names, errors);
});
