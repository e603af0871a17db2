import { openSync, readlinkSync } from "node:fs";
import { type CallerNamespace, callerNamespaceKinds, type StartFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";

/** Namespaces of whoever starts a container, where they are not the daemon's. */

/** The kinds in which the caller is elsewhere than the daemon, where that matters to the container. */
export function callerNamespaces(spec: ContainerSpec, pid: number): readonly CallerNamespace[] {
  const matters = (kind: CallerNamespace): boolean =>
    spec.namespaces[kind].kind === "keep" ||
    (kind === "net" && spec.network.kind === "own" && spec.network.nics.some((nic) => nic.type !== "empty"));
  return callerNamespaceKinds.filter(
    (kind) => matters(kind) && namespaceOf(String(pid), kind) !== namespaceOf("self", kind),
  );
}

/** The interfaces that a container is joined with are the caller's, who has others than the daemon. */
export function isNetworkElsewhere(spec: ContainerSpec, pid: number): boolean {
  return callerNamespaces(spec, pid).includes("net");
}

/** "" where it cannot be seen, which is everybody's own. */
function namespaceOf(pid: string, kind: CallerNamespace): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return readlinkSync(`/proc/self/ns/${kind}`);
  }
}

/** Descriptors of the caller's namespaces, to be closed by whoever asked. */
export function openCallerNamespaces(facts: StartFacts): readonly number[] {
  return facts.callerNamespaces.map((kind) => openSync(`/proc/${facts.callerPid}/ns/${kind}`, "r"));
}
