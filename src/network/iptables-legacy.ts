import type { BridgeNetwork } from "../spec/bridge.js";
import { type Hook, iptablesRemedy } from "./firewall.js";

/** Who stands in the way of a bridge in the older of the kernel's firewalls, from what `iptables-legacy-save -t filter` prints. */

/** A line, if the chain of the hook drops by default, or leads to a rule that drops or rejects. `text` null: there are rules that nobody could read. */
export function legacyObstacles(net: BridgeNetwork, text: string | null, hook: Hook): readonly string[] {
  if (text === null) return ["the kernel has rules of iptables-legacy, which cannot be read: apt-get install iptables"];
  const lines = text.split("\n");
  const chain = hook === "forward" ? "FORWARD" : "INPUT";
  const has = (name: string): boolean => lines.some((line) => line.startsWith(`:${name} `));
  const wanted = (hook === "forward" ? ["i", "o"] : ["i"]).filter(
    (option) => !lines.includes(`-A ${chain} -${option} ${net.name} -j ACCEPT`),
  );
  const isClosed = lines.some((line) => line.startsWith(`:${chain} DROP `)) || mayDrop(net, lines, chain, new Set());
  if (wanted.length === 0 || !isClosed) return [];
  const key = wanted.length === 1 ? `${wanted[0] ?? ""}ifname` : "both";
  const what = hook === "forward" ? "what is forwarded" : "what is sent to the host";
  const remedy = iptablesRemedy(net.name, "iptables-legacy", chain, key, has);
  return [`the firewall's chain ${chain} of iptables-legacy drops ${what}, unless a rule accepts it: ${remedy}`];
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
