import type { Fault } from "../../../base/source.js";
import { isLinkName, type NicGrant, type NicGrants } from "../../../spec/user-nic.js";
import type { VariableFile } from "./lxc-net.js";

/**
 * /etc/lxc/lxc-usernet (lxc-usernet(5)): lines of `USER TYPE BRIDGE COUNT` or `@GROUP TYPE BRIDGE COUNT`. A line with a fault grants nothing;
 * the others hold.
 */
export function parseUserNet({ file, text }: VariableFile): NicGrants {
  const grants: NicGrant[] = [];
  const faults: Fault[] = [];
  text.split("\n").forEach((line, index) => {
    const words = line.replace(/#.*$/, "").trim().split(/\s+/);
    const [owner = "", type = "", bridge = "", count = ""] = words;
    if (owner === "") return;
    const at = { file, line: index + 1, key: owner };
    const message = problem(words);
    if (message === null && type === "veth") grants.push({ owner, bridge, most: Number(count), at });
    else faults.push({ message: message ?? `"${type}" is no type of nic that users can make: only veth is`, at });
  });
  return { grants, faults };
}

function problem(words: readonly string[]): string | null {
  const [owner = "", , bridge = "", count = ""] = words;
  if (words.length !== 4) return `a line has four words, USER or @GROUP, veth, BRIDGE and COUNT, not ${words.length}`;
  if (owner === "@") return "@ without the name of a group";
  if (!isLinkName(bridge)) return `"${bridge}" cannot be the name of a bridge`;
  if (!/^\d{1,6}$/.test(count)) return `"${count}" is no number of nics, 0 to 999999`;
  return null;
}
