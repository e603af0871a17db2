import { call, clone, defer, end, imm, slot, wait, buffer, load, cwdFd, str } from "../../program/assembler.js";
import { cloneArguments, close } from "../../program/calls.js";
import { CLONE_NEWNET, CLONE_PIDFD } from "../../sys/flags.js";
import { parseMac } from "../../sys/ip.js";
import { setLink } from "../../sys/netlink.js";
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
  defer(monitor, `return ${nic.link}`, `take ${nic.link} back at the end`, (undo) => {
    const room = buffer(build, 8, "pidfd");
    const pidfd = slot(build, "return.pidfd");
    clone(
      undo,
      `return of ${nic.link}`,
      cloneArguments(undo, BigInt(CLONE_PIDFD), signalChild, room, null),
      { note: `start the return of ${nic.link}` },
      (child) => {
        call(child, "setns", [netns, imm(CLONE_NEWNET, "CLONE_NEWNET")], {
          note: "enter the container's network namespace",
        });
        const own = openNetSockets(child, "return");
        const there = interfaceIndex(child, own, name, { note: `find ${name} in the container` });
        request(
          child,
          own,
          setLink({ index: "late", up: false, netnsFd: "late", rename: nic.link }),
          { index: there, netnsFd: hostNet },
          `{RTM_SETLINK, ${name} back as ${nic.link}}`,
          { note: `take ${nic.link} back` },
        );
        end(child, 0, "it is back");
      },
    );
    load(undo, pidfd, room, 4, "take its pidfd");
    wait(undo, pidfd, false, { note: `wait for the return of ${nic.link}` });
    close(undo, pidfd, "close its pidfd");
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
}
