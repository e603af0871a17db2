import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { test } from "node:test";
import { replay, type Session, type Stage } from "../support/libvirt-replay.js";
import { bring, situation } from "../support/libvirt-situation.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Recorded sessions at consoles, and with descriptors, made again of a daemon: bytes and descriptors are carried. */

/** The recording has what a console shows at first once only. */
const afterPrompt =
  (serial: number) =>
  async ({ line }: Stage): Promise<void> => {
    await waitFor("the prompt", () => line().stream(serial).endsWith("/ # \x1b[6n"));
    line().forget(serial);
  };

const consoles: Session = {
  name: "70-console-stream",
  before: {
    20: afterPrompt(5),
    console_guest_poweroff: async (stage) => {
      await bring(stage, "t3", "off");
      await bring(stage, "t3", "running");
    },
    27: afterPrompt(8),
  },
  machine: {},
  reasons: {},
};

/** In the guest they are where its init finds them. */
const carried =
  (name: string, ...files: readonly string[]) =>
  ({ dom }: Stage): Promise<void> => {
    const { id } = dom(name);
    assert.deepEqual(
      files.map((_, index) => readlinkSync(`/proc/${id}/fd/${3 + index}`)),
      files,
    );
    return Promise.resolve();
  };

const descriptors: Session = {
  name: "80-fd-passing",
  before: {
    enter_ns_off: (stage) => bring(stage, "t3", "off"),
    10: carried("t3", "/etc/passwd", "/etc/group"),
    14: carried("t4", "/etc/passwd"),
  },
  machine: {},
  reasons: {
    'start_passfds DOMAIN_CREATE_WITH_FILES.dom.id: -1, here "id of t3"':
      "it runs by then, and other answers have its id",
  },
};

test("consoles carry what libvirtd carried", async (t) => {
  if (lacks(t, "root")) return;
  const { place, names } = await situation(t, { running: ["t3"] });
  await replay(t, place, names, consoles);
});

test("descriptors are handed over as libvirtd did it", async (t) => {
  if (lacks(t, "root")) return;
  const { place, names } = await situation(t, { running: ["t3"] });
  await replay(t, place, names, descriptors);
});
