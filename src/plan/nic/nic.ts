import { type Block, buffer, call, cwdFd, format, imm, slot } from "../../program/assembler.js";
import { close } from "../../program/calls.js";
import type { Slot } from "../../program/ops.js";
import { setLink } from "../../sys/netlink.js";
import type { NicSpec } from "../../spec/nic.js";
import type { StartFacts } from "../../spec/host.js";
import type { StartContext } from "../context.js";
import { hookArgv, hookEnvironment, runCommand } from "../hooks.js";
import { defer } from "../../program/assembler.js";
import { planGateway } from "./gateway.js";
import { planIpvlan, planMacvlan, planVlan } from "./stacked.js";
import { type NetSockets, interfaceIndex, openNetSockets, request } from "./netlink.js";
import { planPhys } from "./phys.js";
import { planPin } from "./pin.js";
import { checkProxy, planProxy } from "./proxy.js";
import { addAddress, addRouteBy } from "./address.js";
import { planVeth } from "./veth.js";

/** Of a start, or of a nic that is put into a running container. */
export interface NicPlan extends Pick<StartContext, "build" | "monitor"> {
  readonly start: Pick<StartFacts, "random" | "digits" | "linkAddresses">;
}

/** What a nic's planner gets. */
export interface NicContext {
  readonly context: NicPlan;
  readonly nic: NicSpec;
  /** Its name inside the container. */
  readonly name: string;
  readonly sockets: NetSockets;
  /** The container's network namespace. */
  readonly netns: Slot;
  /** Set when an interface of the host's could not be taken back; null: there is none. */
  readonly lost: Slot | null;
}

/** Names inside: those given, and ethN in order for the others (lxc.container.conf(5), NETWORK). */
export function nicNames(nics: readonly NicSpec[]): readonly (string | null)[] {
  const taken = new Set(nics.flatMap((nic) => (nic.name === null ? [] : [nic.name])));
  let next = 0;
  return nics.map((nic) => {
    if (nic.type === "empty") return null;
    if (nic.name !== null) return nic.name;
    while (taken.has(`eth${next}`)) next += 1;
    const name = `eth${next}`;
    next += 1;
    return name;
  });
}

function nicsOf(context: StartContext): readonly NicSpec[] {
  return context.spec.network.kind === "own" ? context.spec.network.nics : [];
}

/** The host's side: makes each nic and puts it into the container, under its name there. */
export function planHostNics(context: StartContext): void {
  const nics = nicsOf(context);
  const real = nics.filter((nic) => nic.type !== "empty");
  if (real.length === 0) {
    for (const nic of nics) runScripts(context, nic, ["empty"]);
    return;
  }
  const { monitor, build, slots } = context;
  const path = buffer(build, 40, '"/proc/PID/ns/net"');
  const netns = slot(build, "netns");
  const sockets = openNetSockets(monitor, "host");
  format(monitor, path, "/proc/%/ns/net", [slots.pid], "write the path of the container's network namespace");
  call(monitor, "openat", [cwdFd, path, imm(0o2000000, "O_RDONLY|O_CLOEXEC"), imm(0)], {
    note: "open the container's network namespace",
    out: netns,
  });
  // Interfaces of the host are taken back through it; what is registered first is undone last.
  const staysOpen = nics.some((nic) => nic.type === "phys");
  let lost: Slot | null = null;
  if (staysOpen) {
    defer(monitor, "close netns", "close the network namespace at the end", (undo) => {
      close(undo, netns, "close the network namespace");
    });
    lost = planPin(context, path);
  }
  const names = nicNames(nics);
  nics.forEach((nic, position) => {
    const name = names[position] ?? null;
    const before = monitor.at;
    monitor.at = nic.at;
    if (name === null) runScripts(context, nic, ["empty"]);
    else planNic(context, { context, nic, name, sockets, netns, lost });
    monitor.at = before;
  });
  close(monitor, sockets.rtnl, "close the netlink socket");
  close(monitor, sockets.ioctl, "close the ioctl socket");
  if (!staysOpen) close(monitor, netns, "close the network namespace");
}

