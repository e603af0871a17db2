import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorLines, IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { ownLink, ownLinks } from "../host/netns.js";
import { findProgram, type ProgramResult, runProgram } from "../host/run-program.js";
import { freeFor } from "../network/dhcp-range.js";
import { dnsmasqWords } from "../network/dnsmasq.js";
import { bridgeMark, ownBridgeMark, planBridgeDown, planBridgeUp } from "../plan/bridge.js";
import type { LaunchProgram } from "../program/ops.js";
import { helperOutcome, runHelper } from "../runtime/helper.js";
import {
  isBridgeName,
  type BridgeFinding,
  type BridgeNetwork,
  type BridgeStatus,
  type BridgeUp,
} from "../spec/bridge.js";
import type { HostFacts } from "../spec/host.js";
import { IFF_UP } from "../sys/flags.js";
import { parsePasswd } from "../sys/accounts.js";
import { SIGNALS } from "../sys/signals.js";
import { checkBridge, type CheckedBridge } from "./bridge-check.js";
import { type BridgeFiles, bridgeDirectory, bridgeFiles } from "./bridge-files.js";
import { createBridgeFirewall, type FirewallKind } from "./bridge-firewall.js";
import { currentLeases, type HostedBridge, makeHostDirectories } from "./bridge-hosts.js";
import { createHostNames, type HostNames } from "./host-names.js";
import { createChangeQueue } from "../base/queue.js";
import { writeWhole } from "./store.js";

/**
 * Bridges that islet makes: the interface, its rules of the firewall and its dnsmasq(8). All of them outlive the daemon; what was made is
 * written down in files below the runtime directory.
 */
export interface Bridges {
  /** Makes it whole; what of it is there already stays. ISLET_EXISTS when somebody else has made an interface of that name. */
  up(net: BridgeNetwork): Promise<BridgeUp>;
  /** Takes it away; ISLET_BUSY while interfaces are on it, unless `force`. Gives back false when islet has made none of that name. */
  down(name: string, force: boolean): Promise<boolean>;
  /** Does what guests do there, to see whether that passes; null: islet has made none of that name, or it is down. */
  check(name: string): Promise<readonly BridgeFinding[] | null>;
  list(): readonly BridgeStatus[];
  /** Those that are written down, as their dnsmasq knows the containers on them. */
  hosted(): readonly HostedBridge[];
  readonly names: HostNames;
  /** Makes one that is up whole again, if islet has made it and its dnsmasq was killed. Gives back what was in the way, lines. Never fails. */
  mend(name: string): Promise<readonly string[]>;
}

/** Milliseconds that each program has. */
const patience = 10_000;
/** Milliseconds that dnsmasq has to end. */
const endTime = 2000;

/** Whose rights dnsmasq takes: the first that there is. */
const dnsmasqUsers = ["lxc-dnsmasq", "dnsmasq", "nobody"];

/** What is written down of a bridge. */
interface Note {
  readonly version: number;
  readonly network: BridgeNetwork;
  /** What has its rules, also after others would be chosen. */
  readonly firewall: FirewallKind;
}

interface OldNote {
  readonly version: number;
  readonly network: Omit<BridgeNetwork, "nft" | "hostNames"> & Partial<BridgeNetwork>;
  readonly firewall?: FirewallKind;
}

