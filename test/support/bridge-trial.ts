import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { CommandResult } from "./command.js";
import { instance, type Instance, linksOf } from "./instance.js";
import { netns, type Netns } from "./netns.js";
import { testDir } from "./paths.js";

/** A network namespace of the test's own with islet's daemon in it; what `islet net` makes there is taken down at the end. */
export interface BridgePlace {
  readonly net: Netns;
  readonly own: Instance;
  /** The variables of lxc-net. */
  readonly file: string;
  readonly islet: (...words: readonly string[]) => Promise<CommandResult>;
}

export interface BridgeOptions {
  /** The variables of lxc-net. */
  readonly config?: string;
  /** Of the daemon. */
  readonly env?: Readonly<Record<string, string>>;
  /** A process whose mount namespace the daemon lives in. */
  readonly mntnsPid?: number;
}

export async function bridgePlace(t: TestContext, options: BridgeOptions = {}): Promise<BridgePlace> {
  const { config = "", env = {}, mntnsPid } = options;
  // Before what the others undo: dnsmasq would live on.
  let down: () => Promise<unknown> = () => Promise.resolve();
  t.after(() => down());
  const net = await netns(t);
  const above = mkdtempSync(join(testDir, "islt-lxc-net-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const file = join(above, "lxc-net");
  writeFileSync(file, config);
  // On some hosts packets from guest to guest meet the rules, too, and warnings say so.
  const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  await net.ok(["sh", "-c", `[ ! -e ${bridged} ] || echo 0 > ${bridged}`]);
  const own = await instance(t, { netnsPid: net.pid, env, ...(mntnsPid === undefined ? {} : { mntnsPid }) });
  const islet = (...words: readonly string[]): Promise<CommandResult> =>
    own.command(["islet", "net", ...words, `--config=${file}`]);
  down = () => islet("down", "--force");
  return { net, own, file, islet };
}

/** What is written down of bridges, but for leases. */
export const noteFiles = ({ own }: BridgePlace): readonly string[] => {
  const directory = join(own.runtimeDir, "net");
  return existsSync(directory) ? readdirSync(directory).filter((file) => !file.endsWith(".leases")) : [];
};

/** Who has addresses by DHCP. */
export function leasesOf({ own }: BridgePlace): string {
  const files = readdirSync(join(own.runtimeDir, "net")).filter((file) => file.endsWith(".leases"));
  return files.map((file) => readFileSync(join(own.runtimeDir, "net", file), "utf8")).join("");
}

/** What a trial of the bridge could leave: interfaces, addresses, routes, neighbours, rules. */
export async function bridgePicture({ net }: BridgePlace): Promise<string> {
  const parts = [
    ["ip", "-o", "addr"],
    ["ip", "route"],
    ["ip", "neigh"],
    ["nft", "list", "ruleset"],
  ];
  const texts = await Promise.all(parts.map((words) => net.ok(words)));
  // Counters count, carriers come and go, and an answer to who is gone already asks for him in vain.
  const known = texts.join("").replace(/^.* (FAILED|INCOMPLETE) *\n/gm, "");
  const stable = known.replace(/ packets \d+ bytes \d+| linkdown\b|,?NO-CARRIER\b|state (UP|DOWN)\b/g, "");
  return `${linksOf(net.pid).join(" ")}\n${stable}`;
}
