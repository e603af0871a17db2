import { IsletError } from "../../../base/errors.js";
import type { Fault, Source } from "../../../base/source.js";
import {
  addressOf,
  type Family,
  macOf,
  networkAddress,
  prefixedAddressOf,
  prefixOfMask,
} from "../../../spec/address.js";
import {
  type BridgeIpv4,
  type BridgeIpv6,
  type BridgeNetwork,
  type BridgeSubnet,
  isBridgeName,
} from "../../../spec/bridge.js";

/** /etc/default/lxc-net, as LXC's lxc-net script reads it, but without a shell: its variables and nothing else. */

/** The defaults of lxc-net (config/init/common/lxc-net.in of LXC 5.0). */
const defaults = {
  USE_LXC_BRIDGE: "true",
  LXC_BRIDGE: "lxcbr0",
  LXC_BRIDGE_MAC: "00:16:3e:00:00:00",
  LXC_ADDR: "10.0.3.1",
  LXC_NETMASK: "255.255.255.0",
  LXC_NETWORK: "10.0.3.0/24",
  LXC_DHCP_RANGE: "10.0.3.2,10.0.3.254",
  LXC_DHCP_MAX: "253",
  LXC_DHCP_CONFILE: "",
  LXC_DHCP_PING: "true",
  LXC_DOMAIN: "",
  LXC_USE_NFT: "true",
  LXC_IPV6_ADDR: "",
  LXC_IPV6_MASK: "",
  LXC_IPV6_NETWORK: "",
  LXC_IPV6_NAT: "false",
  // Of islet alone: LXC's script takes no notice.
  ISLET_HOST_NAMES: "false",
} as const;

type Variable = keyof typeof defaults;
type Variables = Readonly<Record<Variable, { readonly value: string; readonly at: Source | null }>>;

/** A file of variables. */
export interface VariableFile {
  readonly file: string;
  readonly text: string;
}

/** What the variables say. */
export interface LxcNet {
  readonly network: BridgeNetwork;
  /** USE_LXC_BRIDGE: it shall be there. */
  readonly isWanted: boolean;
}

/** @throws IsletError ISLET_BAD_CONFIG with all that is wrong */
export function parseLxcNet(files: readonly VariableFile[]): LxcNet {
  const faults: Fault[] = [];
  const found = readVariables(files, faults);
  const network = toNetwork(found, faults);
  if (faults.length > 0) throw new IsletError("ISLET_BAD_CONFIG", "the bridge cannot be made", { faults });
  return { network, isWanted: found.USE_LXC_BRIDGE.value === "true" };
}

const assignment = /^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*)$/;

function readVariables(files: readonly VariableFile[], faults: Fault[]): Variables {
  const found: Record<string, { readonly value: string; readonly at: Source | null }> = {};
  for (const [name, value] of Object.entries(defaults)) found[name] = { value, at: null };
  for (const { file, text } of files) {
    text.split("\n").forEach((line, index) => {
      // Debian's /etc/default/lxc has other variables, and reads lxc-net itself.
      const [, name = "", rest = ""] = assignment.exec(line) ?? [];
      if (!Object.hasOwn(defaults, name)) return;
      const at: Source = { file, line: index + 1, key: name };
      const value = unquote(rest);
      if (value === null)
        faults.push({ message: `${rest.trim()} needs a shell`, at, hint: "write the value itself, in quotes" });
      else found[name] = { value, at };
    });
  }
  // Every name of `defaults` is there.
  return found as Variables;
}

/** The value of a word of sh(1) that is quoted as a whole or not at all; null: more than that. */
function unquote(rest: string): string | null {
  const [, single, double, bare] =
    /^(?:'([^']*)'|"([^"$`\\]*)"|([^\s'"$`\\;&|<>()#]*))\s*;?\s*(?:#.*)?$/.exec(rest) ?? [];
  return single ?? double ?? bare ?? null;
}

function toNetwork(found: Variables, faults: Fault[]): BridgeNetwork {
  const wrong = (name: Variable, message: string): void => {
    faults.push({ message, at: found[name].at ?? { file: "lxc-net's default", line: 0, key: name } });
  };
  const flag = (name: Variable): boolean => {
    const { value } = found[name];
    if (value !== "true" && value !== "false") wrong(name, `"${value}" is neither true nor false`);
    return value === "true";
  };
  flag("USE_LXC_BRIDGE");
  const name = found.LXC_BRIDGE.value;
  if (!isBridgeName(name))
    wrong("LXC_BRIDGE", `"${name}" cannot be the name of a bridge: letters, digits, "_", "." and "-", 15 at most`);
  const hwaddr = found.LXC_BRIDGE_MAC.value;
  if (hwaddr !== "" && macOf(hwaddr) === null) wrong("LXC_BRIDGE_MAC", `"${hwaddr}" is no hardware address`);
  const domain = found.LXC_DOMAIN.value;
  if (!/^[A-Za-z0-9.-]*$/.test(domain)) wrong("LXC_DOMAIN", `"${domain}" is no domain`);
  return {
    name,
    hwaddr: hwaddr === "" ? null : macOf(hwaddr),
    ipv4: toIpv4(found, flag("LXC_DHCP_PING"), wrong),
    ipv6: toIpv6(found, flag("LXC_IPV6_NAT"), wrong),
    domain: domain === "" ? null : domain,
    hostNames: flag("ISLET_HOST_NAMES"),
    nft: flag("LXC_USE_NFT"),
  };
}

