import type { BridgeNetwork } from "../spec/bridge.js";
import { tableOf } from "./nftables.js";

/** Who else in this host's nftables stands in the way of a bridge, from what `nft -j list ruleset` prints (libnftables-json(5)). */

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string;
}

interface Rule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly unknown[];
}

const families = (net: BridgeNetwork): readonly string[] =>
  net.ipv6 === null ? ["inet", "ip"] : ["inet", "ip", "ip6"];

/**
 * A line for each chain that drops what no rule of its accepts, has none for the bridge, and so takes the guests' way to their addresses
 * (input) or to the world (forward); with what helps. What cannot be read says nothing.
 */
export function firewallWarnings(net: BridgeNetwork, listing: string): readonly string[] {
  const { chains, rules } = parseListing(listing);
  return chains.flatMap((chain) => {
    if (!families(net).includes(chain.family) || chain.table === tableOf(net.name)) return [];
    const own = rules.filter(
      ({ family, table, chain: name }) => family === chain.family && table === chain.table && name === chain.name,
    );
    const wanted = (chain.hook === "forward" ? ["iifname", "oifname"] : ["iifname"]).filter(
      (key) => !own.some(({ expr }) => acceptsFor(expr, key, net.name)),
    );
    if (wanted.length === 0) return [];
    const what = chain.hook === "forward" ? "what is forwarded" : "what is sent to the host";
    const place = `${chain.family} ${chain.table} ${chain.name}`;
    const remedy = wanted.map((key) => `nft insert rule ${place} ${key} ${net.name} accept`).join("; ");
    return [
      `the firewall's chain ${place} drops ${what} from guests on ${net.name}, unless a rule accepts it: ${remedy}`,
    ];
  });
}

function parseListing(listing: string): { readonly chains: readonly Chain[]; readonly rules: readonly Rule[] } {
  const chains: Chain[] = [];
  const rules: Rule[] = [];
  for (const item of itemsOf(listing)) {
    const { chain, rule } = item;
    if (isRecord(chain) && chain["policy"] === "drop" && (chain["hook"] === "input" || chain["hook"] === "forward"))
      chains.push({
        family: String(chain["family"]),
        table: String(chain["table"]),
        name: String(chain["name"]),
        hook: chain["hook"],
      });
    if (isRecord(rule) && Array.isArray(rule["expr"]))
      rules.push({
        family: String(rule["family"]),
        table: String(rule["table"]),
        chain: String(rule["chain"]),
        expr: rule["expr"],
      });
  }
  return { chains, rules };
}

function itemsOf(listing: string): readonly { readonly chain?: unknown; readonly rule?: unknown }[] {
  let value: unknown;
  try {
    value = JSON.parse(listing);
  } catch {
    return [];
  }
  const items = isRecord(value) ? value["nftables"] : null;
  return Array.isArray(items) ? items.filter(isRecord) : [];
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A rule that looks at the interface and perhaps counts, nothing else, and accepts. */
function acceptsFor(expr: readonly unknown[], key: string, name: string): boolean {
  let isOurs = false;
  for (const each of expr) {
    if (!isRecord(each)) return false;
    if ("match" in each) {
      if (!isMatch(each["match"], key, name)) return false;
      isOurs = true;
    } else if (!("counter" in each) && !("accept" in each)) return false;
  }
  return isOurs && expr.some((each) => isRecord(each) && "accept" in each);
}

function isMatch(match: unknown, key: string, name: string): boolean {
  if (!isRecord(match) || match["op"] !== "==" || !isRecord(match["left"]) || !isRecord(match["left"]["meta"]))
    return false;
  const { right } = match;
  const pattern = typeof right === "string" ? right : "";
  const isSame = pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
  return match["left"]["meta"]["key"] === key && isSame;
}
