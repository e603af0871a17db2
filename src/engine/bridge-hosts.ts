import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import {
  addressFile,
  type BridgeHost,
  type BridgeHostNic,
  type BridgeHostOwner,
  dhcpHostFile,
  type NotedNic,
  parseDhcpHostFile,
} from "../network/bridge-host.js";
import type { HostEntry } from "../network/hosts-file.js";
import { type Lease, parseLeases } from "../network/leases.js";
import { broadcastAddress, networkAddress } from "../spec/address.js";
import type { BridgeNetwork } from "../spec/bridge.js";
import type { NicReservation } from "../spec/nic.js";
import { DHCP_SERVER_PORT, dhcpRelease } from "../sys/dhcp.js";
import { parseIp, parseMac } from "../sys/ip.js";
import type { BridgeFiles } from "./bridge-files.js";
import { configFileOf } from "./store.js";

/**
 * Containers on a bridge of islet's, as its dnsmasq(8) knows them: by the hardware addresses of their interfaces. A name is the container's
 * whatever its guest says of itself, and no guest can take another's. dnsmasq sees new files at once; of others it hears by `reread`.
 */

/** One bridge: how it was made, and its places. */
export interface HostedBridge {
  readonly network: BridgeNetwork;
  readonly files: BridgeFiles;
  /** Lets dnsmasq read its files anew, if it runs. */
  readonly reread: () => void;
}

/** A file for every container, whatever store it is in. */
function fileOf(directory: string, id: BridgeHostOwner): string {
  const hash = createHash("sha256").update(`${id.storePath}\0${id.name}`).digest("hex").slice(0, 12);
  return join(directory, `${id.name}.${hash}`);
}

/** Makes what dnsmasq reads. Whose rights dnsmasq has must be able to read it. */
export function makeHostDirectories({ hosts, running }: BridgeFiles): void {
  for (const each of [hosts, running]) mkdirSync(each, { recursive: true, mode: 0o755 });
}

/**
 * A container is about to start there. Gives back what takes it back if that fails; `tell` gets what is not as it might be expected.
 * @throws IsletError ISLET_BAD_CONFIG where a reservation cannot be kept.
 */
export function admitHost(bridge: HostedBridge, host: BridgeHost, tell: (line: string) => void): () => void {
  const { files, network } = bridge;
  makeHostDirectories(files);
  const file = fileOf(files.hosts, host.id);
  const before = textOf(file);
  for (const { reservation } of host.nics) if (reservation !== null) checkReservation(network, reservation);
  // Most have been here before.
  const known = before === dhcpHostFile(host) && host.nics.every(({ reservation }) => reservation === null);
  const admitted = known ? host : withoutConflicts(bridge, host, tell);
  const text = dhcpHostFile(admitted);
  if (text !== before) {
    writeFileSync(file, text, { mode: 0o644 });
    if (before !== null) bridge.reread();
  }
  const running = fileOf(files.running, host.id);
  writeFileSync(running, addressFile(admitted, network.domain), { mode: 0o644 });
  return () => {
    rmSync(running, { force: true });
    if (before === null) rmSync(file, { force: true });
    else if (text !== before) writeFileSync(file, before, { mode: 0o644 });
    bridge.reread();
  };
}

/** It has ended: what it had by itself resolves no longer, and what it got by DHCP is free. */
export async function hostEnded(bridge: HostedBridge, id: BridgeHostOwner): Promise<void> {
  const running = fileOf(bridge.files.running, id);
  const addresses = textOf(running);
  if (addresses === null) return;
  rmSync(running, { force: true });
  if (addresses !== "") bridge.reread();
  const noted = parseDhcpHostFile(textOf(fileOf(bridge.files.hosts, id)) ?? "");
  const own = new Set(noted?.nics.map(({ hwaddr }) => hwaddr));
  await release(
    bridge.network,
    currentLeases(bridge.files).filter(({ hwaddr }) => own.has(hwaddr)),
  );
}

/** It is there no more. */
export function forgetHost(bridge: HostedBridge, id: BridgeHostOwner): void {
  const file = fileOf(bridge.files.hosts, id);
  if (!existsSync(file)) return;
  rmSync(file, { force: true });
  bridge.reread();
}

/** Those that were started on it and have not ended since, as far as anybody saw. */
export function runningHosts({ files }: HostedBridge): readonly BridgeHostOwner[] {
  return notesIn(files).flatMap(({ id }) => (existsSync(fileOf(files.running, id)) ? [id] : []));
}

