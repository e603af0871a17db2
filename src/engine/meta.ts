import type { AttachTarget } from "../plan/attach.js";
import { nicNames } from "../plan/nic/nic.js";
import { nearName } from "../plan/nic/veth.js";
import { joinedNics } from "../network/clash.js";
import type { GuestApiMeta, MonitorMeta } from "../runtime/monitors.js";
import type { HostFacts, StartFacts } from "../spec/host.js";
import { type NamespaceKind, namespaceKinds } from "../spec/namespace.js";
import { toHostId } from "../spec/idmap.js";
import type { NicSpec } from "../spec/nic.js";
import type { ContainerSpec } from "../spec/spec.js";
import { payloadPaths, unifiedDevicePolicy } from "../plan/cgroup.js";
import { isMapped } from "../plan/context.js";
import { mayHaveLxcfs } from "../plan/lxcfs.js";

/** Of these the container has its monitor's, which need not be those of whoever attaches. */
const keptButJoined: readonly NamespaceKind[] = ["net", "uts", "ipc"];

/** Everything a later daemon must know of a running container: its monitor keeps it. */
export function describeMonitor(spec: ContainerSpec, host: HostFacts, start: StartFacts): MonitorMeta {
  const paths = payloadPaths(spec, host, start);
  const attach: AttachTarget = {
    namespaces: namespaceKinds.filter(
      (kind) =>
        (spec.namespaces[kind].kind !== "keep" || keptButJoined.includes(kind)) &&
        (kind !== "cgroup" || host.namespaces.includes("cgroup")),
    ),
    userNamespace: isMapped(spec),
    capabilities: spec.security.capabilities,
    noNewPrivileges: spec.security.noNewPrivileges,
    seccomp:
      spec.security.seccomp === null ? null : { file: spec.security.seccomp.file, text: spec.security.seccomp.text },
    personality: spec.process.personality,
    apparmor: spec.security.apparmor.profile?.value ?? null,
    ...(spec.security.selinux.context === null ? {} : { selinux: spec.security.selinux.context.value }),
    legacyCgroups: paths.legacy.map((item) => item.inner ?? item.path),
    unifiedCgroup: paths.unified === null ? null : (paths.unified.inner ?? paths.unified.path),
  };
  const environment: string[] = [];
  for (const entry of spec.process.environment) {
    if (entry.scope === "hooks" || entry.scope === "init" || (spec.guest.tellsInit && entry.name === "container"))
      continue;
    const value = entry.kind === "set" ? entry.value : start.environment[entry.name];
    if (value !== undefined) environment.push(`${entry.name}=${value}`);
  }
  return {
    version: 1,
    name: spec.name,
    storePath: spec.storePath,
    annotations: spec.annotations,
    cgroups: paths.legacy.map((item) => ({ controllers: item.hierarchy.controllers, path: item.path })),
    unified: paths.unified?.path ?? null,
    links: hostLinks(spec, start),
    ...joinedOf(spec, start),
    attach,
    signals: {
      halt: spec.lifecycle.haltSignal,
      reboot: spec.lifecycle.rebootSignal,
      stop: spec.lifecycle.stopSignal,
      death: spec.lifecycle.monitorDeathSignal,
    },
    environment,
    ...(spec.guest.tellsInit ? { tellsInit: true } : {}),
    ephemeral: spec.lifecycle.ephemeral,
    devices: unifiedDevicePolicy(spec, host),
    ...(spec.console.outer === true ? { outer: true } : {}),
    lxcfs: mayHaveLxcfs(spec, start),
    api: describeApi(spec),
  };
}

function describeApi(spec: ContainerSpec): GuestApiMeta | null {
  const { api } = spec.guest;
  if (api === null) return null;
  const rootUid = isMapped(spec) ? (toHostId(spec.idmap, "uid", 0) ?? 0) : 0;
  return { directory: api.directory, rootUid, devices: { ...nicDevices(spec), root: { path: "/", type: "disk" } } };
}

/** LXD's words for the kinds of nics. */
const nicTypes: Readonly<Record<Exclude<NicSpec["type"], "veth" | "empty">, string>> = {
  macvlan: "macvlan",
  ipvlan: "ipvlan",
  vlan: "physical",
  phys: "physical",
};

function nicDevices(spec: ContainerSpec): GuestApiMeta["devices"] {
  if (spec.network.kind !== "own") return {};
  const { nics } = spec.network;
  const names = nicNames(nics);
  return Object.fromEntries(
    nics.flatMap((nic, index) => {
      const name = names[index] ?? null;
      if (name === null || nic.type === "empty") return [];
      const nictype = nic.type === "veth" ? vethType(nic) : nicTypes[nic.type];
      const device = {
        ...(nic.hwaddr === null ? {} : { hwaddr: nic.hwaddr }),
        name,
        nictype,
        ...(nic.link === null ? {} : { parent: nic.link }),
        type: "nic",
      };
      return [[name, device]];
    }),
  );
}

const vethType = (nic: NicSpec & { readonly type: "veth" }): string => {
  if (nic.mode === "router") return "routed";
  return nic.link === null ? "p2p" : "bridged";
};

/** Links of the same name in another network namespace are others. */
function joinedOf(spec: ContainerSpec, start: StartFacts): Pick<MonitorMeta, "joined"> {
  if (spec.network.kind !== "own" || start.callerNamespaces.includes("net")) return {};
  const joined = joinedNics(spec.network.nics);
  return joined.length === 0 ? {} : { joined };
}

function hostLinks(spec: ContainerSpec, start: StartFacts): readonly string[] {
  if (spec.network.kind !== "own") return [];
  const names = nicNames(spec.network.nics);
  return spec.network.nics.flatMap((nic, index) =>
    nic.type === "veth" && names[index] !== null ? [nearName(nic.pair, nic.index, start.random)] : [],
  );
}
