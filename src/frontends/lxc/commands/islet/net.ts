import { resolve } from "node:path";
import { IsletError } from "../../../../base/errors.js";
import type { Command } from "../../../../engine/engine.js";
import type { BridgeFinding, BridgeNeed, BridgeStatus } from "../../../../spec/bridge.js";
import { bridgeFiles } from "../../bridge.js";
import { parseLxcNet, type VariableFile } from "../../config/lxc-net.js";
import { readHostFiles } from "../../host-files.js";
import { type Call, jsonText, lxcCommand, outputFormat, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { type Column, tableLines } from "../layout.js";
import { harmless, lookOf, plain, styled } from "../look.js";
import { option } from "../options.js";
import { ownOptions } from "./options.js";

export const netTable: CommandTable = {
  tool: "islet-net",
  synopsis: "[up|down|check|ls] [--config=FILE] [--force] [--format=text|json]",
  description:
    "Makes the bridge lxcbr0, on which containers get addresses, names and the world behind it, takes it away, tries it out, or shows it and who is on it.",
  options: [
    option("config", "the variables of lxc-net (default /etc/default/lxc and /etc/default/lxc-net)", {
      argument: "FILE",
    }),
    option("force", "with down: although interfaces are on it"),
    option("format", "with ls and check: text (default) or json", { argument: "FORMAT", words: ["text", "json"] }),
    ...ownOptions,
  ],
  operands: "any",
  named: false,
  notes: [
    "`up` makes the interface with its address, lets the host forward, starts dnsmasq(8) for DHCP and DNS on it alone, and adds a table of its own to nftables, or rules with the comment `islet lxcbr0` to iptables, where LXC_USE_NFT is false or nft(8) is missing: packets from the bridge's network to others leave with the host's address (NAT). What is there already stays, and what of it is missing is made: `up` mends a bridge whose dnsmasq was killed. The rules are made anew each time, since whoever reloads the host's firewall may have flushed them. Then it tries the bridge out, and tells what keeps guests from using it, and what helps. `start` is another word for it, as is `stop` for `down`.",
    "`check` does on the bridge what a guest does, with a guest and a host beyond made for the moment, and prints a line for each: DHCP (an address is asked for that is refused at once, so nobody gets a lease), DNS, forwarding (a datagram to the host beyond), NAT (it arrives with the host's address) and the way back (its answer). What does not pass is printed with what is probably in the way and what helps; then the exit status is 1. `--format json` prints an array of objects with the members check (dhcp, names, forwarding, nat, answers), passes (null: not tried) and causes.",
    "FILE has lines `NAME=value`, as a shell takes them, without a shell's substitutions: USE_LXC_BRIDGE, LXC_BRIDGE, LXC_BRIDGE_MAC, LXC_ADDR, LXC_NETMASK, LXC_NETWORK, LXC_DHCP_RANGE, LXC_DHCP_MAX, LXC_DHCP_CONFILE, LXC_DHCP_PING, LXC_DOMAIN, LXC_USE_NFT, LXC_IPV6_ADDR, LXC_IPV6_MASK, LXC_IPV6_NETWORK and LXC_IPV6_NAT, with the defaults of lxc-net: lxcbr0, 10.0.3.1/24; and ISLET_HOST_NAMES, with which the host itself knows the containers on the bridge by their names (a block of lines in /etc/hosts). With USE_LXC_BRIDGE=false `up` does nothing.",
    "A start makes the bridge by itself when a container's veth is to be joined with it and it is not there.",
    "`ls`, which is the default, shows the bridges that islet has made, and the running containers of the store (-P) that have an end of an interface on the host: which, on which of these bridges, and the container's addresses. `--format json` prints an object: `bridges` is an array of objects with the members bridge, state (up, down, no dnsmasq, addresses for containers only, no addresses left), ipv4, ipv6, dnsmasqPid and ports; `containers` one of objects with container, hostName, bridge, ipv4 and ipv6.",
    "Nothing that islet has not made is touched: an interface of that name that is there already is an error.",
    "Exit status: 0; 1 on failure, and when `check` finds something that does not pass.",
  ],
};

function readFiles(call: Call): readonly VariableFile[] {
  const given = call.options.value("config");
  if (given === null) return readHostFiles(bridgeFiles());
  const file = resolve(call.caller.cwd, given);
  const found = readHostFiles([file]);
  if (found.length === 0) throw new IsletError("ISLET_IO", `there is no file ${file}`);
  return found;
}

async function up(call: Call): Promise<number> {
  const { network, isWanted } = parseLxcNet(readFiles(call));
  if (!isWanted) {
    call.report.notice("USE_LXC_BRIDGE is false: no bridge is wanted");
    return 0;
  }
  const { warnings } = await call.engine.bridgeUp(network);
  for (const warning of warnings) call.report.notice(warning);
  return 0;
}

async function down(call: Call): Promise<number> {
  const { name } = parseLxcNet(readFiles(call)).network;
  const isForced = call.options.has("force");
  if (!(await call.engine.bridgeDown(name, isForced)))
    throw new IsletError("ISLET_NOT_FOUND", `islet has made no bridge ${name}`);
  return 0;
}

/** What guests need, as an administrator calls it. */
const needs: Readonly<Record<BridgeNeed, string>> = {
  dhcp: "DHCP",
  names: "DNS",
  forwarding: "forwarding",
  nat: "NAT",
  answers: "the way back",
};

function findingLine({ what, passes, causes }: BridgeFinding): string {
  const why = causes.join("; also: ");
  if (passes === null) return `${needs[what]} was not tried: ${why}`;
  return passes ? `${needs[what]} passes` : `${needs[what]} does not pass: ${why}`;
}

async function check(call: Call): Promise<number> {
  const { name } = parseLxcNet(readFiles(call)).network;
  const findings = await call.engine.bridgeCheck(name);
  if (findings === null)
    throw new IsletError("ISLET_NOT_FOUND", `islet has made no bridge ${name}, or it is down`, {
      hint: "islet net up",
    });
  if (outputFormat(call.options) === "json")
    call.session.write(1, jsonText(findings.map(({ what, passes, causes }) => ({ check: what, passes, causes }))));
  else call.session.write(1, findings.map((finding) => `${name}: ${findingLine(finding)}\n`).join(""));
  return findings.some(({ passes }) => passes === false) ? 1 : 0;
}

/** A nic of a running container that has an end on the host. */
interface Joined {
  readonly container: string;
  readonly hostName: string;
  /** null: of none that islet has made. */
  readonly bridge: string | null;
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

async function joinedContainers(call: Call, bridges: readonly BridgeStatus[]): Promise<readonly Joined[]> {
  const { engine, id } = call;
  const bridgeOfPort = new Map(bridges.flatMap(({ network, ports }) => ports.map((port) => [port, network.name])));
  const running = await engine.active(id.storePath);
  const found = await Promise.all(
    running.map(async ({ storePath, name }) => {
      const [links, addresses] = await Promise.all([
        engine.links({ storePath, name }),
        engine.addresses({ storePath, name }),
      ]);
      return links.map(({ hostName }) => ({
        container: name,
        hostName,
        bridge: bridgeOfPort.get(hostName) ?? null,
        ...addresses,
      }));
    }),
  );
  return found.flat();
}

async function ls(call: Call): Promise<number> {
  const bridges = await call.engine.bridges();
  const joined = await joinedContainers(call, bridges);
  if (outputFormat(call.options) === "json") {
    call.session.write(1, jsonText({ bridges: bridges.map(plainRow), containers: joined }));
    return 0;
  }
  const look = lookOf(call.session, 1);
  const bridgeColumns: readonly Column<BridgeStatus>[] = [
    { title: "BRIDGE", rank: 0, cell: ({ network }) => styled("bold", network.name) },
    { title: "STATE", rank: 0, cell: (row) => plain(stateOf(row)) },
    { title: "IPV4", rank: 1, cell: ({ network: { ipv4 } }) => plain(`${ipv4.address}/${ipv4.prefix}`) },
    {
      title: "IPV6",
      rank: 2,
      cell: ({ network: { ipv6 } }) => plain(ipv6 === null ? "" : `${ipv6.address}/${ipv6.prefix}`),
    },
  ];
  const containerColumns: readonly Column<Joined>[] = [
    { title: "CONTAINER", rank: 0, least: 8, cell: ({ container }) => styled("bold", harmless(container, look)) },
    { title: "HOST SIDE", rank: 2, cell: ({ hostName }) => plain(harmless(hostName, look)) },
    { title: "BRIDGE", rank: 1, cell: ({ bridge }) => plain(bridge ?? "") },
    { title: "IPV4", rank: 0, least: 15, cell: ({ ipv4 }) => plain(ipv4.join(", ")) },
    { title: "IPV6", rank: 3, least: 16, cell: ({ ipv6 }) => plain(ipv6.join(", ")) },
  ];
  const tables = [
    ...(bridges.length === 0 ? [] : [tableLines(bridges, bridgeColumns, look)]),
    ...(joined.length === 0 ? [] : [tableLines(joined, containerColumns, look)]),
  ];
  if (tables.length > 0) call.session.write(1, `${tables.map((lines) => lines.join("\n")).join("\n\n")}\n`);
  return 0;
}

const stateOf = ({ isUp, dnsmasqPid, freeFor }: BridgeStatus): string => {
  if (!isUp) return "down";
  if (dnsmasqPid === null) return "no dnsmasq";
  return { all: "up", known: "addresses for containers only", none: "no addresses left" }[freeFor];
};

const plainRow = (row: BridgeStatus): unknown => ({
  bridge: row.network.name,
  state: stateOf(row),
  ipv4: `${row.network.ipv4.address}/${row.network.ipv4.prefix}`,
  ipv6: row.network.ipv6 === null ? null : `${row.network.ipv6.address}/${row.network.ipv6.prefix}`,
  dnsmasqPid: row.dnsmasqPid,
  ports: row.ports,
});

const verbs: Readonly<Record<string, (call: Call) => Promise<number>>> = { up, start: up, down, stop: down, check, ls };

async function body(call: Call): Promise<number> {
  const [verb = "ls", ...rest] = call.operands;
  const run = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (run === undefined || rest.length > 0)
    throw new UsageError(`"${[verb, ...rest].join(" ")}" is none of up, down, check and ls`);
  return await run(call);
}

export const net: Command = lxcCommand(netTable, body, { isOwn: true });
