import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { linksOfDescriptor, numberOfNamespace, ownLink } from "../host/netns.js";
import { type LiveNic, planLiveNic } from "../plan/nic/live.js";
import { nearName } from "../plan/nic/veth.js";
import { planUserNicGone } from "../plan/nic/user.js";
import type { LaunchProgram } from "../program/ops.js";
import { helperOutcome, runHelper } from "../runtime/helper.js";
import type { Monitor } from "../runtime/monitors.js";
import type { HostFacts } from "../spec/host.js";
import { addNode, bindNode, hasNode, mustBind, removeNode, setAccess, unbindNode } from "./device.js";
import type { NodeChange } from "./engine.js";

/** What running containers are given by the daemon itself, and lose again: nobody else's process has a part in it. */

/** Milliseconds. */
const patience = 10_000;

/** A container whose main process is known. */
export type Running = Pick<Monitor, "meta"> & { readonly pid: number; readonly pidfd: number };

export interface LiveDevices {
  /** The name of the host's end; null: there is none. ISLET_UNSUPPORTED, ISLET_EXISTS, ISLET_OPERATION_FAILED, ISLET_TIMEOUT. */
  addNic(of: Running, nic: LiveNic): Promise<string | null>;
  /** By the name of the host's end, of which the other one must be the container's. ISLET_NOT_FOUND, ISLET_OPERATION_FAILED, ISLET_TIMEOUT. */
  removeNic(of: Running, hostName: string): Promise<void>;
  /** ISLET_EXISTS: the container has something at that path. ISLET_NOT_FOUND: there is no device. */
  changeNode(of: Running, change: NodeChange): Promise<void>;
}

/** `binary`: of islet. */
export function createLiveDevices(host: HostFacts, binary: string): LiveDevices {
  return {
    addNic: (of, nic) => addNic(host, binary, of, nic),
    removeNic: (of, hostName) => removeNic(host, binary, of, hostName),
    changeNode: (of, change) => changeNode(host, binary, of, change),
  };
}

async function run(
  host: HostFacts,
  binary: string,
  program: LaunchProgram,
  fds: readonly number[],
  what: string,
): Promise<void> {
  const result = await runHelper(host.arch, binary, program, fds, patience);
  helperOutcome(
    program,
    result,
    () => new IsletError("ISLET_TIMEOUT", `cannot ${what}: it took longer than ${patience / 1000} s`),
  );
}

/** Inodes of nsfs are what tells namespaces apart (namespaces(7)). */
function isOwnNetwork(netns: number): boolean {
  const own = statSync("/proc/self/ns/net", { bigint: true });
  const other = fstatSync(netns, { bigint: true });
  return own.ino === other.ino && own.dev === other.dev;
}

async function addNic(host: HostFacts, binary: string, { pid, meta }: Running, nic: LiveNic): Promise<string | null> {
  const netns = openSync(`/proc/${pid}/ns/net`, "r");
  try {
    const links = isOwnNetwork(netns) ? null : linksOfDescriptor(host.arch, netns);
    if (links === null)
      throw new IsletError("ISLET_UNSUPPORTED", `${meta.name} has no network of its own that a nic could be put into`);
    const taken = new Set(links.map(({ name }) => name));
    let next = 0;
    while (taken.has(`eth${next}`)) next += 1;
    const name = nic.name ?? `eth${next}`;
    if (taken.has(name)) throw new IsletError("ISLET_EXISTS", `${meta.name} has an interface ${name} already`);
    const random = randomBytes(16 * (nic.index + 1)).toString("hex");
    const near = nic.type === "veth" ? nearName(nic.pair, nic.index, random) : null;
    if (near !== null && ownLink(host.arch, near) !== null)
      throw new IsletError("ISLET_EXISTS", `the name ${near} is in use on the host`);
    const program = planLiveNic(nic, name, { random, digits: random, linkAddresses: {} }, host);
    await run(host, binary, program, [netns], `make ${name}`);
    return near;
  } finally {
    closeSync(netns);
  }
}

async function removeNic(host: HostFacts, binary: string, { pid, meta }: Running, hostName: string): Promise<void> {
  const netns = openSync(`/proc/${pid}/ns/net`, "r");
  try {
    const inside = ownLink(host.arch, hostName)?.linkNetnsId ?? null;
    if (inside === null || inside !== numberOfNamespace(host.arch, netns))
      throw new IsletError("ISLET_NOT_FOUND", `${hostName} is no interface of ${meta.name}`);
    await run(host, binary, planUserNicGone(hostName, host), [], `remove ${hostName}`);
  } finally {
    closeSync(netns);
  }
}

async function changeNode(
  host: HostFacts,
  binary: string,
  { pid, pidfd, meta }: Running,
  change: NodeChange,
): Promise<void> {
  const { source, destination } = change;
  const bind = mustBind(meta);
  if (change.action === "del") {
    const { keepAccess } = change;
    try {
      if (bind) {
        const program = unbindNode(host, meta, pid, source, destination, keepAccess);
        await run(host, binary, program, [pidfd], `remove ${destination}`);
      } else removeNode(host, meta, pid, source, destination, keepAccess);
    } catch (error) {
      if (!(error instanceof IsletError && error.code === "ISLET_NOT_FOUND")) throw error;
      // The guest has removed it itself, or put another thing there: it loses the right to the device all the same.
      if (!keepAccess) setAccess(host, meta, source, false);
    }
    return;
  }
  if (hasNode(host, pid, destination))
    throw new IsletError("ISLET_EXISTS", `there is a file ${destination} in the container already`);
  const how = { mode: change.mode, write: change.write };
  try {
    if (bind)
      await run(host, binary, bindNode(host, meta, pid, source, destination, how), [pidfd], `make ${destination}`);
    else addNode(host, meta, pid, source, destination, how);
  } catch (error) {
    if (!change.hasAccess) setAccess(host, meta, source, false);
    throw error;
  }
}
