import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { capabilityNames } from "../xml/read-os.js";
import type { Capabilities, Console, DomainDoc, IdRange, OsSpec } from "../xml/domain.js";
import { badDomain, internal, unsupported } from "./faults.js";
import { filesystemsOf } from "./from-mounts.js";
import { networkOf } from "./from-network.js";
import { blkioOf, cputuneOf, memoryOf, numatuneOf, vcpuOf } from "./from-tuning.js";
import { allOf, lastOf, type NativeSetting, readNative, wordsOf } from "./lines.js";

/** What the text does not say. */
export interface NativeContext {
  readonly newUuid: () => string;
  /** An address of libvirt's: 52:54:00:xx:xx:xx. */
  readonly newMac: () => string;
  /** The host's, for a configuration that names none. */
  readonly arch: OsSpec["arch"];
  readonly emulator: string;
}

/**
 * A domain that says what an LXC configuration says, as far as libvirt's own conversion goes; where that one turns it into something else, LXC's meaning holds. Throws
 * 33 for a line that is none; 67, 74, 1 and 8 for what a domain cannot say.
 */
export function domainFromNative(text: string, context: NativeContext): DomainDoc {
  const settings = readNative(text);
  const name = nameOf(settings);
  if (lastOf(settings, "lxc.mount", "lxc.mount.fstab") !== null) {
    const words = "lxc.mount.fstab or lxc.mount found, use lxc.mount.entry lines instead";
    throw new LibvirtError(errorCodes.argumentUnsupported, errorDomains.lxc, words);
  }
  const network = networkOf(settings, context.newMac);
  return {
    name,
    uuid: context.newUuid(),
    title: null,
    description: null,
    metadata: [],
    ...memoryOf(settings),
    blkio: blkioOf(settings),
    vcpu: vcpuOf(settings),
    cputune: cputuneOf(settings),
    numatune: numatuneOf(settings),
    partition: null,
    os: {
      arch: archOf(settings) ?? context.arch,
      init: "/sbin/init",
      initArgs: [],
      initEnv: [],
      initDir: null,
      initUser: null,
      initGroup: null,
      cmdline: null,
    },
    idmap: idmapOf(settings),
    features: { privnet: network.isPrivate, capabilities: capabilitiesOf(settings), others: [] },
    clock: { offset: "utc", attributes: {}, timers: [] },
    onPoweroff: "destroy",
    onReboot: "restart",
    onCrash: "destroy",
    emulator: context.emulator,
    filesystems: filesystemsOf(settings),
    interfaces: network.interfaces,
    consoles: consolesOf(settings),
    disks: [],
    hostdevs: network.hostdevs,
    otherDevices: [],
    seclabels: [],
    namespaces: null,
    live: null,
  };
}

type Settings = readonly NativeSetting[];

function nameOf(settings: Settings): string {
  const name = lastOf(settings, "lxc.uts.name", "lxc.utsname")?.value;
  if (name === undefined) throw unsupported("Missing lxc.uts.name configuration");
  if (name.includes("/")) throw badDomain(`name ${name} cannot contain '/'`);
  return name;
}

/** LXC's names, and uname's. */
const arches: Readonly<Record<string, OsSpec["arch"]>> = {
  x86_64: "x86_64",
  amd64: "x86_64",
  linux64: "x86_64",
  x86: "i686",
  i386: "i686",
  i486: "i686",
  i586: "i686",
  i686: "i686",
  linux32: "i686",
  aarch64: "aarch64",
  arm64: "aarch64",
};

function archOf(settings: Settings): OsSpec["arch"] | null {
  const value = lastOf(settings, "lxc.arch")?.value ?? "";
  return Object.hasOwn(arches, value) ? (arches[value] ?? null) : null;
}

/** More than any guest has gettys for; each takes a pty. */
const mostConsoles = 1024;

/** A domain without one cannot be started. */
function consolesOf(settings: Settings): readonly Console[] {
  const setting = lastOf(settings, "lxc.tty.max", "lxc.tty");
  const value = setting?.value ?? "0";
  if (!/^\d{1,9}$/.test(value)) throw internal(`failed to parse int: '${value}'`);
  if (Number(value) > mostConsoles)
    throw unsupported(`${setting?.key ?? ""} is more than ${mostConsoles} (line ${setting?.line ?? 0})`);
  const length = Math.max(1, Number(value));
  return Array.from({ length }, (_, port) => ({ type: "pty", targetType: "lxc", port }));
}

/** LXC counts from inside: `u 0 100000 65536` is root on the host's 100000. */
function idmapOf(settings: Settings): DomainDoc["idmap"] {
  const ranges = allOf(settings, "lxc.idmap", "lxc.id_map").map(({ key, value }) => {
    const [, kind, ...numbers] = /^([ug])\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})$/.exec(value) ?? [];
    const [start, target, count] = numbers.map(Number);
    if (kind === undefined || start === undefined || target === undefined || count === undefined)
      throw internal(`invalid ${key}: '${value}'`);
    return { kind, range: { start, target, count } };
  });
  const of = (wanted: string): readonly IdRange[] =>
    ranges
      .filter(({ kind }) => kind === wanted)
      .map(({ range }) => range)
      .sort((a, b) => a.start - b.start);
  return ranges.length === 0 ? null : { uids: of("u"), gids: of("g") };
}

/** Those that libvirt has no element for are left to the policy. */
function capabilitiesOf(settings: Settings): Capabilities {
  const named = (key: string): readonly string[] => {
    const words = allOf(settings, key).flatMap(({ value }) => wordsOf(value.toLowerCase()));
    return words.slice(words.lastIndexOf("none") + 1).map((word) => word.replace(/^cap_/, ""));
  };
  const states = (names: readonly string[], on: boolean): Capabilities["states"] =>
    capabilityNames.filter((name) => names.includes(name)).map((name) => ({ name, on }));
  return allOf(settings, "lxc.cap.keep").length > 0
    ? { policy: "deny", states: states(named("lxc.cap.keep"), true) }
    : { policy: "allow", states: states(named("lxc.cap.drop"), false) };
}