/** `binary`: of islet. */
export function createBridges(host: HostFacts, binary: string): Bridges {
  const directory = bridgeDirectory(host);
  const queue = createChangeQueue();
  const firewall = createBridgeFirewall(host);
  // A daemon with a runtime directory of its own stands beside the host's, whose names are not its business.
  const isHosts = host.runtimeDir === "/run/islet" || host.accounts !== "/etc";
  const names = createHostNames(isHosts ? join(host.accounts, "hosts") : null);
  const filesOf = (name: string): BridgeFiles => bridgeFiles(host, name);

  const runPlan = async (program: LaunchProgram, what: string): Promise<void> => {
    const result = await runHelper(host.arch, binary, program, [], patience);
    helperOutcome(program, result, () => new IsletError("ISLET_TIMEOUT", `cannot ${what} within ${patience / 1000} s`));
  };

  const readNote = (name: string): Note | null => {
    // It came from a command line.
    if (!isBridgeName(name)) return null;
    try {
      const note = JSON.parse(readFileSync(filesOf(name).note, "utf8")) as OldNote;
      if (note.version !== 1) return null;
      // Earlier releases knew nftables alone, and no names on the host.
      const { hostNames = false, nft = true } = note.network;
      return { ...note, network: { ...note.network, hostNames, nft }, firewall: note.firewall ?? "nft" };
    } catch {
      return null;
    }
  };
  const recall = (name: string): BridgeNetwork | null => readNote(name)?.network ?? null;
  const remember = (network: BridgeNetwork, kind: FirewallKind): void => {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const note: Note = { version: 1, network, firewall: kind };
    writeWhole(filesOf(network.name).note, JSON.stringify(note), 0o644, false);
  };
  const forget = (name: string): void => {
    const { note, dnsmasqPid: pid, running, hosts } = filesOf(name);
    for (const file of [note, pid]) rmSync(file, { force: true });
    for (const each of [running, hosts]) {
      try {
        rmdirSync(each);
      } catch {
        // It was never made, or containers are in it still.
      }
    }
  };

  /** Its pid; null: it does not run. A pid of the file may be another process's by now. */
  const dnsmasqPid = (name: string): number | null => {
    try {
      const pid = Number(readFileSync(filesOf(name).dnsmasqPid, "utf8").trim());
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words.includes(`--pid-file=${filesOf(name).dnsmasqPid}`) ? pid : null;
    } catch {
      return null;
    }
  };

  const startDnsmasq = async (net: BridgeNetwork): Promise<void> => {
    const program = findProgram("dnsmasq");
    if (program === null)
      throw new IsletError("ISLET_UNSUPPORTED", "dnsmasq is missing", { hint: "apt-get install dnsmasq-base" });
    const accounts = parsePasswd(readFileSync(join(host.accounts, "passwd"), "utf8"));
    const user = dnsmasqUsers.find((each) => accounts.some(({ name }) => name === each)) ?? "root";
    const files = filesOf(net.name);
    makeHostDirectories(files);
    const words = dnsmasqWords(net, user, files);
    const result = await runProgram(host.arch, program, words, patience);
    if (result.kind === "done") return;
    const why = reason(result);
    const rival = `another name server has port 53 of ${net.ipv4.address} (ss -lntup 'sport = 53'): it should bind to its own interfaces`;
    throw new IsletError(
      "ISLET_OPERATION_FAILED",
      `cannot start dnsmasq on ${net.name}: ${why}`,
      why.includes("Address already in use") ? { hint: rival } : {},
    );
  };

  const stopDnsmasq = async (name: string): Promise<void> => {
    for (const [signal, time] of [
      [SIGNALS.SIGTERM, endTime],
      [SIGNALS.SIGKILL, endTime],
    ] as const) {
      const pid = dnsmasqPid(name);
      if (pid === null) return;
      if (!signalled(pid, signal)) return;
      for (let waited = 0; waited < time && dnsmasqPid(name) === pid; waited += 10) await sleep(10);
    }
  };

  const serve = async (net: BridgeNetwork, kind: FirewallKind): Promise<void> => {
    await firewall.set(kind, net);
    await startDnsmasq(net);
  };

  const freeAddresses = ({ name, ipv4 }: BridgeNetwork): BridgeStatus["freeFor"] =>
    freeFor(
      ipv4.dhcp,
      currentLeases(filesOf(name)).map(({ address }) => address),
    );

  /** half: whoever made it was killed meanwhile. */
  const find = (name: string): "ours" | "half" | "others" | "none" => {
    const link = ownLink(host.arch, name);
    if (link === null) return "none";
    if (link.alias !== ownBridgeMark(host)) return "others";
    return (link.flags & IFF_UP) === 0 ? "half" : "ours";
  };
  const isOurs = (name: string): boolean => ["ours", "half"].includes(find(name));

  const hostedBridge = (network: BridgeNetwork): HostedBridge => ({
    network,
    files: filesOf(network.name),
    reread: () => {
      const pid = dnsmasqPid(network.name);
      if (pid !== null) signalled(pid, SIGNALS.SIGHUP);
    },
  });

  const takeDown = async (name: string): Promise<void> => {
    const known = recall(name);
    if (known?.hostNames === true) names.drop(hostedBridge(known));
    await stopDnsmasq(name);
    // Another daemon's rules of the same bridge have the same name.
    const isAnothers = find(name) === "others" && ownLink(host.arch, name)?.alias?.startsWith(bridgeMark) === true;
    if (!isAnothers) await firewall.remove(readNote(name)?.firewall ?? null, name);
    if (isOurs(name)) await runPlan(planBridgeDown(name, host), `take the bridge ${name} away`);
    forget(name);
  };

  const bringUp = async (net: BridgeNetwork): Promise<BridgeUp["done"]> => {
    const { name } = net;
    const before = readNote(name);
    const isSame = before !== null && JSON.stringify(before.network) === JSON.stringify(net);
    const found = find(name);
    if (found === "others")
      throw new IsletError("ISLET_EXISTS", `there is an interface ${name} already that islet has not made`, {
        hint: "containers can use it as it is",
      });
    if (found === "ours") {
      if (!isSame)
        throw new IsletError("ISLET_BUSY", `${name} is up with other settings`, { hint: "islet net down comes first" });
      if (dnsmasqPid(name) === null) {
        await serve(net, before.firewall);
        return "mended";
      }
      // Rules are lost unseen: whoever reloads the host's firewall flushes them.
      await firewall.set(before.firewall, net);
      return "there";
    }
    await takeDown(name);
    // Before anything is made: whoever comes after a crash knows whose it is.
    const kind = await firewall.choose(net);
    remember(net, kind);
    try {
      await runPlan(planBridgeUp(net, host), `make the bridge ${name}`);
      await serve(net, kind);
    } catch (error) {
      await takeDown(name).catch((also: unknown) => {
        console.error(`cannot clean up after ${name}`, also);
      });
      throw error;
    }
    return "made";
  };

  const check = (net: BridgeNetwork): Promise<CheckedBridge> =>
    checkBridge(host, binary, {
      network: net,
      leases: filesOf(net.name).leases,
      dnsmasqPid: dnsmasqPid(net.name),
      hasNatRule: () => firewall.hasNat(readNote(net.name)?.firewall ?? "nft", net),
    });

  return {
    names,
    hosted: () =>
      namesIn(directory).flatMap((name) => {
        const network = recall(name);
        return network === null ? [] : [hostedBridge(network)];
      }),
    up: (net) =>
      queue.run(net.name, async () => {
        const done = await bringUp(net);
        if (net.hostNames) names.keep(hostedBridge(net));
        return { done, warnings: (await check(net)).warnings };
      }),
    down: (name, force) =>
      queue.run(name, async () => {
        if (recall(name) === null && !isOurs(name)) return false;
        const ports = portsOf(host, name);
        if (ports.length > 0 && !force)
          throw new IsletError("ISLET_BUSY", `${name} is in use: ${ports.join(", ")}`, {
            hint: "stop the containers, or --force",
          });
        await takeDown(name);
        return true;
      }),
    mend: async (name) => {
      if (dnsmasqPid(name) !== null) return [];
      return queue.run(name, async () => {
        const note = readNote(name);
        if (note === null || find(name) !== "ours" || dnsmasqPid(name) !== null) return [];
        try {
          await serve(note.network, note.firewall);
          return [];
        } catch (error) {
          return errorLines(error);
        }
      });
    },
    check: (name) =>
      queue.run(name, async () => {
        const net = recall(name);
        if (net === null || find(name) !== "ours") return null;
        return (await check(net)).findings;
      }),
    list: () =>
      namesIn(directory).flatMap((name) => {
        const network = recall(name);
        if (network === null) return [];
        return [
          {
            network,
            isUp: find(name) === "ours",
            dnsmasqPid: dnsmasqPid(name),
            freeFor: freeAddresses(network),
            ports: portsOf(host, name),
          },
        ];
      }),
  };
}

/** False: it has ended meanwhile. */
function signalled(pid: number, signal: number): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

function portsOf(host: HostFacts, name: string): readonly string[] {
  const links = ownLinks(host.arch);
  const bridge = links.find((link) => link.name === name);
  return bridge === undefined
    ? []
    : links
        .filter(({ master }) => master === bridge.index)
        .map((link) => link.name)
        .sort();
}

/** Of what is written down. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length))
      .sort();
  } catch {
    return [];
  }
}

const reason = (result: Exclude<ProgramResult, { readonly kind: "done" }>): string =>
  result.kind === "late" ? `it took longer than ${patience / 1000} s` : printable(result.why);
