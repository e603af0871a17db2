/** A container of any front end's as a domain, as far as libvirt has words for it. */
import { createHash } from "node:crypto";
import type { EnvironmentEntry } from "../../../spec/process.js";
import type { RootfsSource } from "../../../spec/rootfs.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { NamespaceChoice } from "../../../spec/namespace.js";
import type { DomainDoc, Filesystem, Hostdev, IdRange, NamespaceSource, OsSpec, SecLabel } from "../xml/domain.js";
import { usualEmulator } from "../xml/read-context.js";
import { capabilitiesOf } from "./capability.js";
import { filesystemOf, isReadOnly } from "./filesystem-from.js";
import { limitsOf } from "./limits-from.js";
import { interfacesOf } from "./network-from.js";

/** `hostMemoryKiB`: what a container without a limit has. `arch`: the host's. What is running, and where its consoles are, the caller adds. */
export function fromSpec(
  spec: ContainerSpec,
  uuid: string,
  hostMemoryKiB: bigint,
  arch: "x86_64" | "aarch64",
): DomainDoc {
  const { process, init, idmap, network } = spec;
  const { interfaces, hostdevs } = interfacesOf(network);
  const limits = limitsOf(spec.cgroup.settings, hostMemoryKiB);
  const [program = "/sbin/init", ...initArgs] = init.command.value;
  const ranges = (type: "uid" | "gid"): readonly IdRange[] =>
    idmap
      .filter((entry) => entry.type === type)
      .map(({ inside, outside, count }) => ({ start: inside, target: outside, count }));
  const isLonely =
    network.kind === "own" && spec.namespaces.net.kind === "new" && interfaces.length + hostdevs.length === 0;
  return {
    name: spec.name,
    uuid,
    title: null,
    description: null,
    metadata: [],
    ...limits,
    partition: null,
    os: {
      // A domain has no word for the 32 bits of other hosts.
      arch: process.personality === "linux32" && arch === "x86_64" ? "i686" : arch,
      init: program,
      initArgs,
      initEnv: process.environment.flatMap(variableOf),
      initDir: init.cwd.value === "/" ? null : init.cwd.value,
      initUser: init.login?.user ?? (init.uid === 0 ? null : `+${init.uid}`),
      initGroup: init.login?.group ?? (init.gid === 0 ? null : `+${init.gid}`),
      cmdline: null,
    },
    idmap: idmap.length === 0 ? null : { uids: ranges("uid"), gids: ranges("gid") },
    features: { privnet: isLonely, capabilities: capabilitiesOf(spec.security.capabilities), others: [] },
    clock: { offset: "utc", attributes: {}, timers: [] },
    onPoweroff: "destroy",
    onReboot: spec.lifecycle.onReboot === "restart" ? "restart" : "destroy",
    onCrash: "destroy",
    emulator: usualEmulator,
    filesystems: [...rootOf(spec), ...spec.mounts.entries.flatMap(filesystemOf)],
    interfaces,
    consoles: Array.from({ length: spec.console.ttys + (spec.console.kind === "pty" ? 1 : 0) }, (_, port) => ({
      type: "pty",
      targetType: "lxc",
      port,
    })),
    disks: [],
    hostdevs: [...devicesOf(spec), ...hostdevs],
    otherDevices: [],
    seclabels: labelsOf(spec),
    namespaces: sharedOf(spec),
    live: null,
  };
}

/** Of a container that has no uuid: the same as long as its place and name are. Version 8 of RFC 9562, made of a digest. */
export function derivedUuid(storePath: string, name: string): string {
  const digest = createHash("sha256").update(`${storePath}\0${name}`).digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}

/** What every domain has anyway is left out. */
function variableOf(entry: EnvironmentEntry): OsSpec["initEnv"] {
  if (entry.kind !== "set" || entry.scope === "hooks" || entry.name === "container" || entry.value === "") return [];
  return [{ name: entry.name, value: entry.value }];
}

function rootOf({ rootfs, storePath, name }: ContainerSpec): readonly Filesystem[] {
  const source = rootSource(rootfs.source, `${storePath}/${name}/rootfs`);
  if (source === null) return [];
  const readonly = isReadOnly(rootfs.options);
  return [{ source, accessMode: "passthrough", target: "/", readonly }];
}

/** `place`: where what libvirt knows nothing of is mounted while the container is being made. */
function rootSource(source: RootfsSource, place: string): Filesystem["source"] | null {
  switch (source.kind) {
    case "host":
      return null;
    case "dir":
    case "btrfs":
      return { kind: "mount", dir: source.path };
    case "loop":
      return { kind: "file", file: source.path, driver: "loop", format: "raw" };
    case "block":
      return { kind: "block", dev: source.path };
    case "overlay":
    case "zfs":
    case "other":
      return { kind: "mount", dir: place };
    default:
      return source satisfies never;
  }
}

/** Nodes that every /dev has. */
const usual = new Set(["full", "null", "random", "tty", "urandom", "zero"]);

function devicesOf({ mounts }: ContainerSpec): readonly Hostdev[] {
  return mounts.dev.nodes
    .filter(({ name }) => !usual.has(name))
    .map(({ name, type }) =>
      type === "b" ? { kind: "storage", block: `/dev/${name}` } : { kind: "misc", char: `/dev/${name}` },
    );
}

function labelsOf({ security: { selinux, apparmor } }: ContainerSpec): readonly SecLabel[] {
  const label = (model: string, text: string): SecLabel => ({
    type: "static",
    model,
    relabel: null,
    label: text,
    baseLabel: null,
    imageLabel: null,
  });
  return [
    ...(selinux.context === null ? [] : [label("selinux", selinux.context.value)]),
    ...(apparmor.profile === null ? [] : [label("apparmor", apparmor.profile.value)]),
  ];
}

function sharedOf({ namespaces: { net, ipc, uts } }: ContainerSpec): DomainDoc["namespaces"] {
  const shared = { net: sourceOf(net), ipc: sourceOf(ipc), uts: sourceOf(uts) };
  return shared.net === null && shared.ipc === null && shared.uts === null ? null : shared;
}

function sourceOf(choice: NamespaceChoice): NamespaceSource | null {
  if (choice.kind !== "share") return null;
  const { with: whose } = choice;
  if ("pid" in whose) return { type: "pid", value: String(whose.pid) };
  if ("container" in whose) return { type: "name", value: whose.container.split("/").at(-1) ?? "" };
  return { type: "netns", value: whose.file.split("/").at(-1) ?? "" };
}
