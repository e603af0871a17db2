import type { BridgeNetwork } from "../spec/bridge.js";

/** Who stands in the way of a bridge in iptables, from what `iptables-save -t filter` and the like print. */

export type Hook = "input" | "forward";

/** What a program of iptables' says. */
export interface IptablesListing {
  /** iptables or iptables-legacy. */
  readonly program: string;
  /** null: there are rules, but they could not be read. */
  readonly text: string | null;
}

/** What a chain of the hook gets. `filtersBridged`: what guests send one another, too. */
export function passing(hook: Hook, filtersBridged: boolean): string {
  if (hook === "input") return "what is sent to the host";
  return `what is forwarded${filtersBridged ? ", also from guest to guest (net.bridge.bridge-nf-call-iptables)" : ""}`;
}

/** A line, if the chain of the hook drops by default, or leads to a rule that drops or rejects, and has none that accepts the bridge's. */
export function iptablesObstacles(
  net: BridgeNetwork,
  { program, text }: IptablesListing,
  hook: Hook,
  filtersBridged: boolean,
): readonly string[] {
  if (text === null) return [`the kernel has rules of ${program}, which cannot be read: apt-get install iptables`];
  const lines = text.split("\n").map((line) => line.replace(/ -m comment --comment (?:"(?:\\.|[^"\\])*"|\S+)/, ""));
  const chain = hook === "forward" ? "FORWARD" : "INPUT";
  const has = (name: string): boolean => lines.some((line) => line.startsWith(`:${name} `));
  const wanted = (hook === "forward" ? ["i", "o"] : ["i"]).filter(
    (option) => !lines.includes(`-A ${chain} -${option} ${net.name} -j ACCEPT`),
  );
  const isClosed = lines.some((line) => line.startsWith(`:${chain} DROP `)) || mayDrop(net, lines, chain, new Set());
  if (wanted.length === 0 || !isClosed) return [];
  const key = wanted.length === 1 ? `${wanted[0] ?? ""}ifname` : "both";
  const what = passing(hook, filtersBridged);
  const remedy = iptablesRemedy(net.name, program, chain, key, has);
  return [`the firewall's chain ${chain} of ${program} drops ${what}, unless a rule accepts it: ${remedy}`];
}

/** `seen`: chains on the way, against loops. */
function mayDrop(net: BridgeNetwork, lines: readonly string[], chain: string, seen: Set<string>): boolean {
  if (seen.has(chain)) return false;
  seen.add(chain);
  return lines.some((line) => {
    if (!line.startsWith(`-A ${chain} `) || isForOthers(net, line)) return false;
    const target = / -[jg] (\S+)/.exec(line)?.[1] ?? "";
    return target === "DROP" || target === "REJECT" || mayDrop(net, lines, target, seen);
  });
}

function isForOthers(net: BridgeNetwork, line: string): boolean {
  const links = [...line.matchAll(/(?<!! )-[io] (\S+)/g)].map(([, link = ""]) => link);
  const isOther = (link: string): boolean =>
    link.endsWith("+") ? !net.name.startsWith(link.slice(0, -1)) : link !== net.name;
  return links.some(isOther) || /--(?:ct)?state INVALID /.test(line);
}

/** Commands for a chain of iptables'. `key`: iifname, oifname or both; `has`: is there a chain of that name? */
export function iptablesRemedy(
  name: string,
  program: string,
  chain: string,
  key: string,
  has: (chain: string) => boolean,
): string {
  const isForward = chain === "FORWARD";
  if (has("ufw-user-forward"))
    return isForward ? `ufw route allow in on ${name}; ufw route allow out on ${name}` : `ufw allow in on ${name}`;
  // Docker sets FORWARD up anew, but leaves that one alone.
  const at = isForward && has("DOCKER-USER") ? "DOCKER-USER" : chain;
  const options = [...(key === "oifname" ? [] : ["-i"]), ...(isForward && key !== "iifname" ? ["-o"] : [])];
  return options.map((option) => `${program} -I ${at} ${option} ${name} -j ACCEPT`).join("; ");
}
