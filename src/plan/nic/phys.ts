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
import { CLONE_NEWNET, CLONE_PIDFD } from "../../sys/flags.js";
import { parseMac } from "../../sys/ip.js";
import { setLink } from "../../sys/netlink.js";
import type { Slot } from "../../program/ops.js";
import type { NicSpec } from "../../spec/nic.js";
import { signalChild } from "../hooks.js";
import type { NicContext } from "./nic.js";
import { interfaceIndex, openNetSockets, request } from "./netlink.js";

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
  const moved = slot(build, "moved");
  defer(monitor, `return ${nic.link}`, `take ${nic.link} back at the end`, (undo) => {
    const done = label("it is back");
    const result = slot(build, "return.result");
    takeBack(made, undo, nic.link, hostNet, result, null);
    jump(undo, done, "it is back", "eq", result, imm(0));
    jump(undo, done, "it never left", "eq", moved, imm(0));
    // Perhaps the guest gave it another name: its index mostly stays the same.
    takeBack(made, undo, nic.link, hostNet, result, index);
    place(undo, done);
    close(undo, hostNet, "close the host's network namespace");
  });
  const message = setLink({
    index: "late",
    up: false,
    rename: name,
    netnsFd: "late",
    ...(nic.mtu === null ? {} : { mtu: nic.mtu }),
    ...(hwaddr === undefined ? {} : { hwaddr }),
  });
  request(
    monitor,
    sockets,
    message,
    { index, netnsFd: netns },
    `{RTM_SETLINK, ${nic.link} into the container as ${name}}`,
    { note: `move ${nic.link} into the container as ${name}` },
  );
  compute(monitor, moved, "set", imm(1), null, `${nic.link} is the container's now`);
}

/** A process of its own enters the container's network namespace and sends the interface out. `result` is 0 if that worked. */
function takeBack(made: NicContext, undo: Block, link: string, hostNet: Slot, result: Slot, index: Slot | null): void {
  const { name, netns } = made;
  const { build } = made.context;
  const attempt = index === null ? "" : " by its number";
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
      const there = index ?? interfaceIndex(child, own, name, { note: `find ${name} in the container` });
      const message = setLink({ index: "late", up: false, netnsFd: "late", rename: link });
      const late = { index: there, netnsFd: hostNet };
      request(child, own, message, late, `{RTM_SETLINK, ${name} back as ${link}}`, {
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
