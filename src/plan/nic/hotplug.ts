import {
  beginProgram,
  buffer,
  call,
  clone,
  cwdFd,
  end,
  finishProgram,
  imm,
  load,
  presetSlot,
  slot,
  str,
  wait,
} from "../../program/assembler.js";
import { cloneArguments } from "../../program/calls.js";
import type { LaunchProgram } from "../../program/ops.js";
import { CLONE_NEWNET, CLONE_PIDFD } from "../../sys/flags.js";
import { setLink } from "../../sys/netlink.js";
import type { HostFacts } from "../../spec/host.js";
import { signalChild } from "../hooks.js";
import { interfaceIndex, openNetSockets, request } from "./netlink.js";

const moveHints = {
  EINVAL: "this kind of interface cannot change its network namespace",
  EEXIST: "an interface of that name is there already",
} as const;

/** Moves an interface of the caller's into a running container, where it is down (rtnetlink(7)). Preset: the container's network namespace. */
export function planInterfaceIn(name: string, inside: string, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const netns = presetSlot(client.build, "netns");
  const sockets = openNetSockets(client, "client");
  const index = interfaceIndex(client, sockets, name, { note: `find the interface ${name}` });
  const message = setLink({ index: "late", up: false, rename: inside, netnsFd: "late" });
  request(client, sockets, message, { index, netnsFd: netns }, `{RTM_SETLINK, ${name} as ${inside}}`, {
    note: `move ${name} into the container as ${inside}`,
    hints: moveHints,
  });
  end(client, 0, "it is there");
  return finishProgram(client.build);
}

/** Takes an interface out of a running container into the caller's network namespace: a process enters the container's and sends it. */
export function planInterfaceOut(name: string, outside: string, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const netns = presetSlot(build, "netns");
  const own = slot(build, "own.netns");
  const room = buffer(build, 8, "pidfd");
  const pidfd = slot(build, "sender.pidfd");
  call(client, "openat", [cwdFd, str(build, "/proc/self/ns/net"), imm(0o2000000, "O_RDONLY|O_CLOEXEC"), imm(0)], {
    note: "open the caller's network namespace",
    out: own,
  });
  const args = cloneArguments(client, BigInt(CLONE_PIDFD), signalChild, room, null);
  clone(client, `sender of ${name}`, args, { note: `start the sender of ${name}` }, (child) => {
    call(child, "setns", [netns, imm(CLONE_NEWNET, "CLONE_NEWNET")], {
      note: "enter the container's network namespace",
    });
    const sockets = openNetSockets(child, "sender");
    const index = interfaceIndex(child, sockets, name, { note: `find ${name} in the container` });
    const message = setLink({ index: "late", up: false, rename: outside, netnsFd: "late" });
    request(child, sockets, message, { index, netnsFd: own }, `{RTM_SETLINK, ${name} as ${outside}}`, {
      note: `move ${name} out of the container as ${outside}`,
      hints: moveHints,
    });
    end(child, 0, "it is out");
  });
  load(client, pidfd, room, 4, "take its pidfd");
  wait(client, pidfd, true, { note: `wait for the sender of ${name}` });
  end(client, 0, "it is out");
  return finishProgram(build);
}
