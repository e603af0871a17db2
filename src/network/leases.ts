/** Who has which address of dnsmasq(8): its file of leases, as it writes it (dnsmasq's lease.c). */
export interface Lease {
  /** Seconds since the epoch; 0: it does not end. */
  readonly expires: number;
  readonly hwaddr: string;
  readonly address: string;
}

/** Those of IPv4. Names in it are what guests say of themselves, and are left out. */
export function parseLeases(text: string): readonly Lease[] {
  const leases: Lease[] = [];
  for (const line of text.split("\n")) {
    const [, expires, hwaddr = "", address = ""] =
      /^(\d+) ([0-9a-f]{2}(?::[0-9a-f]{2}){5}) (\d+(?:\.\d+){3}) /.exec(line) ?? [];
    if (expires !== undefined) leases.push({ expires: Number(expires), hwaddr, address });
  }
  return leases;
}
