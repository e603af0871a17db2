import { existsSync } from "node:fs";
import { ownLink } from "../../host/netns.js";
import type { ContainerSpec } from "../../spec/spec.js";
import type { LinkInfo } from "../../sys/netlink-parse.js";
import { bridgeFiles } from "../bridge-files.js";
import { isNetworkElsewhere } from "../caller-namespaces.js";
import type { StartOptions } from "../engine.js";
import type { EngineParts } from "./parts.js";

/** Makes a bridge if the host wants it. What keeps guests from using it. */
export async function provideBridge(
  { options, bridges }: Pick<EngineParts, "options" | "bridges">,
  name: string,
): Promise<readonly string[]> {
  const network = (await options.wantedBridge?.(name)) ?? null;
  return network === null ? [] : (await (await bridges()).up(network)).warnings;
}

/** Makes what the host wants of the bridges that the container is to be joined with and that are not there, or not whole. Gives back those that are. */
export async function provideBridges(
  parts: EngineParts,
  spec: ContainerSpec,
  { caller, warn }: StartOptions,
): Promise<readonly LinkInfo[]> {
  const { host, bridges } = parts;
  const links = joinedLinks(spec);
  const there = links.flatMap((link) => ownLink(host.arch, link) ?? []);
  const missing = links.filter((link) => !there.some(({ name }) => name === link));
  const noted = links.filter((link) => !missing.includes(link) && existsSync(bridgeFiles(host, link).note));
  if (missing.length + noted.length === 0 || isNetworkElsewhere(spec, caller.pid)) return there;
  for (const link of noted) {
    for (const message of await (await bridges()).mend(link)) warn?.({ message, at: null });
  }
  for (const link of missing) {
    for (const message of await provideBridge(parts, link)) warn?.({ message, at: null });
  }
  return there;
}

/** The bridges that a container's interfaces are to be joined with. */
function joinedLinks(spec: ContainerSpec): readonly string[] {
  if (spec.network.kind !== "own") return [];
  return spec.network.nics.flatMap((nic) => (nic.type === "veth" && nic.link !== null ? [nic.link] : []));
}
