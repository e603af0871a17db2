import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { IsletError } from "../base/errors.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { HostFacts, LxcfsFacts, RootfsFacts, StartFacts } from "../spec/host.js";
import { cgroupMemberships } from "../host/probe.js";
import { namespaceKinds } from "../spec/namespace.js";
import { guestApiDirectory, monitorSocketPath, networkPin } from "../runtime/monitors.js";
import { payloadName } from "../plan/cgroup.js";
import { mapText } from "../plan/idmap.js";
import type { SourceMounts } from "../plan/source.js";
import type { OpenRoot } from "../storage/open.js";
import { plainDirectory } from "../spec/rootfs.js";
import { callerNamespaces } from "./caller-namespaces.js";
import type { StartOptions } from "./engine.js";
import { guestFacts, stableDigits } from "./guest-facts.js";
import { loginOf } from "./login.js";

/** What this one start needs to know beside the host: gathered as late as possible. */
export function startFacts(
  spec: ContainerSpec,
  host: HostFacts,
  options: StartOptions,
  scope: StartFacts["scope"],
  pidOf: (container: string) => number | null,
  lxcfs: LxcfsFacts | null,
  sources: Sources | null,
  loops: number,
): StartFacts {
  const shared = sharedPids(spec, pidOf);
  checkSharedMap(spec, shared);
  const digits = stableDigits(spec);
  const files =
    spec.rootfs.source.kind === "host" ? "/" : (plainDirectory(spec.rootfs.source) ?? sources?.files?.path ?? null);
  const namespaces = callerNamespaces(spec, options.caller.pid);
  return {
    environment: options.caller.environment,
    cgroupSuffix: freeSuffix(spec, host),
    random: spec.guest.stableNics ? digits : randomBytes(32).toString("hex"),
    digits,
    sharedPids: shared,
    callerPid: options.caller.pid,
    callerNamespaces: namespaces,
    callerCgroups: spec.cgroup.relative
      ? Object.fromEntries(cgroupMemberships(readFileSync(`/proc/${options.caller.pid}/cgroup`, "utf8")))
      : {},
    scope,
    linkAddresses: linkAddresses(spec),
    pidFile: options.pidFile,
    stdio:
      options.stdio === undefined
        ? null
        : (options.stdio.map((fd) => fd !== null) as unknown as readonly [boolean, boolean, boolean]),
    socketPath: monitorSocketPath(host.runtimeDir, spec.storePath, spec.name),
    guest: guestFacts(spec, host, spec.rootfs.source.kind === "host" ? null : files),
    login: loginOf(spec, host, files),
    listen:
      options.listen === undefined || options.listen.fds.length === 0
        ? null
        : { count: options.listen.fds.length, names: options.listen.names },
    terminal: terminalOf(options),
    rootfs: sources?.facts ?? null,
    images: sources?.images ?? {},
    loops,
    lxcfs,
    networkPin: namespaces.includes("net") ? null : networkPin(host.runtimeDir, spec.storePath, spec.name),
    guestApi: guestApiDirectory(host.runtimeDir, spec.storePath, spec.name),
  };
}

/** What a start needs beside where the root file system is no directory. */
export interface Sources {
  readonly facts: RootfsFacts | null;
  readonly images: StartFacts["images"];
  readonly mounts: SourceMounts;
  /** The guest's files, where facts of the guest are made of them; to be closed before the start. */
  readonly files: OpenRoot | null;
}

/** null: the root file system is a directory, and no mount is of a device. Most are so, and their starts do not wait for modules. `binary`: of islet. */
export function readSources(host: HostFacts, binary: string, spec: ContainerSpec): Promise<Sources> | null {
  const { source } = spec.rootfs;
  const isPlain = source.kind === "host" || source.kind === "other" || plainDirectory(source) !== null;
  const images = spec.mounts.entries.flatMap(({ image, source: path }) => (image === undefined ? [] : [path]));
  if (isPlain && images.length === 0) return null;
  return (async () => {
    const [{ deviceFacts, rootFacts }, { sourceMounts }] = await Promise.all([
      import("../storage/root-facts.js"),
      import("../plan/source.js"),
    ]);
    return {
      facts: rootFacts(source),
      images: Object.fromEntries(images.map((path) => [path, deviceFacts(path)])),
      mounts: sourceMounts,
      files: isPlain ? null : await guestFiles(host, binary, spec),
    };
  })();
}

