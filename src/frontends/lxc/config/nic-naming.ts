/** Names of nics as systemd's container manager gives them, which systemd-networkd knows (80-container-host0.network, 80-container-ve.network). */
import { createHash } from "node:crypto";
import type { NicSpec } from "../../../spec/nic.js";
import type { ContainerSpec, NetworkSpec } from "../../../spec/spec.js";
import type { Values } from "./model.js";

const maxInterfaceName = 15;

/**
 * host0 inside, and ve-NAME (vb-NAME on a bridge) outside, for the veths that are to have such names: those that ask for it, and with `first` the
 * first one unless it asks for LXC's. What has a name keeps it.
 */
export function namedNics(spec: ContainerSpec, values: Values, first: boolean): NetworkSpec {
  const { network } = spec;
  if (network.kind === "host") return network;
  const namingOf = ({ index }: NicSpec): "lxc" | "systemd" | null =>
    values.nics.find((nic) => nic.index === index)?.naming?.value ?? null;
  const firstVeth = first ? network.nics.find((nic) => nic.type === "veth") : undefined;
  const taken = new Set(network.nics.flatMap((nic) => [nic.name, "pair" in nic ? nic.pair : null]));
  const free = (name: string): string | null => {
    if (taken.has(name)) return null;
    taken.add(name);
    return name;
  };
  const nics = network.nics.map((nic): NicSpec => {
    const wanted = namingOf(nic) ?? (nic === firstVeth ? "systemd" : "lxc");
    if (nic.type !== "veth" || wanted === "lxc") return nic;
    const near = hostName(nic.link === null ? "ve-" : "vb-", spec);
    return { ...nic, name: nic.name ?? free("host0"), pair: nic.pair ?? free(near) };
  });
  return { ...network, nics };
}

/** Names that are too long, or of which another store may have one, too, end in a hash. */
function hostName(prefix: string, spec: ContainerSpec): string {
  const room = maxInterfaceName - prefix.length;
  if (spec.name.length <= room) return prefix + spec.name;
  const hash = createHash("sha256").update(`${spec.storePath}/${spec.name}`).digest("hex").slice(0, 4);
  return `${prefix}${spec.name.slice(0, room - hash.length)}${hash}`;
}
