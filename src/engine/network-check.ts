import { IsletError } from "../base/errors.js";
import { ownAddresses, ownLink, ownLinks, ownRoutes } from "../host/netns.js";
import { addressWarning, joinedNics, type Neighbour, refuseClashes } from "../network/clash.js";
import { isOnlyUplink } from "../network/uplink.js";
import type { HostFacts } from "../spec/host.js";
import type { NicSpec } from "../spec/nic.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { LinkInfo } from "../sys/netlink-parse.js";
import type { StartOptions } from "./engine.js";
import { isNetworkElsewhere } from "./caller-namespaces.js";
import type { Registry } from "./registry.js";

/** What must not be so on the host, or with other containers, when a container with these nics is started. */
export interface NetworkChecks {
  /**
   * Takes the container's hardware and other addresses for it until the function is called that it gives back: by then it runs, or does not.
   * `links`: those of the host's that are known already.
   * @throws IsletError ISLET_BAD_CONFIG
   */
  admit(spec: ContainerSpec, wanted: StartOptions, links: readonly LinkInfo[]): () => void;
}

export function createNetworkChecks(host: HostFacts, registry: Registry): NetworkChecks {
  /** Started at this moment, and perhaps not known to the registry yet. */
  const starting = new Set<Neighbour>();

  const others = function* ({ name, storePath }: ContainerSpec): Generator<Neighbour> {
    for (const { meta } of registry.all()) {
      if (meta.joined !== undefined && (meta.name !== name || meta.storePath !== storePath))
        yield { name: meta.name, nics: meta.joined };
    }
    yield* starting;
  };

  return {
    admit(spec, wanted, links) {
      // What an administrator does in another network namespace than the host's is not known here.
      if (spec.network.kind !== "own" || isNetworkElsewhere(spec, wanted.caller.pid)) return () => undefined;
      const { nics } = spec.network;
      refuseUplink(host, nics);
      checkAddresses(host, nics, wanted, links);
      const joined = joinedNics(nics);
      if (joined.length === 0) return () => undefined;
      refuseClashes(nics, others(spec));
      const own: Neighbour = { name: spec.name, nics: joined };
      starting.add(own);
      return () => void starting.delete(own);
    },
  };
}

function refuseUplink(host: HostFacts, nics: readonly NicSpec[]): void {
  const phys = nics.flatMap((nic) => (nic.type === "phys" ? [nic] : []));
  if (phys.length === 0) return;
  const [links, routes] = [ownLinks(host.arch), ownRoutes(host.arch)];
  for (const { link, index, at } of phys) {
    if (isOnlyUplink(link, links, routes))
      throw new IsletError(
        "ISLET_BAD_CONFIG",
        `${link} is the host's only uplink: without it the host has no default route left`,
        { at, hint: `write lxc.net.${index}.type = macvlan to share it` },
      );
  }
}

function checkAddresses(
  host: HostFacts,
  nics: readonly NicSpec[],
  { warn }: StartOptions,
  links: readonly LinkInfo[],
): void {
  for (const nic of nics) {
    if (nic.type !== "veth" || nic.mode !== "bridge" || nic.link === null || nic.addresses.length === 0) continue;
    const link = links.find(({ name }) => name === nic.link) ?? ownLink(host.arch, nic.link);
    if (link?.kind !== "bridge") continue;
    const has = ownAddresses(host.arch, link.index);
    for (const address of nic.addresses) {
      const warning = addressWarning(address, nic.link, has);
      if (warning !== null) warn?.(warning);
    }
  }
}
