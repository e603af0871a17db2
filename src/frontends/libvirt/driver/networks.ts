import type { Engine } from "../../../engine/engine.js";

/** The network that every host has, if any: the bridge that islet makes for its containers. */
const defaultNetwork = "default";

/** The bridge of a network of libvirt's, by name; null: there is no such network. */
export async function networksOf(engine: Engine): Promise<(name: string) => string | null> {
  const bridge = (await engine.wantedBridge())?.name ?? null;
  return (name) => (name === defaultNetwork ? bridge : null);
}
