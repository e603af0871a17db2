import { readFileSync } from "node:fs";
import type { Arch } from "../sys/arch.js";
import type { Addresses, InterfaceStatus, LinkStatus } from "./engine.js";
import { addressesInNamespace, interfacesInNamespace } from "../host/netns.js";

/** Interfaces of a running container, with the addresses that mean something outside it. */
export function interfacesOf(arch: Arch, pid: number): readonly InterfaceStatus[] {
  return interfacesInNamespace(arch, pid);
}

/** In the order of the interfaces. */
export function addressesOf(arch: Arch, pid: number): Addresses {
  const reachable = addressesInNamespace(arch, pid).filter((item) => item.index !== loIndex);
  return {
    ipv4: reachable.filter((item) => item.family === "ipv4").map((item) => item.address),
    ipv6: reachable.filter((item) => item.family === "ipv6").map((item) => item.address),
  };
}

/** lo is the first interface of every network namespace. */
const loIndex = 1;

function counter(link: string, name: string): bigint {
  try {
    return BigInt(readFileSync(`/sys/class/net/${link}/statistics/${name}`, "utf8").trim());
  } catch {
    return 0n;
  }
}

/** Byte counts of the host's ends; those that are gone are left out. */
export function linksOf(names: readonly string[]): readonly LinkStatus[] {
  return names.map((hostName) => ({
    hostName,
    txBytes: counter(hostName, "tx_bytes"),
    rxBytes: counter(hostName, "rx_bytes"),
  }));
}