async function guestFiles(host: HostFacts, binary: string, spec: ContainerSpec): Promise<OpenRoot | null> {
  const { guest, init, rootfs } = spec;
  if (guest.journal === "no" && (guest.run?.users ?? []).length === 0 && init.login === undefined) return null;
  const { openRoot } = await import("../storage/open.js");
  return await openRoot(host, binary, rootfs.source, { write: false, options: rootfs.options });
}

/** TERM of whoever is joined with the console from the beginning. */
function terminalOf(options: StartOptions): string | null {
  const kind = options.caller.environment["TERM"] ?? "";
  return options.join !== undefined && /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(kind) ? kind : null;
}

/** Highest suffix that is tried: LXC's own. */
const maxSuffix = 999;

/** "" unless a cgroup of the container's name is in use by something else: then -1, -2 ... An empty left-over is used again. */
function freeSuffix(spec: ContainerSpec, host: HostFacts): string {
  // A container is in every hierarchy: one of each kind tells.
  const mounts = [host.cgroups.legacy[0]?.mount, host.cgroups.unified?.mount].filter((mount) => mount !== undefined);
  const { inner } = spec.cgroup;
  const used = (suffix: string): boolean =>
    mounts.some((mount) => {
      const path = `${mount}/${payloadName(spec, suffix)}`;
      return isPopulated(path) || (inner !== null && isPopulated(`${path}/${inner}`));
    });
  for (let number = 0; number <= maxSuffix; number += 1) {
    const suffix = number === 0 ? "" : `-${number}`;
    if (!used(suffix)) return suffix;
  }
  throw new IsletError("ISLET_START_FAILED", `all cgroups ${payloadName(spec, "")}-1 to -${maxSuffix} are in use`);
}

function isPopulated(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    return readFileSync(`${path}/cgroup.procs`, "utf8") !== "";
  } catch {
    return true;
  }
}

function sharedPids(
  spec: ContainerSpec,
  pidOf: (container: string) => number | null,
): Readonly<Record<string, number>> {
  const out: Record<string, number> = {};
  for (const kind of namespaceKinds) {
    const choice = spec.namespaces[kind];
    if (choice.kind !== "share" || !("container" in choice.with)) continue;
    const pid = pidOf(choice.with.container);
    if (pid !== null) out[choice.with.container] = pid;
  }
  return out;
}

/** The root file system and the devices are given to the ids of lxc.idmap: they must be those of the namespace. */
function checkSharedMap(spec: ContainerSpec, shared: Readonly<Record<string, number>>): void {
  const { user } = spec.namespaces;
  if (user.kind !== "share" || "file" in user.with) return;
  const whose = "pid" in user.with ? String(user.with.pid) : user.with.container;
  const pid = "pid" in user.with ? user.with.pid : shared[whose];
  // Who is not there is named when the namespace is opened.
  if (pid === undefined || !existsSync(`/proc/${pid}`)) return;
  const words = (text: string): string => text.trim().split(/\s+/).join(" ");
  const same = (["uid", "gid"] as const).every(
    (type) => words(readFileSync(`/proc/${pid}/${type}_map`, "utf8")) === words(mapText(spec.idmap, type)),
  );
  if (!same) {
    throw new IsletError(
      "ISLET_BAD_CONFIG",
      `lxc.idmap is not that of ${whose}, whose user namespace is to be shared`,
      {
        at: user.at,
        hint: "give both containers the same lxc.idmap lines, in the same order",
      },
    );
  }
}

function linkAddresses(spec: ContainerSpec): StartFacts["linkAddresses"] {
  if (spec.network.kind !== "own") return {};
  const wanted = spec.network.nics.flatMap((nic) =>
    "link" in nic && nic.link !== null && (nic.gateway4?.kind === "auto" || nic.gateway6?.kind === "auto")
      ? [nic.link]
      : [],
  );
  if (wanted.length === 0) return {};
  const all = networkInterfaces();
  const out: Record<string, { ipv4: string | null; ipv6: string | null }> = {};
  for (const link of wanted) {
    const addresses = all[link] ?? [];
    out[link] = {
      ipv4: addresses.find((item) => item.family === "IPv4")?.address ?? null,
      ipv6: addresses.find((item) => item.family === "IPv6" && !item.address.startsWith("fe80"))?.address ?? null,
    };
  }
  return out;
}
