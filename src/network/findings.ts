import type { BridgeFinding, BridgeNeed, BridgeNetwork } from "../spec/bridge.js";
import { acceptedByName, nftObstacles } from "./firewall.js";
import { type Hook, type IptablesListing, iptablesObstacles } from "./iptables-read.js";

/** What a trial of a bridge means, and what of the host's settings and rules explains it. */

/** What was tried and what passed. */
export interface Trial {
  readonly passed: Readonly<Record<BridgeNeed, boolean>>;
  /** Why a guest could not be played whole: it got no further than DHCP; null: it could. */
  readonly noGuest: string | null;
  /** Why nobody beyond the host was spoken to; null: somebody was. */
  readonly noBeyond: string | null;
}

/** What was looked at. */
export interface Situation {
  /** As `nft -j list ruleset` prints it; null: it could not be read. */
  readonly nft: string | null;
  /** Of iptables, where nft does not show its rules. */
  readonly iptables: readonly IptablesListing[];
  /** null: it does not run. */
  readonly dnsmasq: { readonly pid: number; readonly isStopped: boolean } | null;
  /** The sysctl that keeps the host from forwarding, as sysctl(8) takes it; null: there is none. */
  readonly closedBy: string | null;
  /** Packets from guest to guest meet iptables' rules for what is forwarded, too (net.bridge.bridge-nf-call-iptables). */
  readonly filtersBridged: boolean;
  /** Interfaces of the host's default routes. */
  readonly uplinks: readonly string[];
  /** Other interfaces with routes into the bridge's network. */
  readonly rivals: readonly string[];
  /** The bridge's own rule for NAT is there. */
  readonly hasNatRule: boolean;
}

const needs: readonly BridgeNeed[] = ["dhcp", "names", "forwarding", "nat", "answers"];

/** `situation` null: nothing was looked at. */
export function findingsOf(net: BridgeNetwork, trial: Trial, situation: Situation | null): readonly BridgeFinding[] {
  return needs.map((what) => {
    const why = whyUntried(what, trial);
    if (why !== null) return { what, passes: null, causes: [why] };
    if (trial.passed[what]) return { what, passes: true, causes: [] };
    if (situation === null) return { what, passes: false, causes: [] };
    const settings = settingsInTheWay(net, what, situation);
    const uplink = settings.length === 0 ? uplinkByName(net, what, situation) : null;
    if (uplink !== null)
      return { what, passes: null, causes: [`rules name ${uplink}, and the trial has no part in it`] };
    return { what, passes: false, causes: causesOf(net, what, situation, settings) };
  });
}

/** The uplink that rules let pass by its name: what they do with the trial's interface says nothing. */
function uplinkByName(net: BridgeNetwork, what: BridgeNeed, { nft, uplinks }: Situation): string | null {
  if (nft === null || (what !== "forwarding" && what !== "answers")) return null;
  return acceptedByName(net, nft, what === "forwarding" ? "oifname" : "iifname", uplinks);
}

export const untriedFindings = (why: string): readonly BridgeFinding[] =>
  needs.map((what) => ({ what, passes: null, causes: [why] }));

function whyUntried(what: BridgeNeed, { noGuest, noBeyond, passed }: Trial): string | null {
  if (what === "dhcp") return null;
  if (noGuest !== null || what === "names") return noGuest;
  if (noBeyond !== null || what === "forwarding") return noBeyond;
  if (!passed.forwarding) return "nothing is forwarded";
  return what === "answers" && !passed.nat ? "there is no NAT" : null;
}

function causesOf(
  net: BridgeNetwork,
  what: BridgeNeed,
  { nft, iptables, filtersBridged }: Situation,
  settings: readonly string[],
): readonly string[] {
  const causes = [...settings];
  const hook = hookOf(what);
  if (hook !== null) {
    if (nft !== null) causes.push(...nftObstacles(net, nft, hook, filtersBridged));
    for (const listing of iptables) causes.push(...iptablesObstacles(net, listing, hook, filtersBridged));
  }
  return causes.length > 0 ? causes : [`the cause was not found; ${whereToLook(net, what)}`];
}

function hookOf(what: BridgeNeed): Hook | null {
  if (what === "nat") return null;
  return what === "dhcp" || what === "names" ? "input" : "forward";
}

function settingsInTheWay(net: BridgeNetwork, what: BridgeNeed, situation: Situation): readonly string[] {
  const { dnsmasq, closedBy, rivals, hasNatRule } = situation;
  const { network } = net.ipv4;
  switch (what) {
    case "dhcp":
    case "names":
      if (dnsmasq === null) return ["dnsmasq does not run: islet net up"];
      return dnsmasq.isStopped ? [`dnsmasq is stopped: kill -CONT ${dnsmasq.pid}`] : [];
    case "forwarding":
    case "answers":
      return [
        ...(closedBy === null ? [] : [`the host does not forward: sysctl -w ${closedBy}=1`]),
        ...rivals.map(
          (link) =>
            `${link} has a route into ${network.address}/${network.prefix}, too: give the bridge another network`,
        ),
      ];
    case "nat":
      return hasNatRule ? [] : ["the bridge's rule for it is gone: islet net up"];
    default: {
      const impossible: never = what;
      return impossible;
    }
  }
}

function whereToLook(net: BridgeNetwork, what: BridgeNeed): string {
  const { confFile } = net.ipv4.dhcp;
  if (what !== "dhcp" && what !== "names") return "see nft list ruleset, ip rule and ip route";
  return `see journalctl -t dnsmasq -t dnsmasq-dhcp, nft list ruleset${confFile === null ? "" : ` and ${confFile}`}`;
}

/** What becomes of the guests. */
const symptoms: Readonly<Record<BridgeNeed, string>> = {
  dhcp: "get no address by DHCP",
  names: "get no answer by DNS",
  forwarding: "reach nobody beyond the host",
  nat: "have their own addresses beyond the host, to which nobody answers (no NAT)",
  answers: "get no answer from beyond the host",
};

/** A line for each cause of what does not pass. */
export function findingWarnings(net: BridgeNetwork, findings: readonly BridgeFinding[]): readonly string[] {
  const byCause = new Map<string, string[]>();
  for (const { what, passes, causes } of findings)
    if (passes === false)
      for (const cause of causes) byCause.set(cause, [...(byCause.get(cause) ?? []), symptoms[what]]);
  return [...byCause].map(([cause, all]) => `guests on ${net.name} ${all.join(" and ")}: ${cause}`);
}
