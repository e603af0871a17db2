import type { BridgeNetwork } from "../spec/bridge.js";
import { type Hook, iptablesRemedy, passing } from "./iptables-read.js";
import { tableOf } from "./nftables.js";

/** Who else in this host's nftables stands in the way of a bridge, from what `nft -j list ruleset` prints (libnftables-json(5)). */

/** A base chain of one of these hooks. */
interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: Hook;
  readonly drops: boolean;
}

interface Rule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly unknown[];
}

interface Listing {
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
  /** FAMILY TABLE NAME of every chain. */
  readonly names: ReadonlySet<string>;
}

/**
 * A line for each chain that drops what no rule of its accepts, has none for the bridge, and so takes the guests' way to their addresses
 * (input) or to the world (forward); with what helps. What cannot be read says nothing.
 */
export function firewallWarnings(
  net: BridgeNetwork,
  listing: string,
  families: readonly string[] = net.ipv6 === null ? ["inet", "ip"] : ["inet", "ip", "ip6"],
): readonly string[] {
  const read = parseListing(listing);
  return read.chains.flatMap((chain) => {
    if (!chain.drops || isOurs(net, chain) || !families.includes(chain.family)) return [];
    const wanted = missingKeys(net, chain, read);
    if (wanted.length === 0) return [];
    const { place, what, remedy } = inWords(net, chain, wanted, read, false);
    return [
      `the firewall's chain ${place} drops ${what} from guests on ${net.name}, unless a rule accepts it: ${remedy}`,
    ];
  });
}

/**
 * What does not pass over IPv4 although it should: the chains that drop by default, as above, and those that lead to a rule that drops or
 * rejects, unless that looks at other interfaces or at what belongs to no connection. A line each.
 */
export function nftObstacles(
  net: BridgeNetwork,
  listing: string,
  hook: Hook,
  filtersBridged: boolean,
): readonly string[] {
  const read = parseListing(listing);
  return read.chains.flatMap((chain) => {
    if (chain.hook !== hook || isOurs(net, chain) || !["inet", "ip"].includes(chain.family)) return [];
    const wanted = missingKeys(net, chain, read);
    if (wanted.length === 0 || !(chain.drops || mayDrop(net, chain, chain.name, read, new Set()))) return [];
    const { place, what, remedy } = inWords(net, chain, wanted, read, filtersBridged);
    return [`the firewall's chain ${place} drops ${what}, unless a rule accepts it: ${remedy}`];
  });
}

/**
 * A link of these that a rule names which accepts what is forwarded to it from the bridge (`oifname`), or from it (`iifname`); null: there is
 * no such rule. Of such chains nobody knows without that link what they do.
 */
export function acceptedByName(
  net: BridgeNetwork,
  listing: string,
  key: "iifname" | "oifname",
  links: readonly string[],
): string | null {
  const { chains, rules } = parseListing(listing);
  const places = chains
    .filter((chain) => chain.hook === "forward" && !isOurs(net, chain) && ["inet", "ip"].includes(chain.family))
    .map(({ family, table }) => `${family} ${table}`);
  const other = key === "oifname" ? "iifname" : "oifname";
  const accepting = rules.filter(
    ({ family, table, expr }) =>
      places.includes(`${family} ${table}`) && expr.some((each) => isRecord(each) && "accept" in each),
  );
  const isFor = (expr: readonly unknown[], link: string): boolean => {
    const matches = expr.filter(isRecord).map(({ match }) => match);
    const isAbout = (match: unknown, one: string): boolean =>
      isRecord(match) &&
      isRecord(match["left"]) &&
      isRecord(match["left"]["meta"]) &&
      match["left"]["meta"]["key"] === one;
    const others = matches.filter((match) => isAbout(match, other));
    return (
      matches.some((match) => isMatch(match, key, link)) && others.every((match) => isMatch(match, other, net.name))
    );
  };
  return links.find((link) => accepting.some(({ expr }) => isFor(expr, link))) ?? null;
}

const isOurs = (net: BridgeNetwork, { table }: Chain): boolean => table === tableOf(net.name);

/** What packets of the bridge's could be known by and are not. */
function missingKeys(net: BridgeNetwork, chain: Chain, { rules }: Listing): readonly string[] {
  const own = rulesOf(rules, chain, chain.name);
  return (chain.hook === "forward" ? ["iifname", "oifname"] : ["iifname"]).filter(
    (key) => !own.some(({ expr }) => acceptsFor(expr, key, net.name)),
  );
}

const rulesOf = (rules: readonly Rule[], { family, table }: Chain, name: string): readonly Rule[] =>
  rules.filter((rule) => rule.family === family && rule.table === table && rule.chain === name);

