import type { BridgeNetwork, BridgeSubnet } from "../spec/bridge.js";

/**
 * What a bridge needs of the firewall, as nft(8) reads it, in one table of its own: nobody else's rules are touched. An accept here cannot
 * undo a drop of another table (nft(8), "accept").
 */

const cidr = ({ address, prefix }: BridgeSubnet): string => `${address}/${prefix}`;

/** A name of letters, digits and "_", another for every bridge: what else a bridge's name has is written as its code. */
export function tableOf(bridge: string): string {
  const safe = bridge.replace(/[^A-Za-z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16)}_`);
  return `islet_${safe}`;
}

/** Takes the place of the table that was there, in one transaction. */
export function nftRules(net: BridgeNetwork): string {
  const table = `inet ${tableOf(net.name)}`;
  const on = `"${net.name}"`;
  const masquerade = (family: "ip" | "ip6", network: string): string =>
    `    ${family} saddr ${network} ${family} daddr != ${network} counter masquerade`;
  return [
    // Adding it first makes the deletion of one that is not there no error.
    `add table ${table}`,
    `delete table ${table}`,
    `table ${table} {`,
    "  chain input {",
    "    type filter hook input priority filter; policy accept;",
    `    iifname ${on} udp dport { 53, 67 } accept`,
    `    iifname ${on} tcp dport { 53, 67 } accept`,
    ...(net.ipv6 === null ? [] : [`    iifname ${on} udp dport 547 accept`]),
    "  }",
    "  chain forward {",
    "    type filter hook forward priority filter; policy accept;",
    `    iifname ${on} accept`,
    `    oifname ${on} accept`,
    "  }",
    "  chain postrouting {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    masquerade("ip", cidr(net.ipv4.network)),
    ...(net.ipv6?.nat === true ? [masquerade("ip6", cidr(net.ipv6.network))] : []),
    "  }",
    "}",
    "",
  ].join("\n");
}

export function nftRemoval(bridge: string): string {
  const table = `inet ${tableOf(bridge)}`;
  return `add table ${table}\ndelete table ${table}\n`;
}
