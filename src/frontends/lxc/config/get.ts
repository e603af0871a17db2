/** Reading back: lxc-info -c, lxc-cgroup and the API's getters. */
import { currentName } from "./legacy.js";
import type { ParsedConfig, Values } from "./model.js";
import { findKey } from "./table.js";

/**
 * A key's value as lxc-info -c shows it (config-keys.md 1.5): scalars as they are, defaults where LXC knows one, lists with a line end after
 * each item, families asked for as a whole as `key = value` lines. "" where nothing was given; null where the key cannot be asked for
 * (unknown, lxc.hook, lxc.include, a nic that is not there). Old names are taken for what they mean.
 */
export function getItem(config: ParsedConfig | { readonly values: Values }, key: string): string | null {
  const found = findKey(currentName(key));
  return found === null ? null : found.row.get(config.values, found.rest);
}
