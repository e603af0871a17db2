import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ownLink } from "../host/netns.js";
import { findProgram, programOutput } from "../host/run-program.js";
import { findingsOf, findingWarnings, type Situation, type Trial, untriedFindings } from "../network/findings.js";
import { firewallWarnings } from "../network/firewall.js";
import {
  freeAddress,
  freeNetwork,
  parseAddresses,
  parseRoutes,
  parseUplinks,
  rivalsOf,
  testNetworks,
} from "../network/free.js";
import { type BridgeCheck, checkBits, planBridgeCheck } from "../plan/bridge-check.js";
import { decodeRecord, failureError } from "../program/report.js";
import { runHelper } from "../runtime/helper.js";
import type { BridgeFinding, BridgeNetwork } from "../spec/bridge.js";
import type { HostFacts } from "../spec/host.js";
import type { IptablesListing } from "../network/iptables-read.js";
import { parseIpv4 } from "../sys/ip.js";

/** Milliseconds that the trial has: nearly twice what it takes when nobody answers. */
const patience = 6000;
/** Milliseconds that each program has that reads a firewall. */
const readTime = 5000;

export interface Checked {
  readonly network: BridgeNetwork;
  /** Where its dnsmasq writes leases. */
  readonly leases: string;
  /** null: it does not run. */
  readonly dnsmasqPid: number | null;
  /** Whether the bridge's rule for NAT is there. */
  readonly hasNatRule: () => Promise<boolean>;
}

export interface CheckedBridge {
  readonly findings: readonly BridgeFinding[];
  /** What an administrator should know of them: lines. */
  readonly warnings: readonly string[];
}

/** Does on a bridge that is up what guests do, and looks for causes of what does not pass. Leaves nothing. */
export async function checkBridge(host: HostFacts, binary: string, checked: Checked): Promise<CheckedBridge> {
  const { network } = checked;
  const routes = textOf("/proc/net/route");
  const look = (): Promise<Situation> => readSituation(host, checked, routes);
  const trial = await tryOut(host, binary, planOf(host, checked, routes));
  if (typeof trial === "string") {
    const why = `cannot try ${network.name} out: ${trial}`;
    return {
      findings: untriedFindings(trial),
      warnings: [why, ...firewallWarnings(network, (await look()).nft ?? "")],
    };
  }
  const first = findingsOf(network, trial, null);
  const isWell = first.every(({ passes }) => passes !== false);
  if (isWell && network.ipv6 === null) return { findings: first, warnings: [] };
  const situation = await look();
  const findings = findingsOf(network, trial, situation);
  // IPv6 is not tried: its rules are read.
  const unread = network.ipv6 === null ? [] : firewallWarnings(network, situation.nft ?? "", ["ip6"]);
  return { findings, warnings: [...findingWarnings(network, findings), ...unread] };
}

function planOf(host: HostFacts, { network, leases }: Checked, routes: string): BridgeCheck {
  const beyond = freeNetwork(network, [...parseRoutes(routes), ...parseAddresses(textOf("/proc/net/fib_trie"))]);
  return {
    bridge: network.name,
    gateway: bytesOf(network.ipv4.address),
    prefix: network.ipv4.prefix,
    mtu: ownLink(host.arch, network.name)?.mtu ?? 1500,
    guest: freeAddress(network, textOf(leases), textOf("/proc/net/arp")),
    beyond,
    foreign: beyond ?? bytesOf(testNetworks[0]),
    random: randomBytes(8),
  };
}

function bytesOf(address: string): Uint8Array {
  const bytes = parseIpv4(address);
  if (bytes === undefined) throw new IsletError("ISLET_BAD_CONFIG", `"${address}" is no address`);
  return bytes;
}

/** A text: why it could not be done. */
async function tryOut(host: HostFacts, binary: string, wanted: BridgeCheck): Promise<Trial | string> {
  const program = planBridgeCheck(wanted, host);
  const result = await runHelper(host.arch, binary, program, [], patience);
  if (result.kind === "done") return trialOf(wanted, result.result);
  const record = result.kind === "failed" ? decodeRecord(result.record) : null;
  return record === null
    ? `it took longer than ${patience / 1000} s`
    : failureError(program, record, "ISLET_OPERATION_FAILED").message;
}

function trialOf({ guest, beyond }: BridgeCheck, bits: number): Trial {
  const has = (bit: number): boolean => (bits & bit) !== 0;
  const isTaken = has(checkBits.taken) ? "somebody has the address that was chosen" : null;
  return {
    passed: {
      dhcp: has(checkBits.dhcp),
      names: has(checkBits.dns),
      forwarding: has(checkBits.forward),
      nat: has(checkBits.nat),
      answers: has(checkBits.answer),
    },
    noGuest: guest === null ? "no address of the range is free" : isTaken,
    noBeyond: beyond === null ? "the host uses all networks for documentation (RFC 5737)" : null,
  };
}

async function readSituation(
  host: HostFacts,
  { network, dnsmasqPid, hasNatRule }: Checked,
  routes: string,
): Promise<Situation> {
  const printed = async (name: string, words: readonly string[]): Promise<string | null> => {
    const program = findProgram(name);
    return program === null ? null : await programOutput(host.arch, program, words, readTime);
  };
  const hasLegacy = textOf("/proc/net/ip_tables_names").split("\n").includes("filter");
  const stat = dnsmasqPid === null ? "" : textOf(`/proc/${dnsmasqPid}/stat`);
  const isOn = (path: string): boolean => textOf(`/proc/sys/net/${path}`).trim() === "1";
  const switches = ["ipv4/ip_forward", `ipv4/conf/${network.name}/forwarding`];
  const closed = switches.find((path) => !isOn(path)) ?? null;
  const nft = await printed("nft", ["-j", "-t", "list", "ruleset"]);
  const iptables: IptablesListing[] = [];
  if (hasLegacy)
    iptables.push({ program: "iptables-legacy", text: await printed("iptables-legacy-save", ["-t", "filter"]) });
  const seen = nft === null ? await printed("iptables-nft-save", ["-t", "filter"]) : null;
  if (seen !== null) iptables.push({ program: "iptables", text: seen });
  return {
    nft,
    iptables,
    dnsmasq: dnsmasqPid === null ? null : { pid: dnsmasqPid, isStopped: /\) [Tt] /.test(stat) },
    // With slashes a name may have dots in it (sysctl(8)).
    closedBy: closed === null ? null : `net/${closed}`,
    filtersBridged: isOn("bridge/bridge-nf-call-iptables"),
    uplinks: parseUplinks(routes),
    rivals: rivalsOf(network, parseRoutes(routes)),
    hasNatRule: await hasNatRule(),
  };
}

/** "" when it is not there. */
function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
