import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { CommandResult } from "./command.js";
import { instance, type Instance, linksOf } from "./instance.js";
import { netns, type Netns } from "./netns.js";
import { testDir } from "./paths.js";
import { make } from "./place.js";

/** A network namespace of the test's own with islet's daemon in it; what `islet net` makes there is taken down at the end. */
export interface BridgePlace {
  readonly net: Netns;
  readonly own: Instance;
  /** The variables of lxc-net. */
  readonly file: string;
  readonly islet: (...words: readonly string[]) => Promise<CommandResult>;
  /** The bridges as `islet net ls` tells them. */
  readonly list: () => Promise<readonly Bridge[]>;
}

export interface Shown {
  readonly bridges: readonly Bridge[];
  readonly containers: readonly Record<string, unknown>[];
}

export const shown = async (own: Instance): Promise<Shown> =>
  JSON.parse(await own.ok(["islet", "net", "ls", "--format=json", ...own.store.at("").slice(0, 2)])) as Shown;

export interface Bridge {
  readonly bridge: string;
  readonly state: string;
  readonly ipv4: string;
  readonly ipv6: string | null;
  readonly dnsmasqPid: number | null;
  readonly ports: readonly string[];
}

export interface BridgeOptions {
  /** The variables of lxc-net. */
  readonly config?: string;
  /** A start makes the bridge. */
  readonly isOnDemand?: boolean;
  /** Of the daemon. */
  readonly env?: Readonly<Record<string, string>>;
  /** A process whose mount namespace the daemon lives in. */
  readonly mntnsPid?: number;
}

export async function bridgePlace(t: TestContext, options: BridgeOptions = {}): Promise<BridgePlace> {
  const { config = "", env = {}, isOnDemand = false, mntnsPid } = options;
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
  const own = await instance(t, {
    netnsPid: net.pid,
    env: { ...env, ...(isOnDemand ? { ISLET_LXC_NET: file } : {}) },
    ...(mntnsPid === undefined ? {} : { mntnsPid }),
  });
  const islet = (...words: readonly string[]): Promise<CommandResult> =>
    own.command(["islet", "net", ...words, `--config=${file}`]);
  down = () => islet("down", "--force");
  return { net, own, file, islet, list: async () => (await shown(own)).bridges };
}

/** What a DHCP client of busybox does with its lease. */
const leaseScript = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip route add default via $router
echo nameserver $dns > /etc/resolv.conf
`;

/** A container on lxcbr0 that has asked for an address; gives it back. `more`: lines of its configuration. */
export async function guest({ own }: BridgePlace, name: string, ...more: readonly string[]): Promise<string> {
  const rootfs = join(own.store.path, name, "rootfs");
  make(own, name, ["lxc.net.0.type = veth", "lxc.net.0.link = lxcbr0", "lxc.net.0.flags = up", ...more].join("\n"));
  writeFileSync(join(rootfs, "lease"), leaseScript, { mode: 0o755 });
  await own.ok(["lxc-start", ...own.store.at(name)]);
  return await lease({ own }, name, name);
}

/** Asks for an address in a container that runs, under a name of its guest's choice. */
export async function lease({ own }: Pick<BridgePlace, "own">, name: string, hostname: string): Promise<string> {
  const within = ["lxc-attach", ...own.store.at(name), "--"];
  const client = ["udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "10", "-s", "/lease", "-x", `hostname:${hostname}`];
  await own.ok([...within, ...client]);
  const address = /inet (10\.0\.3\.\d+)\/24/.exec(await own.ok([...within, "ip", "-4", "addr", "show", "eth0"]))?.[1];
  return address ?? assert.fail("no address");
}

export const inside = ({ own }: BridgePlace, name: string, ...command: readonly string[]): Promise<CommandResult> =>
  own.command(["lxc-attach", ...own.store.at(name), "--", ...command]);

/** A host beyond the bridge's host, which knows no way back to the bridge's network: `world` at 192.0.2.2. */
export async function world(t: TestContext, near: Netns): Promise<Netns> {
  const far = await netns(t);
  await near.ok(["ip", "link", "add", "islt-up", "type", "veth", "peer", "name", "islt-far", "netns", String(far.pid)]);
  await near.ok(["ip", "addr", "add", "192.0.2.1/24", "dev", "islt-up"]);
  await near.ok(["ip", "link", "set", "islt-up", "up"]);
  await far.ok(["ip", "addr", "add", "192.0.2.2/24", "dev", "islt-far"]);
  await far.ok(["ip", "link", "set", "islt-far", "up"]);
  return far;
}

/** What is written down of bridges; who has which address and name is kept. */
export const noteFiles = ({ own }: Pick<BridgePlace, "own">): readonly string[] => {
  const directory = join(own.runtimeDir, "net");
  return existsSync(directory) ? readdirSync(directory).filter((file) => !/\.(leases|hosts)$/.test(file)) : [];
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
