import { lstatSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Where LXC 0.7 to 0.9 had links to the configurations of containers that start at boot (Ubuntu Server Guide 2013, LXC, Autostart). */
export const autoDirectory = "/etc/lxc/auto";

/** STORE/NAME/config: NAME. */
function nameWithin(store: string, file: string): string | null {
  const directory = dirname(file);
  return file === `${directory}/config` && dirname(directory) === store ? directory.slice(store.length + 1) : null;
}

function quietly<T>(body: () => T): T | null {
  try {
    return body();
  } catch {
    return null;
  }
}

/**
 * Names of the store's containers that a link NAME.conf leads to. A plain file counts for the container NAME of the system's own store
 * (`isDefault`); it is the link's name that says nothing otherwise.
 */
export function autoLinks(directory: string, storePath: string, isDefault: boolean): ReadonlySet<string> {
  const names = new Set<string>();
  const store = quietly(() => realpathSync(storePath));
  for (const entry of quietly(() => readdirSync(directory)) ?? []) {
    if (!entry.endsWith(".conf")) continue;
    const path = `${directory}/${entry}`;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() === true && isDefault) names.add(entry.slice(0, -".conf".length));
    if (stat?.isSymbolicLink() !== true) continue;
    const target = quietly(() => resolve(directory, readlinkSync(path)));
    const real = quietly(() => realpathSync(path));
    // The directory of a container may be a link itself.
    const name =
      (target === null ? null : nameWithin(storePath, target)) ??
      (real === null || store === null ? null : nameWithin(store, real));
    if (name !== null) names.add(name);
  }
  return names;
}
