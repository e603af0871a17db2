import {
  type Block,
  blob,
  buffer,
  call,
  clone,
  end,
  imm,
  load,
  slot,
  store,
  wait,
  within,
} from "../program/assembler.js";
import { cloneArguments, close } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { CLONE_INTO_CGROUP, CLONE_PIDFD } from "../sys/flags.js";
import { receiveMessage, sendMessage } from "../sys/structs.js";
import type { StartContext } from "./context.js";
import { signalChild } from "./hooks.js";
import { guideIntoShared } from "./namespace.js";

/**
 * A process between monitor and main process, for a container that shares a user namespace: it enters that one and makes the main process
 * there, as a child of the monitor's, and ends. `finish`: it hands the main process's pid and pidfd to the monitor.
 */
export function beginGuide(
  context: StartContext,
  unifiedFd: Slot | null,
): { readonly block: Block; readonly finish: () => void } {
  const { monitor, build, slots } = context;
  const room = buffer(build, 8, "guide.pidfd");
  const pidfd = slot(build, "guide.pidfd");
  const flags = BigInt(CLONE_PIDFD) | (unifiedFd === null ? 0n : CLONE_INTO_CGROUP);
  const args = cloneArguments(monitor, flags, signalChild, room, unifiedFd);
  const made: { block: Block | null } = { block: null };
  clone(monitor, "guide", args, { note: "clone the guide into the shared user namespace" }, (guide) => {
    made.block = guide;
    guideIntoShared(context, guide);
  });
  load(monitor, pidfd, room, 4, "take the guide's pidfd");
  const block = made.block;
  if (block === null) throw new TypeError("clone calls its body");
  return {
    block,
    finish: () => {
      const out = sendMessage(new Uint8Array(4), 1);
      const sent = blob(build, out, "{init, init.pidfd}");
      store(block, slots.pid, within(sent, out.dataAt, 4), 4, "put the pid into the message");
      store(block, slots.pidfd, within(sent, out.fdAt[0] ?? 0, 4), 4, "put the pidfd into the message");
      call(block, "sendmsg", [slots.childSync, sent, imm(0)], { note: "hand the main process to the monitor" });
      end(block, 0, "the guide has done its work");
      wait(monitor, pidfd, true, { note: "wait for the guide" });
      close(monitor, pidfd, "close the guide's pidfd");
      const into = receiveMessage(4, 1);
      const received = blob(build, into, "{init, init.pidfd}");
      call(monitor, "recvmsg", [slots.sync, received, imm(0x40000000, "MSG_CMSG_CLOEXEC")], {
        note: "take the main process from the guide",
      });
      load(monitor, slots.pid, within(received, into.dataAt, 4), 4, "take its pid");
      load(monitor, slots.pidfd, within(received, into.fdAt[0] ?? 0, 4), 4, "take its pidfd");
    },
  };
}
