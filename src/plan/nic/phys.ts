import {
  type Block,
  buffer,
  call,
  clone,
  compute,
  cwdFd,
  defer,
  end,
  imm,
  jump,
  label,
  load,
  place,
  slot,
  str,
  wait,
} from "../../program/assembler.js";
import { cloneArguments, close } from "../../program/calls.js";
import { EBUSY } from "../../sys/errno.js";
import { CLONE_NEWNET, CLONE_PIDFD } from "../../sys/flags.js";
import { parseMac } from "../../sys/ip.js";
import { setLink } from "../../sys/netlink.js";
import type { Rule, Slot } from "../../program/ops.js";
import type { NicSpec } from "../../spec/nic.js";
import { signalChild } from "../hooks.js";
import type { NicContext } from "./nic.js";
import { interfaceIndex, openNetSockets, request } from "./netlink.js";

/** Added to the index of an interface whose own is another's in the container. */
export const otherIndex = 0x4000_0000;

/** An interface of the host moves into the container, and comes back under its own name at the end. */
export function planPhys(made: NicContext, nic: Extract<NicSpec, { readonly type: "phys" }>): void {
  const { context, name, sockets, netns } = made;
  const { monitor, build } = context;
  const hwaddr = nic.hwaddr === null ? undefined : parseMac(nic.hwaddr);
  const index = interfaceIndex(monitor, sockets, nic.link, {
    note: `find the interface ${nic.link}`,
    hints: { ENODEV: `there is no interface ${nic.link} on the host; see lxc.net.${nic.index}.link` },
  });
  const hostNet = slot(build, "host.netns");
  call(monitor, "openat", [cwdFd, str(build, "/proc/self/ns/net"), imm(0o2000000, "O_RDONLY|O_CLOEXEC"), imm(0)], {
    note: "open the host's network namespace",
    out: hostNet,
  });
  // Its index inside, by which it is found again whatever the guest calls it, and whatever else the guest calls as it was called; 0: it never left.
  const inside = slot(build, "inside.index");
  defer(monitor, `return ${nic.link}`, `take ${nic.link} back at the end`, (undo) => {
    const done = label("it is back");
    jump(undo, done, "it never left", "eq", inside, imm(0));
    const result = slot(build, "return.result");
    for (const attempt of ["", " once more"]) {
      takeBack(made, undo, nic.link, hostNet, inside, result, attempt);
      jump(undo, done, "it is back", "eq", result, imm(0));
    }
    if (made.lost !== null) compute(undo, made.lost, "set", imm(1), null, `${nic.link} is not back`);
    place(undo, done);
    close(undo, hostNet, "close the host's network namespace");
  });
  const message = setLink({
    index: "late",
    up: false,
    rename: name,
    netnsFd: "late",
    newIndex: "late",
    ...(nic.mtu === null ? {} : { mtu: nic.mtu }),
    ...(hwaddr === undefined ? {} : { hwaddr }),
  });
  const move = (on: readonly Rule[]): void => {
    const show = `{RTM_SETLINK, ${nic.link} into the container as ${name}}`;
    const late = { index, netnsFd: netns, newIndex: inside };
    request(monitor, sockets, message, late, show, { note: `move ${nic.link} into the container as ${name}`, on });
  };
  const taken = label("its index is another's inside");
  const there = label("it is there");
  compute(monitor, inside, "set", index, null, "it keeps its index");
  move([{ on: EBUSY, to: taken }]);
  jump(monitor, there, "it is there", "ne", inside, imm(0));
  place(monitor, taken);
  compute(monitor, inside, "add", index, imm(otherIndex), "it gets an index that nobody has");
  move([]);
  place(monitor, there);
}

/** A process of its own enters the container's network namespace and sends the interface out. `result` is 0 if that worked. */
function takeBack(
  made: NicContext,
  undo: Block,
  link: string,
  hostNet: Slot,
  index: Slot,
  result: Slot,
  attempt: string,
): void {
  const { name, netns } = made;
  const { build } = made.context;
  const after = label("after the attempt");
  const goOn = { on: [{ on: "any" as const, to: "next" as const }] };
  const room = buffer(build, 8, "pidfd");
  const pidfd = slot(build, "return.pidfd");
  compute(undo, result, "set", imm(1), null, "not back yet");
  const args = cloneArguments(undo, BigInt(CLONE_PIDFD), signalChild, room, null);
  clone(
    undo,
    `return of ${link}${attempt}`,
    args,
    { note: `start the return of ${link}${attempt}`, on: [{ on: "any", to: after }] },
    (child) => {
      call(child, "setns", [netns, imm(CLONE_NEWNET, "CLONE_NEWNET")], {
        note: "enter the container's network namespace",
      });
      const own = openNetSockets(child, "return");
      const message = setLink({ index: "late", up: false, netnsFd: "late", rename: link });
      request(child, own, message, { index, netnsFd: hostNet }, `{RTM_SETLINK, ${name} back as ${link}}`, {
        note: `take ${link} back${attempt}`,
      });
      end(child, 0, "it is back");
    },
  );
  load(undo, pidfd, room, 4, "take its pidfd");
  wait(undo, pidfd, false, { note: `wait for the return of ${link}`, out: result, ...goOn });
  call(undo, "close", [pidfd], { note: "close its pidfd", ...goOn });
  place(undo, after);
}