function planNic(context: StartContext, made: NicContext): void {
  const { nic } = made;
  switch (nic.type) {
    case "veth": {
      const proxy = checkProxy(made, nic);
      const near = planVeth(made, nic);
      runScripts(context, nic, ["veth", nic.link ?? "", near], () => {
        planProxy(made, nic, proxy);
      });
      return;
    }
    case "macvlan":
      planMacvlan(made, nic);
      runScripts(context, nic, ["macvlan", nic.link, made.name]);
      return;
    case "ipvlan": {
      const proxy = checkProxy(made, nic);
      planIpvlan(made, nic);
      runScripts(context, nic, ["ipvlan", nic.link, made.name], () => {
        planProxy(made, nic, proxy);
      });
      return;
    }
    case "vlan":
      planVlan(made, nic);
      runScripts(context, nic, ["vlan", nic.link, made.name]);
      return;
    case "phys":
      planPhys(made, nic);
      runScripts(context, nic, ["phys", nic.link]);
      return;
    case "empty":
      return;
    default: {
      const impossible: never = nic;
      throw new Error(String(impossible));
    }
  }
}

/**
 * lxc.net.N.script.up now and script.down at the end, on the host. `between`: what is there when script.up runs and gone when
 * script.down does.
 */
function runScripts(
  context: StartContext,
  nic: NicSpec,
  words: readonly string[],
  between: () => void = () => undefined,
): void {
  const [type = "", parent, peer] = words;
  const command = (script: string, direction: "up" | "down"): Parameters<typeof runCommand>[1] => ({
    name: `script.${direction} of nic ${nic.index}`,
    argv:
      context.spec.hooks.version === 0
        ? hookArgv(context, script, "net", direction, words)
        : hookArgv(context, script, "net", direction, words.slice(0)),
    environment: {
      ...hookEnvironment(context, "net", null),
      ...(context.spec.hooks.version === 1
        ? {
            LXC_HOOK_TYPE: direction,
            LXC_NET_TYPE: type,
            ...(parent === undefined ? {} : { LXC_NET_PARENT: parent }),
            ...(type === "veth" && peer !== undefined ? { LXC_NET_PEER: peer } : {}),
          }
        : {}),
    },
    late: [],
    note: `the network script ${script}`,
    at: nic.at,
  });
  const { scriptUp, scriptDown } = nic;
  if (scriptDown !== null) {
    defer(context.monitor, `script.down of nic ${nic.index}`, `run ${scriptDown} at the end`, (undo) => {
      runCommand(undo, command(scriptDown, "down"), context.slots.hookOutput, "ignore");
    });
  }
  between();
  if (scriptUp !== null) runCommand(context.monitor, command(scriptUp, "up"), context.slots.hookOutput, "fail");
}

/** Inside: addresses, links up, routes. lo comes up when any nic is to be up. */
export function planInsideNics(context: StartContext, child: Block): void {
  const nics = nicsOf(context);
  if (!nics.some((nic) => nic.up || nic.addresses.length > 0)) return;
  const names = nicNames(nics);
  const sockets = openNetSockets(child, "inside");
  if (nics.some((nic) => nic.up)) {
    request(child, sockets, setLink({ index: 1, up: true }), {}, "{RTM_SETLINK, lo, up}", { note: "bring lo up" });
  }
  nics.forEach((nic, position) => {
    const name = names[position] ?? null;
    if (name === null) return;
    child.at = nic.at;
    configureNic(context, child, sockets, nic, name);
  });
  child.at = null;
  close(child, sockets.rtnl, "close the netlink socket");
  close(child, sockets.ioctl, "close the ioctl socket");
}

/** In the container's network namespace: what the nic of that name is to have. */
export function configureNic(context: NicPlan, child: Block, sockets: NetSockets, nic: NicSpec, name: string): void {
  const index = interfaceIndex(child, sockets, name, { note: `find ${name} in the container` });
  for (const address of nic.addresses) {
    addAddress(child, sockets, address, name, index);
  }
  if (nic.up)
    request(child, sockets, setLink({ index: "late", up: true }), { index }, `{RTM_SETLINK, ${name}, up}`, {
      note: `bring ${name} up`,
    });
  planGateway(context, child, sockets, nic, name, index, "ipv4", nic.gateway4);
  planGateway(context, child, sockets, nic, name, index, "ipv6", nic.gateway6);
  for (const route of nic.routes ?? []) addRouteBy(child, sockets, route, name, index, nic.at);
}
