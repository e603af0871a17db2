import type { NicReservation } from "../spec/nic.js";

/** What a bridge's dnsmasq(8) is told of one container: a file of --dhcp-hostsdir, and one of --hostsdir. */
export interface BridgeHost {
  readonly id: BridgeHostOwner;
  readonly nics: readonly BridgeHostNic[];
}

/** A container. */
export interface BridgeHostOwner {
  readonly storePath: string;
  readonly name: string;
}

export interface BridgeHostNic {
  /** Six bytes in lower case. */
  readonly hwaddr: string;
  /** What resolves to its addresses; null: nothing. */
  readonly name: string | null;
  /** The only one that it gets by DHCP, and that nobody else gets; null: any. */
  readonly reservation: NicReservation | null;
  /** Those that it has without asking, of both families. */
  readonly fixed: readonly string[];
}

/** A label of a host's name (RFC 1123, 2.1), and the underscore that names of containers may have. */
const label = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/;

/** What dnsmasq takes for another word of --dhcp-host: the time of a lease, and "ignore". */
const otherWords = /^(?:\d+[smhdw]?|infinite|ignore)$/;

/** dnsmasq(8), --dhcp-host: clients' own identifiers are ignored. */
const anyClient = "id:*";

/** null: a container of that name has no name on its bridge. */
export function hostNameOf(container: string): string | null {
  const name = container.toLowerCase();
  return label.test(name) && !otherWords.test(name) ? name : null;
}

/** The first line says whose it is. */
export function dhcpHostFile(host: BridgeHost): string {
  const lines = host.nics.map(({ hwaddr, name, reservation, fixed }) => {
    // An address that it takes by itself is not for others either.
    const address = reservation?.address ?? fixed.find((each) => !each.includes(":")) ?? null;
    // Whatever else its guest says of itself: there is one address for it.
    return [hwaddr, anyClient, ...(address === null ? [] : [address]), ...(name === null ? [] : [name])].join(",");
  });
  return `# ${JSON.stringify({ storePath: host.id.storePath, name: host.id.name })}\n${lines.map((line) => `${line}\n`).join("")}`;
}

/** "": there is nothing to say. */
export function addressFile(host: BridgeHost, domain: string | null): string {
  return host.nics
    .flatMap(({ name, fixed }) =>
      name === null ? [] : fixed.map((address) => `${address} ${hostWords(name, domain)}\n`),
    )
    .join("");
}

/** As hosts(5) has them: the whole name first. */
export function hostWords(name: string, domain: string | null): string {
  return domain === null ? name : `${name}.${domain} ${name}`;
}

/** A nic as `dhcpHostFile` wrote it down. */
export interface NotedNic {
  readonly hwaddr: string;
  /** Nobody else's. */
  readonly address: string | null;
  readonly name: string | null;
}

/** null: it is none of these files. */
export function parseDhcpHostFile(
  text: string,
): { readonly id: BridgeHostOwner; readonly nics: readonly NotedNic[] } | null {
  const [first = "", ...lines] = text.split("\n");
  let id: unknown;
  try {
    id = JSON.parse(first.replace(/^# /, ""));
  } catch {
    return null;
  }
  if (!isOwner(id)) return null;
  const nics = lines.flatMap((line) => {
    const [hwaddr = "", ...rest] = line.split(",");
    if (hwaddr === "") return [];
    const words = rest.filter((word) => word !== anyClient);
    const address = words.find((word) => word.includes(".")) ?? null;
    return [{ hwaddr, address, name: words.find((word) => word !== address) ?? null }];
  });
  return { id, nics };
}

function isOwner(value: unknown): value is BridgeHostOwner {
  return (
    typeof value === "object" &&
    value !== null &&
    "storePath" in value &&
    typeof value.storePath === "string" &&
    "name" in value &&
    typeof value.name === "string"
  );
}
