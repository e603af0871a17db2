import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { socketPair } from "../host/socket.js";
import type { MonitorMeta } from "../runtime/monitors.js";
import type { CgroupLayout } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";

/** Where a container's processes are in one hierarchy, as /proc/PID/cgroup shows it (cgroups(7)). */
export interface Payload {
  readonly name: string;
  /** Second field of the line: the hierarchy's controllers, "" for cgroup v2. */
  readonly controllers: string;
  /** Below the hierarchy's mount, with a slash in front. */
  readonly path: string;
}

/** A container is in every hierarchy: one of them tells. */
export function payloadOf(meta: MonitorMeta, layout: CgroupLayout): readonly Payload[] {
  for (const { controllers, path } of meta.cgroups) {
    const key = controllers.join(",");
    const mount = layout.legacy.find((item) => item.controllers.join(",") === key)?.mount;
    if (mount !== undefined) return [{ name: meta.name, controllers: key, path: path.slice(mount.length) }];
  }
  if (meta.unified === null || layout.unified === null) return [];
  return [{ name: meta.name, controllers: "", path: meta.unified.slice(layout.unified.mount.length) }];
}

/** The container whose cgroup a process's /proc/PID/cgroup shows, or null. A container inside another is part of the outer one. */
export function containerInText(text: string, payloads: readonly Payload[]): string | null {
  const membership = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match !== null) membership.set(match[1] ?? "", `${match[2] ?? ""}/`);
  }
  let best: { readonly name: string; readonly at: number } | null = null;
  for (const { name, controllers, path } of payloads) {
    const at = membership.get(controllers)?.indexOf(`${path}/`) ?? -1;
    if (at >= 0 && (best === null || at < best.at)) best = { name, at };
  }
  return best?.name ?? null;
}

export function containersByCgroup(payloads: readonly Payload[], pids: readonly number[]): ReadonlyMap<number, string> {
  const out = new Map<number, string>();
  if (payloads.length === 0) return out;
  for (const pid of pids) {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    } catch {
      continue; // it has ended
    }
    const name = containerInText(text, payloads);
    if (name !== null) out.set(pid, name);
  }
  return out;
}

/** Somewhere for a program of a client to write to, and what comes out of it here. */
export function outputSocket(arch: Arch): { readonly theirs: number; readonly output: Socket } {
  const [ours, theirs] = socketPair(arch);
  return { theirs, output: new Socket({ fd: ours, readable: true, writable: false }) };
}
