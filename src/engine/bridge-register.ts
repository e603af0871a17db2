import { existsSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { type BridgeHostNic, type BridgeHostOwner, hostNameOf } from "../network/bridge-host.js";
import { insideHwaddr } from "../plan/nic/hwaddr.js";
import type { HostFacts, StartFacts } from "../spec/host.js";
import type { NicSpec } from "../spec/nic.js";
import type { ContainerSpec } from "../spec/spec.js";
import { bridgeDirectory, bridgeFiles } from "./bridge-files.js";
import type * as BridgeHosts from "./bridge-hosts.js";
import type { Bridges } from "./bridges.js";
import type { ContainerId, StartOptions } from "./engine.js";
import type { Registry } from "./registry.js";

/** Keeps the bridges of islet's told of the containers on them, from start to end. */
export interface BridgeRegister {
  /** Before a start. Gives back what takes it back if that fails. @throws IsletError ISLET_BAD_CONFIG, ISLET_IO */
  admit(spec: ContainerSpec, start: StartFacts, warn: StartOptions["warn"]): Promise<() => void>;
  /** The container is there no more. */
  forget(id: ContainerId): Promise<void>;
  /** Catches up with what happened while no daemon was there. */
  resume(): Promise<void>;
  /** Somebody must be there when a guest gets an address or a container ends. */
  isNeeded(): boolean;
  close(): Promise<void>;
}

type Veth = Extract<NicSpec, { readonly type: "veth" }>;

/** Loaded when there is a bridge: most daemons never need it. */
interface Known {
  readonly bridges: Bridges;
  readonly hosts: typeof BridgeHosts;
}

const nothing = (): void => undefined;

export function createBridgeRegister(
  host: HostFacts,
  registry: Registry,
  bridges: () => Promise<Bridges>,
): BridgeRegister {
  let made: Known | null = null;
  /** What is being done for containers that have ended: it comes before their next start. */
  let ends: Promise<void> = Promise.resolve();

  /** null: islet has made no bridge. */
  const known = async (): Promise<Known | null> => {
    if (made === null && existsSync(bridgeDirectory(host)))
      made = { bridges: await bridges(), hosts: await import("./bridge-hosts.js") };
    return made;
  };
  const refresh = (of: Known, bridge: BridgeHosts.HostedBridge): void => {
    if (bridge.network.hostNames) of.bridges.names.keep(bridge);
  };

  const end = async (id: BridgeHostOwner): Promise<void> => {
    const of = await known();
    if (of === null) return;
    for (const bridge of of.bridges.hosted()) {
      await of.hosts.hostEnded(bridge, id);
      refresh(of, bridge);
    }
  };
  const ended = (id: BridgeHostOwner): void => {
    ends = ends
      .then(() => end(id))
      .catch((error: unknown) => {
        console.error(`cannot give back the addresses of ${id.name}`, error);
      });
  };
  const unsubscribe = registry.onGone((meta) => {
    if (made !== null || existsSync(bridgeDirectory(host))) ended(meta);
  });

  return {
    async admit(spec, start, warn) {
      const noted = vethsOf(spec).filter(
        ({ link, mode }) => link !== null && mode === "bridge" && existsSync(bridgeFiles(host, link).note),
      );
      const joined = start.callerNamespaces.includes("net") ? [] : noted;
      checkReservations(vethsOf(spec), joined);
      if (joined.length === 0) return nothing;
      await ends;
      const of = await known();
      if (of === null) return nothing;
      const undo: (() => void)[] = [];
      const takeBack = (): void => {
        for (const each of undo.reverse()) each();
      };
      try {
        for (const bridge of of.bridges.hosted()) {
          const nics = joined.filter(({ link }) => link === bridge.network.name);
          if (nics.length === 0) continue;
          const taken = of.hosts.admitHost(bridge, { id: spec, nics: hostNics(spec, nics, start) }, (message) =>
            warn?.({ message, at: null }),
          );
          undo.push(() => {
            taken();
            refresh(of, bridge);
          });
          refresh(of, bridge);
        }
      } catch (error) {
        takeBack();
        throw error;
      }
      return takeBack;
    },
    async forget(id) {
      const of = await known();
      for (const bridge of of?.bridges.hosted() ?? []) of?.hosts.forgetHost(bridge, id);
    },
    async resume() {
      const of = await known();
      if (of === null) return;
      for (const bridge of of.bridges.hosted()) {
        for (const id of of.hosts.runningHosts(bridge)) {
          if (registry.get(id) === undefined && !registry.isOrphan(id)) ended(id);
        }
        refresh(of, bridge);
      }
      await ends;
    },
    isNeeded: () =>
      made?.bridges
        .hosted()
        .some((bridge) => bridge.network.hostNames && made !== null && made.hosts.runningHosts(bridge).length > 0) ===
      true,
    async close() {
      unsubscribe();
      made?.bridges.names.close();
      await ends;
    },
  };
}

function vethsOf({ network }: ContainerSpec): readonly Veth[] {
  return network.kind === "own" ? network.nics.filter((nic) => nic.type === "veth") : [];
}

/** Whoever gives addresses elsewhere knows nothing of them. */
function checkReservations(all: readonly Veth[], joined: readonly Veth[]): void {
  for (const { reservation, link, index } of all.filter((nic) => !joined.includes(nic))) {
    if (reservation === null) continue;
    throw new IsletError(
      "ISLET_BAD_CONFIG",
      `${reservation.address} cannot be reserved: ${link === null ? `lxc.net.${index} has no bridge` : `islet has not made the bridge ${link}`}`,
      { at: reservation.at, hint: `lxc.net.${index}.ipv4.address gives an address without DHCP` },
    );
  }
}

/** Of several on one bridge the first has the name. */
function hostNics(spec: ContainerSpec, nics: readonly Veth[], start: StartFacts): readonly BridgeHostNic[] {
  return nics.map((nic, position) => ({
    hwaddr: insideHwaddr(nic, start.digits),
    name: position === 0 ? hostNameOf(spec.name) : null,
    reservation: nic.reservation,
    fixed: nic.addresses.map(({ address }) => address),
  }));
}
