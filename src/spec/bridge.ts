/** A bridge that islet makes for containers: addresses by DHCP, names by DNS, the world behind it by NAT (lxc-net of LXC). */
export interface BridgeNetwork {
  /** Of the interface, at most 15 bytes. */
  readonly name: string;
  /** Six bytes in lower case; null: the kernel chooses. */
  readonly hwaddr: string | null;
  readonly ipv4: BridgeIpv4;
  /** null: IPv4 alone. */
  readonly ipv6: BridgeIpv6 | null;
  /** What names on it end in; null: nothing. */
  readonly domain: string | null;
  /** The host knows the containers on it by their names, too (/etc/hosts). */
  readonly hostNames: boolean;
  /** Its rules of the firewall are in nftables, where the host has that; false: they are made by iptables. */
  readonly nft: boolean;
}

/** What a bridge may be called. */
export const isBridgeName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(name);

export interface BridgeIpv4 {
  /** The bridge's own. */
  readonly address: string;
  readonly prefix: number;
  /** Whose packets to others leave with the host's address. */
  readonly network: BridgeSubnet;
  readonly dhcp: {
    /** dnsmasq(8) --dhcp-range: first and last address, perhaps more. */
    readonly range: string;
    /** Leases at most. */
    readonly most: number;
    /** Addresses are tried before they are given. */
    readonly ping: boolean;
    /** More of dnsmasq's configuration; null: none. */
    readonly confFile: string | null;
  };
}

export interface BridgeIpv6 {
  /** The bridge's own; guests make themselves addresses of its network (router advertisements). */
  readonly address: string;
  readonly prefix: number;
  readonly network: BridgeSubnet;
  readonly nat: boolean;
}

/** `address` has no host bits. */
export interface BridgeSubnet {
  readonly address: string;
  readonly prefix: number;
}

/** What a bridge made by islet does now. */
export interface BridgeStatus {
  readonly network: BridgeNetwork;
  /** The interface is there and up. */
  readonly isUp: boolean;
  /** dnsmasq's; null: it does not run. */
  readonly dnsmasqPid: number | null;
  /** Who gets an address by DHCP that has none yet: everybody, containers alone (not what their guests run inside), or nobody. */
  readonly freeFor: "all" | "known" | "none";
  /** Interfaces on it, sorted. */
  readonly ports: readonly string[];
}

export interface BridgeUp {
  /** made: nothing of it was there; mended: a part of it; there: all of it. */
  readonly done: "made" | "mended" | "there";
  /** What keeps guests from using it all the same, and what helps: lines. */
  readonly warnings: readonly string[];
}

/** What guests on a bridge need: addresses, names, a way beyond the host, the host's address there, and a way back for answers. */
export type BridgeNeed = "dhcp" | "names" | "forwarding" | "nat" | "answers";

/** One of them, tried out. */
export interface BridgeFinding {
  readonly what: BridgeNeed;
  /** null: it was not tried. */
  readonly passes: boolean | null;
  /** What is probably in the way, and what helps; or why it was not tried. */
  readonly causes: readonly string[];
}
