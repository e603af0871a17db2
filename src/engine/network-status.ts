import { readFileSync } from "node:fs";
import type { Arch } from "../sys/arch.js";
import type { InterfaceStatus, LinkStatus } from "./engine.js";
import { dumpInNamespace } from "../host/netns.js";

/** Interfaces of a running container, with the addresses that mean something outside it. */
export function interfacesOf(arch: Arch, pid: number): readonly InterfaceStatus[] {
  return dumpInNamespace(arch, pid);
}

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
