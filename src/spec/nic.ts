import type { Source } from "../base/source.js";

export interface NicAddress {
  readonly family: "ipv4" | "ipv6";
  /** Text form, e.g. 10.0.3.17. */
  readonly address: string;
  readonly prefix: number;
  /** IPv4 only; null: none. */
  readonly broadcast: string | null;
  /** The address of the one at the other end of a point-to-point link, of which the prefix is then; absent: it is a network's. */
  readonly peer?: string;
  readonly at: Source | null;
}

/** What the DHCP of a bridge of islet's keeps for the nic: it gets no other address, and nobody else gets this one. */
export interface NicReservation {
  /** Of IPv4. */
  readonly address: string;
  readonly at: Source | null;
}

/** auto: the address of the link on the host; device: a route through the device without a gateway. */
export type NicGateway =
  | { readonly kind: "address"; readonly address: string; readonly at: Source | null }
  | { readonly kind: "auto"; readonly at: Source | null }
  | { readonly kind: "device"; readonly at: Source | null };

/** A route by a nic, inside, beside that of the gateways. */
export interface NicRoute {
  readonly family: "ipv4" | "ipv6";
  /** Network and prefix; of the default route it is 0. */
  readonly to: string;
  readonly prefix: number;
  readonly gateway: string;
  /** null: the kernel's. */
  readonly metric: number | null;
}

/** What of a nic's own is checked where its frames come in on the host: the source MAC, or the sender's addresses. */
export type NicFilter = "mac" | "ipv4" | "ipv6";
export const nicFilters: readonly NicFilter[] = ["mac", "ipv4", "ipv6"];

/** Addresses and networks of a nic with a filter: a program for more is longer than the kernel takes. */
export const mostFiltered = 128;

/** Bytes that a limit may let pass at once: packets of the usual links pass the least, and the most is what the kernel can count. */
export const leastBurst: number = 16 * 1024;
export const mostBurst = 0xffff_ffff;

/** Bits a second. */
export interface NicLimit {
  readonly rate: number;
  /** Bytes that pass at once after a pause, from `leastBurst` to `mostBurst`; absent: as the rate needs it. */
  readonly burst?: number;
  /** How fast those pass, above `rate`, of what comes in; absent: as they come. */
  readonly peak?: number;
  readonly at: Source | null;
}

export interface NicCommon {
  /** N of lxc.net.N: the order of the nics. */
  readonly index: number;
  /** Name inside; null: the next free ethN. */
  readonly name: string | null;
  readonly up: boolean;
  /** aa:bb:cc:dd:ee:ff; null: the kernel's choice. Templates with x have been expanded. */
  readonly hwaddr: string | null;
  readonly mtu: number | null;
  readonly addresses: readonly NicAddress[];
  readonly gateway4: NicGateway | null;
  readonly gateway6: NicGateway | null;
  /** Absent: none. */
  readonly routes?: readonly NicRoute[];
  readonly scriptUp: string | null;
  readonly scriptDown: string | null;
  readonly at: Source | null;
}

export type NicSpec = NicCommon &
  (
    | {
        readonly type: "veth";
        /** Bridge on the host, or null: the host's end belongs to nothing. */
        readonly link: string | null;
        readonly mode: "bridge" | "router";
        /** Name of the host's end; null: chosen at random. */
        readonly pair: string | null;
        readonly routes4: readonly string[];
        readonly routes6: readonly string[];
        readonly rxQueues: number | null;
        readonly txQueues: number | null;
        readonly vlanId: number | "none" | null;
        readonly vlanTagged: readonly number[];
        readonly l2proxy: boolean;
        /** null: any address will do. */
        readonly reservation: NicReservation | null;
        /** What the container gets at most, and what it sends. */
        readonly limitIn: NicLimit | null;
        readonly limitOut: NicLimit | null;
        /** Addresses and routes of the host's end, where no bridge has it; absent: none. */
        readonly hostAddresses?: readonly NicAddress[];
        readonly hostRoutes?: readonly NicRoute[];
        /** Of its bridge it reaches only ports that are not isolated. */
        readonly isolated?: true;
        /** null: it may send what it likes. */
        readonly filter: { readonly words: readonly NicFilter[]; readonly at: Source | null } | null;
      }
    | { readonly type: "macvlan"; readonly link: string; readonly mode: "private" | "vepa" | "bridge" | "passthru" }
    | {
        readonly type: "ipvlan";
        readonly link: string;
        readonly mode: "l2" | "l3" | "l3s";
        readonly isolation: "bridge" | "private" | "vepa";
        readonly l2proxy: boolean;
      }
    | { readonly type: "vlan"; readonly link: string; readonly vlanId: number }
    | { readonly type: "phys"; readonly link: string }
    | { readonly type: "empty" }
  );

/** What a nic brings to its link; what it gets there by itself is not known beforehand. */
export interface JoinedNic {
  /** The link on the host, with its VLAN where it has one. */
  readonly segment: string;
  readonly hwaddr: string | null;
  readonly addresses: readonly string[];
}