type Wrong = (name: Variable, message: string) => void;

function toIpv4(found: Variables, ping: boolean, wrong: Wrong): BridgeIpv4 {
  const address = own("ipv4", found.LXC_ADDR.value, "LXC_ADDR", wrong);
  const mask = found.LXC_NETMASK.value;
  const prefix = prefixOfMask("ipv4", mask);
  if (prefix === null || prefix === 0) wrong("LXC_NETMASK", `"${mask}" is no network mask, as 255.255.255.0 is one`);
  const network = subnet("ipv4", found.LXC_NETWORK.value, "LXC_NETWORK", wrong);
  const within = (each: string): boolean =>
    network === null || networkAddress("ipv4", each, network.prefix) === network.address;
  if (address !== null && !within(address)) wrong("LXC_ADDR", `${address} is not in ${found.LXC_NETWORK.value}`);
  const range = found.LXC_DHCP_RANGE.value;
  for (const each of range.split(",").slice(0, 2)) {
    const one = addressOf("ipv4", each);
    // Behind the first there may be words of dnsmasq's: static, a lease time.
    if (one === null && each === range.split(",")[0]) wrong("LXC_DHCP_RANGE", `"${each}" is no IPv4 address`);
    else if (one !== null && !within(one)) wrong("LXC_DHCP_RANGE", `${one} is not in ${found.LXC_NETWORK.value}`);
  }
  if (/\s/.test(range)) wrong("LXC_DHCP_RANGE", "a range has no blanks");
  const most = found.LXC_DHCP_MAX.value;
  if (!/^\d{1,6}$/.test(most)) wrong("LXC_DHCP_MAX", `"${most}" is no number of leases`);
  const confFile = found.LXC_DHCP_CONFILE.value;
  if (confFile !== "" && !confFile.startsWith("/")) wrong("LXC_DHCP_CONFILE", `"${confFile}" is no absolute path`);
  return {
    address: address ?? "",
    prefix: prefix ?? 0,
    network: network ?? { address: "", prefix: 0 },
    dhcp: { range, most: Number(most), ping, confFile: confFile === "" ? null : confFile },
  };
}

/** LXC takes it only when all three are there. */
function toIpv6(found: Variables, nat: boolean, wrong: Wrong): BridgeIpv6 | null {
  const names = ["LXC_IPV6_ADDR", "LXC_IPV6_MASK", "LXC_IPV6_NETWORK"] as const;
  const missing = names.filter((name) => found[name].value === "");
  if (missing.length === names.length) return null;
  for (const name of missing) wrong(name, `${names.join(", ")} go together: ${name} is missing`);
  if (missing.length > 0) return null;
  const address = own("ipv6", found.LXC_IPV6_ADDR.value, "LXC_IPV6_ADDR", wrong);
  const text = found.LXC_IPV6_MASK.value;
  const prefix = /^\d{1,3}$/.test(text) && Number(text) <= 128 ? Number(text) : prefixOfMask("ipv6", text);
  if (prefix === null || prefix === 0) wrong("LXC_IPV6_MASK", `"${text}" is no prefix length, as 64 is one`);
  const network = subnet("ipv6", found.LXC_IPV6_NETWORK.value, "LXC_IPV6_NETWORK", wrong);
  if (address !== null && network !== null && networkAddress("ipv6", address, network.prefix) !== network.address)
    wrong("LXC_IPV6_ADDR", `${address} is not in ${found.LXC_IPV6_NETWORK.value}`);
  return { address: address ?? "", prefix: prefix ?? 0, network: network ?? { address: "", prefix: 0 }, nat };
}

function own(family: Family, text: string, name: Variable, wrong: Wrong): string | null {
  const address = addressOf(family, text);
  if (address === null) wrong(name, `"${text}" is no ${family === "ipv4" ? "IPv4" : "IPv6"} address`);
  return address;
}

function subnet(family: Family, text: string, name: Variable, wrong: Wrong): BridgeSubnet | null {
  const parsed = prefixedAddressOf(family, text);
  if (parsed === null || parsed.prefix === null) {
    wrong(name, `"${text}" is no network, as ${family === "ipv4" ? "10.0.3.0/24" : "fd42::/64"} is one`);
    return null;
  }
  return { address: networkAddress(family, parsed.address, parsed.prefix), prefix: parsed.prefix };
}
