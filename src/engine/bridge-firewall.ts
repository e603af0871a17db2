import { realpathSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { findProgram, programOutput, type ProgramResult, runProgram } from "../host/run-program.js";
import { hasNat } from "../network/firewall.js";
import {
  hasIptablesNat,
  type IptablesChange,
  type IptablesFamily,
  iptablesRemoval,
  iptablesRules,
} from "../network/iptables.js";
import { nftRemoval, nftRules } from "../network/nftables.js";
import type { BridgeNetwork } from "../spec/bridge.js";
import type { HostFacts } from "../spec/host.js";

/** Which of the host's programs makes a bridge's rules. */
export type FirewallKind = "nft" | "iptables";

/** A bridge's rules of the firewall. */
export interface BridgeFirewall {
  /** nft, unless the network wants iptables or the host lacks it. ISLET_UNSUPPORTED. */
  choose(net: BridgeNetwork): Promise<FirewallKind>;
  /** Makes them, or makes them anew. */
  set(kind: FirewallKind, net: BridgeNetwork): Promise<void>;
  /** `kind` null: nobody knows which. What is gone already is no error. */
  remove(kind: FirewallKind | null, bridge: string): Promise<void>;
  /** Whether the one for NAT is there; true when that cannot be seen. */
  hasNat(kind: FirewallKind, net: BridgeNetwork): Promise<boolean>;
}

/** Milliseconds that each program has. */
const patience = 10_000;

const commands = {
  ipv4: ["iptables", "iptables-nft", "iptables-legacy"],
  ipv6: ["ip6tables", "ip6tables-nft", "ip6tables-legacy"],
} as const;

export function createBridgeFirewall(host: HostFacts): BridgeFirewall {
  const run = async (program: string, words: readonly string[], input: string, what: string): Promise<void> => {
    const result = await runProgram(host.arch, program, words, patience, input);
    if (result.kind !== "done") throw refused(result, what);
  };

  const runNft = async (rules: string, what: string): Promise<void> => {
    const program = findProgram("nft");
    if (program === null) throw missing("nft", "apt-get install nftables");
    await run(program, ["-f", "-"], rules, what);
  };

  /** null: the host has no such program, or its kernel no such tables. */
  const saved = async (command: string): Promise<string | null> => {
    const program = findProgram(`${command}-save`);
    return program === null ? null : await programOutput(host.arch, program, [], patience);
  };

  const restore = async (command: string, changes: readonly IptablesChange[], what: string): Promise<void> => {
    const program = findProgram(`${command}-restore`);
    if (program === null) throw missing("iptables", "apt-get install iptables");
    for (const { text, isOptional } of changes) {
      try {
        await run(program, ["--noflush", "-w", String(patience / 1000)], text, what);
      } catch (error) {
        if (!isOptional) throw error;
      }
    }
  };

  const setIptables = async (net: BridgeNetwork, family: IptablesFamily): Promise<void> => {
    const [command] = commands[family];
    const what = `make the rules of ${net.name}`;
    await restore(command, iptablesRules(net, family, (await saved(command)) ?? ""), what);
  };

  /** What `iptables` stands for may have been changed since (update-alternatives(1)): all that there is is looked at. */
  const removeIptables = async (bridge: string): Promise<void> => {
    const all = [...distinct(commands.ipv4), ...distinct(commands.ipv6)];
    const found = await Promise.all(
      all.map(async (command) => [command, iptablesRemoval(bridge, (await saved(command)) ?? "")] as const),
    );
    for (const [command, changes] of found)
      if (changes.length > 0) await restore(command, changes, `take away the rules of ${bridge}`);
  };

  const removeNft = async (bridge: string, mayBeMissing: boolean): Promise<void> => {
    if (findProgram("nft") === null) return;
    try {
      await runNft(nftRemoval(bridge), `take away the rules of ${bridge}`);
    } catch (error) {
      if (!mayBeMissing || !(error instanceof IsletError && error.message.includes(unsupported))) throw error;
    }
  };

  return {
    async choose(net) {
      const nft = net.nft ? findProgram("nft") : null;
      const hasIptables = findProgram("iptables-restore") !== null;
      if (nft !== null && !hasIptables) return "nft";
      // As LXC does: the program may be there and the kernel have no nftables.
      if (nft !== null && (await programOutput(host.arch, nft, ["list", "tables"], patience)) !== null) return "nft";
      if (hasIptables) return "iptables";
      throw net.nft
        ? missing("nft", "apt-get install nftables, or iptables")
        : missing("iptables", "apt-get install iptables, or LXC_USE_NFT=true with nftables");
    },
    async set(kind, net) {
      if (kind === "nft") return await runNft(nftRules(net), `make the rules of ${net.name}`);
      await setIptables(net, "ipv4");
      if (net.ipv6 !== null) await setIptables(net, "ipv6");
    },
    async remove(kind, bridge) {
      if (kind !== "iptables") await removeNft(bridge, kind === null);
      if (kind !== "nft") await removeIptables(bridge);
    },
    async hasNat(kind, net) {
      if (kind === "iptables") return hasIptablesNat(net.name, (await saved("iptables")) ?? "");
      const program = findProgram("nft");
      const listing =
        program === null ? null : await programOutput(host.arch, program, ["-j", "list", "ruleset"], patience);
      return listing === null || hasNat(net, listing);
    },
  };
}

/** Without those that are others by another name: `iptables` mostly is one of them. */
function distinct(names: readonly string[]): readonly string[] {
  const byFile = new Map<string, string>();
  for (const name of names) {
    const program = findProgram(`${name}-save`);
    if (program !== null) byFile.set(realpathSync(program), name);
  }
  return [...byFile.values()];
}

const unsupported = "Operation not supported";

const missing = (program: string, hint: string): IsletError =>
  new IsletError("ISLET_UNSUPPORTED", `${program} is missing`, { hint });

function refused(result: Exclude<ProgramResult, { readonly kind: "done" }>, what: string): IsletError {
  const why = result.kind === "late" ? `it took longer than ${patience / 1000} s` : printable(result.why);
  return new IsletError(
    "ISLET_OPERATION_FAILED",
    `cannot ${what}: ${why}`,
    why.includes(unsupported) ? { hint: "the kernel has no nftables (modprobe nf_tables)" } : {},
  );
}
