import {
  type Block,
  beginProgram,
  buffer,
  call,
  clone,
  end,
  finishProgram,
  imm,
  load,
  presetSlot,
  slot,
  wait,
} from "../../program/assembler.js";
import { cloneArguments } from "../../program/calls.js";
import type { LaunchProgram, Slot } from "../../program/ops.js";
import type { HostFacts, StartFacts } from "../../spec/host.js";
import type { NicSpec } from "../../spec/nic.js";
import { ENODEV } from "../../sys/errno.js";
import { CLONE_NEWNET, CLONE_PIDFD } from "../../sys/flags.js";
import { delLink } from "../../sys/netlink.js";
import { signalChild } from "../hooks.js";
import { configureNic, type NicContext } from "./nic.js";
import { deferRequest, openNetSockets } from "./netlink.js";
import { planMacvlan } from "./stacked.js";
import { planVeth } from "./veth.js";

/** Nics that a running container can be given. */
export type LiveNic = Extract<NicSpec, { readonly type: "veth" | "macvlan" }>;

/**
 * Makes a nic for a running container, with the addresses and routes that it is to have inside. One process makes it, another one configures it in
 * the container's network namespace: when either fails, what there is of it is taken away. Preset: that namespace. `name`: inside.
 */
export function planLiveNic(
  nic: LiveNic,
  name: string,
  start: Pick<StartFacts, "random" | "digits" | "linkAddresses">,
  host: HostFacts,
): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const netns = presetSlot(build, "netns");
  inChild(client, `maker of ${name}`, (maker) => {
    const context = { build, monitor: maker, start };
    const sockets = openNetSockets(maker, "host");
    const made: NicContext = { context, nic, name, sockets, netns, lost: null };
    if (nic.type === "veth") planVeth(made, nic);
    else planMacvlan(made, nic);
    inChild(maker, `configuration of ${name}`, (inside) => {
      call(inside, "setns", [netns, imm(CLONE_NEWNET, "CLONE_NEWNET")], {
        note: "enter the container's network namespace",
      });
      deferRequest(inside, delLink({ name }), {}, `{RTM_DELLINK, ${name}}`, `remove ${name}`, [ENODEV]);
      configureNic(context, inside, openNetSockets(inside, "inside"), nic, name);
    });
  });
  end(client, 0, "it is there");
  return finishProgram(build);
}

/** What the child has deferred is for its failure alone: it leaves without it otherwise. */
function inChild(block: Block, name: string, body: (child: Block) => void): void {
  const { build } = block;
  const room = buffer(build, 8, "pidfd");
  const pidfd: Slot = slot(build, `${name}.pidfd`);
  const args = cloneArguments(block, BigInt(CLONE_PIDFD), signalChild, room, null);
  clone(block, name, args, { note: `start the ${name}` }, (child) => {
    body(child);
    call(child, "exit_group", [imm(0)], { note: "leave it so" });
    end(child, 0, "it is there");
  });
  load(block, pidfd, room, 4, "take its pidfd");
  wait(block, pidfd, true, { note: `wait for the ${name}` });
}