/** Names of the running ones, with the addresses that they have. */
export function hostEntries(bridge: HostedBridge): readonly HostEntry[] {
  const leases = currentLeases(bridge.files);
  return notesIn(bridge.files)
    .flatMap(({ id, nics }) => {
      const addresses = textOf(fileOf(bridge.files.running, id));
      if (addresses === null) return [];
      const fixed = addresses.split("\n").flatMap((line) => {
        const [address = "", name = ""] = line.split(" ");
        return name === "" ? [] : [{ address, name: name.split(".", 1)[0] ?? name }];
      });
      const leased = nics.flatMap(({ hwaddr, name }) =>
        name === null
          ? []
          : leases.filter((lease) => lease.hwaddr === hwaddr).map(({ address }) => ({ address, name })),
      );
      return [...fixed, ...leased];
    })
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function checkReservation({ name, ipv4 }: BridgeNetwork, { address, at }: NicReservation): void {
  const { network } = ipv4;
  const subnet = `${network.address}/${network.prefix}`;
  const refuse = (why: string): never => {
    throw new IsletError("ISLET_BAD_CONFIG", why, { at });
  };
  if (networkAddress("ipv4", address, network.prefix) !== network.address)
    refuse(`${address} is not in ${subnet}, the network of ${name}`);
  if (address === ipv4.address) refuse(`${address} is the address of ${name} itself`);
  if (address === network.address || address === broadcastAddress(network.address, network.prefix))
    refuse(`${address} cannot be a host's in ${subnet}`);
}

/** Reservations of others stand; so do their names. */
function withoutConflicts(bridge: HostedBridge, host: BridgeHost, tell: (line: string) => void): BridgeHost {
  const others = notesIn(bridge.files).filter(({ id }) => {
    if (id.storePath === host.id.storePath && id.name === host.id.name) return false;
    if (existsSync(configFileOf(id))) return true;
    // Removed behind our back.
    forgetHost(bridge, id);
    return false;
  });
  const leases = currentLeases(bridge.files);
  return { ...host, nics: host.nics.map((nic) => admittedNic(bridge, nic, others, leases, tell)) };
}

type Noted = NonNullable<ReturnType<typeof parseDhcpHostFile>>;

const show = ({ storePath, name }: BridgeHostOwner): string => printable(`${storePath}/${name}`);

function admittedNic(
  bridge: HostedBridge,
  nic: BridgeHostNic,
  others: readonly Noted[],
  leases: readonly Lease[],
  tell: (line: string) => void,
): BridgeHostNic {
  const owner = (is: (other: NotedNic) => boolean): BridgeHostOwner | null =>
    others.find(({ nics }) => nics.some(is))?.id ?? null;
  const { reservation, name } = nic;
  if (reservation !== null) {
    const { address, at } = reservation;
    const other = owner((each) => each.address === address);
    if (other !== null)
      throw new IsletError("ISLET_BAD_CONFIG", `${address} is reserved for ${show(other)} already`, { at });
    const lease = leases.find((each) => each.address === address && each.hwaddr !== nic.hwaddr);
    if (lease !== undefined)
      takeOver(
        bridge,
        lease,
        owner(({ hwaddr }) => hwaddr === lease.hwaddr),
        reservation,
      );
  }
  const rival = name === null ? null : owner((each) => each.name === name);
  if (rival === null) return nic;
  tell(
    `the name ${name ?? ""} on ${bridge.network.name} is that of ${show(rival)}, so nothing resolves to this container`,
  );
  return { ...nic, name: null };
}

/** Somebody got it by DHCP before it was reserved. */
function takeOver(
  bridge: HostedBridge,
  lease: Lease,
  owner: BridgeHostOwner | null,
  { address, at }: NicReservation,
): void {
  const runs = owner !== null && existsSync(fileOf(bridge.files.running, owner));
  if (runs || owner === null) {
    const whose = owner === null ? lease.hwaddr : show(owner);
    throw new IsletError("ISLET_BAD_CONFIG", `${address} is leased to ${whose} at present`, {
      at,
      hint:
        owner === null
          ? "take another one, or wait for the end of the lease"
          : "take another one, or stop that container first",
    });
  }
  release(bridge.network, [lease]).catch((error: unknown) => {
    console.error(`cannot give ${address} back`, error);
  });
}

/** Those that have not ended. */
export function currentLeases(files: BridgeFiles): readonly Lease[] {
  const now = Date.now() / 1000;
  return parseLeases(textOf(files.leases) ?? "").filter(({ expires }) => expires === 0 || expires > now);
}

function notesIn({ hosts }: BridgeFiles): readonly Noted[] {
  return namesIn(hosts).flatMap((name) => {
    const noted = parseDhcpHostFile(textOf(join(hosts, name)) ?? "");
    return noted === null ? [] : [noted];
  });
}

/** Gives addresses back for those who had them (RFC 2131, 4.4.6). Resolves when that is sent; nobody answers. */
async function release(network: BridgeNetwork, leases: readonly Lease[]): Promise<void> {
  const server = parseIp("ipv4", network.ipv4.address);
  const messages = leases.flatMap(({ hwaddr, address }) => {
    const [mac, ip] = [parseMac(hwaddr), parseIp("ipv4", address)];
    return mac === undefined || ip === undefined || server === undefined ? [] : [dhcpRelease(mac, ip, server)];
  });
  if (messages.length === 0) return;
  const { createSocket } = await import("node:dgram");
  const socket = createSocket("udp4");
  try {
    for (const message of messages) {
      await new Promise<void>((resolve) => {
        // What cannot be sent ends with its time.
        socket.send(message, DHCP_SERVER_PORT, network.ipv4.address, () => {
          resolve();
        });
      });
    }
  } finally {
    socket.close();
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
