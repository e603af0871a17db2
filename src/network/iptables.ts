import type { BridgeNetwork, BridgeSubnet } from "../spec/bridge.js";

/**
 * What a bridge needs of the firewall, as iptables-restore(8) and ip6tables-restore(8) read it with --noflush: the rules of LXC's lxc-net,
 * each with a comment that says whose it is. Rules of others stay as they are.
 */

export type IptablesFamily = "ipv4" | "ipv6";

/** What is to be changed: a text for each table that is changed as a whole or not at all. */
export interface IptablesChange {
  readonly table: string;
  readonly text: string;
  /** A kernel may lack what it uses, and guests can do without. */
  readonly isOptional: boolean;
}

const tables = ["filter", "nat", "mangle"] as const;
type Table = (typeof tables)[number];

/** Rules that the bridge has now go, wherever they are, and its own come in. `saved`: what iptables-save(8) prints. */
export function iptablesRules(net: BridgeNetwork, family: IptablesFamily, saved: string): readonly IptablesChange[] {
  return changes(net.name, saved, (table) => rulesOf(net, family, table));
}

/** All rules of the bridge go; [] when there are none. */
export function iptablesRemoval(bridge: string, saved: string): readonly IptablesChange[] {
  return changes(bridge, saved, () => []).map((change) => ({ ...change, isOptional: false }));
}

/** Whether the rule is there that gives what guests send the host's address. */
export function hasIptablesNat(bridge: string, saved: string): boolean {
  return ownLines(bridge, saved, "nat").length > 0;
}

// A name of a bridge has nothing that needs to be quoted, and within another comment quotes have a backslash before them.
const commentOf = (bridge: string): string => `--comment "islet ${bridge}"`;

function changes(bridge: string, saved: string, rules: (table: Table) => readonly string[]): readonly IptablesChange[] {
  return tables.flatMap((table) => {
    const lines = [...ownLines(bridge, saved, table).map((line) => line.replace(/^-A/, "-D")), ...rules(table)];
    const text = [`*${table}`, ...lines, "COMMIT", ""].join("\n");
    return lines.length === 0 ? [] : [{ table, text, isOptional: table === "mangle" }];
  });
}

/** The bridge's rules in one table. */
function ownLines(bridge: string, saved: string, table: Table): readonly string[] {
  const lines = saved.split("\n");
  const begin = lines.indexOf(`*${table}`);
  const end = lines.indexOf("COMMIT", begin);
  const all = begin < 0 ? [] : lines.slice(begin, end);
  return all.filter((line) => line.startsWith("-A ") && line.includes(` ${commentOf(bridge)} `));
}

function rulesOf(net: BridgeNetwork, family: IptablesFamily, table: Table): readonly string[] {
  const { name, ipv6 } = net;
  const mark = `-m comment ${commentOf(name)}`;
  const ports = family === "ipv4" ? ["udp 67", "tcp 67", "udp 53", "tcp 53"] : ["udp 547", "udp 53", "tcp 53"];
  switch (table) {
    case "filter":
      return [
        ...ports.map((port) => {
          const [protocol = "", number = ""] = port.split(" ");
          return `-I INPUT -i ${name} -p ${protocol} -m ${protocol} --dport ${number} ${mark} -j ACCEPT`;
        }),
        `-I FORWARD -i ${name} ${mark} -j ACCEPT`,
        `-I FORWARD -o ${name} ${mark} -j ACCEPT`,
      ];
    case "nat":
      if (family === "ipv4") return [masquerade(net.ipv4.network, mark)];
      return ipv6?.nat === true ? [masquerade(ipv6.network, mark)] : [];
    case "mangle":
      // Clients that look at packets before the kernel has summed them up take them for broken.
      return family === "ipv4"
        ? [`-A POSTROUTING -o ${name} -p udp -m udp --dport 68 ${mark} -j CHECKSUM --checksum-fill`]
        : [];
    default: {
      const impossible: never = table;
      return impossible;
    }
  }
}

const masquerade = ({ address, prefix }: BridgeSubnet, mark: string): string =>
  `-A POSTROUTING -s ${address}/${prefix} ! -d ${address}/${prefix} ${mark} -j MASQUERADE`;