function inWords(
  { name }: BridgeNetwork,
  chain: Chain,
  keys: readonly string[],
  { names }: Listing,
  filtersBridged: boolean,
): { readonly place: string; readonly what: string; readonly remedy: string } {
  const place = `${chain.family} ${chain.table} ${chain.name}`;
  const what = passing(chain.hook, filtersBridged);
  const has = (other: string): boolean => names.has(`${chain.family} ${chain.table} ${other}`);
  const remedy = (): string => {
    if (chain.table === "firewalld") return `firewall-cmd --zone=trusted --add-interface=${name}`;
    // Capitals: made by iptables, which is not to find rules that it does not understand.
    if (chain.table === "filter" && /^[A-Z]+$/.test(chain.name))
      return iptablesRemedy(name, "iptables", chain.name, keys.length === 1 ? (keys[0] ?? "") : "both", has);
    return keys.map((key) => `nft insert rule ${place} ${key} ${name} accept`).join("; ");
  };
  return { place, what, remedy: remedy() };
}

/** `seen`: chains on the way, against loops. */
function mayDrop(net: BridgeNetwork, base: Chain, name: string, listing: Listing, seen: Set<string>): boolean {
  if (seen.has(name)) return false;
  seen.add(name);
  return rulesOf(listing.rules, base, name).some(({ expr }) => {
    if (isForOthers(net, expr)) return false;
    return expr.filter(isRecord).some((each) => {
      if ("drop" in each || "reject" in each) return true;
      const { xt } = each;
      if (isRecord(xt) && xt["type"] === "target") return xt["name"] === "REJECT";
      const way = each["jump"] ?? each["goto"];
      return isRecord(way) && mayDrop(net, base, String(way["target"]), listing, seen);
    });
  });
}

/** A rule for other interfaces, or for what belongs to no connection. */
function isForOthers(net: BridgeNetwork, expr: readonly unknown[]): boolean {
  return expr.filter(isRecord).some(({ match, xt }) => {
    if (isRecord(xt)) return xt["type"] === "match" && xt["name"] === "conntrack";
    if (!isRecord(match) || !isRecord(match["left"])) return false;
    const { ct, meta } = match["left"];
    if (isRecord(ct) && ct["key"] === "state") return match["right"] === "invalid";
    const key = isRecord(meta) ? String(meta["key"]) : "";
    return ["iifname", "oifname"].includes(key) && match["op"] === "==" && !isMatch(match, key, net.name);
  });
}

/** Whether the rule is there that gives what guests send the host's address. */
export function hasNat(net: BridgeNetwork, listing: string): boolean {
  return parseListing(listing).rules.some(
    ({ table, expr }) => table === tableOf(net.name) && expr.some((each) => isRecord(each) && "masquerade" in each),
  );
}

function parseListing(listing: string): Listing {
  const chains: Chain[] = [];
  const rules: Rule[] = [];
  const names = new Set<string>();
  for (const { chain, rule } of itemsOf(listing)) {
    if (isRecord(chain)) {
      const { family, table, name } = textsOf(chain);
      names.add(`${family} ${table} ${name}`);
      if (chain["hook"] === "input" || chain["hook"] === "forward")
        chains.push({ family, table, name, hook: chain["hook"], drops: chain["policy"] === "drop" });
    }
    if (isRecord(rule) && Array.isArray(rule["expr"])) {
      const { family, table } = textsOf(rule);
      rules.push({ family, table, chain: String(rule["chain"]), expr: rule["expr"] });
    }
  }
  return { chains, rules, names };
}

const textsOf = (item: Readonly<Record<string, unknown>>): Pick<Chain, "family" | "table" | "name"> => ({
  family: String(item["family"]),
  table: String(item["table"]),
  name: String(item["name"]),
});

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
  let isForBridge = false;
  for (const each of expr) {
    if (!isRecord(each)) return false;
    if ("match" in each) {
      if (!isMatch(each["match"], key, name)) return false;
      isForBridge = true;
    } else if (!("counter" in each) && !("accept" in each) && !isComment(each["xt"])) return false;
  }
  return isForBridge && expr.some((each) => isRecord(each) && "accept" in each);
}

const isComment = (xt: unknown): boolean => isRecord(xt) && xt["type"] === "match" && xt["name"] === "comment";

function isMatch(match: unknown, key: string, name: string): boolean {
  if (!isRecord(match) || match["op"] !== "==" || !isRecord(match["left"]) || !isRecord(match["left"]["meta"]))
    return false;
  const { right } = match;
  const pattern = typeof right === "string" ? right : "";
  const isSame = pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
  return match["left"]["meta"]["key"] === key && isSame;
}
