import { test } from "node:test";
import { replay, type Session, type Stage } from "../support/libvirt-replay.js";
import { bring, situation, t4 } from "../support/libvirt-situation.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** The recorded session of clients that hear of events, made again of a daemon: what others and the guest do meanwhile is done here by the index of the event that told of it. */

const start = ({ call, dom }: Stage): Promise<void> => call("DOMAIN_CREATE", { dom: dom("t3") });
const suspend = ({ call, dom }: Stage): Promise<void> => call("DOMAIN_SUSPEND", { dom: dom("t3") });
const resume = ({ call, dom }: Stage): Promise<void> => call("DOMAIN_RESUME", { dom: dom("t3") });
const entitle =
  (name: string, type: number) =>
  ({ call, dom }: Stage): Promise<void> =>
    call("DOMAIN_SET_METADATA", { dom: dom(name), type, metadata: "hello", key: null, uri: null, flags: 0 });
/** Registrations whose like the recording has already. */
const listen = async ({ also }: Stage, ...ids: readonly number[]): Promise<void> => {
  for (const eventID of ids) await also("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", { eventID, dom: null });
};
const heard = ({ line }: Stage, count: number): Promise<unknown> =>
  waitFor(`${count} messages`, () => line().messages().length >= count);

const SIGUSR2 = 12;

const events: Session = {
  name: "90-events",
  before: {
    18: (stage) => bring(stage, "t3", "off"),
    20: start,
    21: suspend,
    22: resume,
    23: async (stage) => {
      const { own } = stage.place;
      await own.ok(["lxc-attach", ...own.store.at("t3"), "--", "reboot", "-f"]);
      // With the answer to its keepalive.
      await heard(stage, 6);
    },
    24: entitle("t3", 1),
    event_all: async (stage) => {
      await bring(stage, "t3", "off");
      await listen(stage, 0, 1);
    },
    44: start,
    45: suspend,
    46: resume,
    47: (stage) => bring(stage, "t3", "off"),
    48: (stage) => bring(stage, "t3", "gone"),
    49: (stage) => bring(stage, "t3", "off"),
    events_poweroff: async (stage) => {
      await bring(stage, "t3", "running");
      await listen(stage, 0, 1, 23);
    },
    52: async (stage) => {
      // As busybox's init has it.
      await stage.call("DOMAIN_SEND_PROCESS_SIGNAL", {
        dom: stage.dom("t3"),
        pid_value: 1n,
        signum: SIGUSR2,
        flags: 0,
      });
      await heard(stage, 1);
    },
    53: ({ call, names }) => call("DOMAIN_CREATE_XML", { xml_desc: String(names.toOurs(t4)), flags: 0 }),
    54: entitle("t4", 0),
    55: (stage) => bring(stage, "t4", "gone"),
  },
  machine: {
    "CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY.callbackID": "counted from the daemon's begin",
  },
  reasons: {},
};

test("clients hear of what libvirtd told", async (t) => {
  if (lacks(t, "root")) return;
  const { place, names } = await situation(t, { running: ["t3"] });
  await replay(t, place, names, events);
});
