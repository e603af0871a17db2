import type { AbsPath } from "../../src/base/brand.js";
import type { HostFile, SpecContext } from "../../src/frontends/libvirt/spec/to-spec.js";
import type { DomainDoc, Filesystem, Interface, UsbDevice } from "../../src/frontends/libvirt/xml/domain.js";

/** Domains as the reader gives them, for tests of what becomes of them. */

/** The smallest one: memory, an init, one console. */
export function domain(changes: Partial<DomainDoc> = {}): DomainDoc {
  return {
    name: "web1",
    uuid: "11111111-2222-3333-4444-555555555555",
    title: null,
    description: null,
    metadata: [],
    memory: 131072n,
    currentMemory: 131072n,
    blkio: null,
    memtune: null,
    vcpu: { count: 1, current: null, placement: "static", cpuset: null },
    cputune: null,
    numatune: null,
    partition: null,
    os: {
      arch: "x86_64",
      init: "/sbin/init",
      initArgs: [],
      initEnv: [],
      initDir: null,
      initUser: null,
      initGroup: null,
      cmdline: null,
    },
    idmap: null,
    features: { privnet: false, capabilities: null, others: [] },
    clock: { offset: "utc", attributes: {}, timers: [] },
    onPoweroff: "destroy",
    onReboot: "restart",
    onCrash: "destroy",
    emulator: "/usr/lib/libvirt/libvirt_lxc",
    filesystems: [],
    interfaces: [],
    consoles: [console0],
    disks: [],
    hostdevs: [],
    otherDevices: [],
    seclabels: [],
    namespaces: null,
    live: null,
    ...changes,
  };
}

const console0 = { type: "pty", targetType: "lxc", port: 0 };

export function consoles(count: number): DomainDoc["consoles"] {
  return Array.from({ length: count }, (_, port) => ({ ...console0, port }));
}

/** With other words of <os>. */
export function withOs(os: Partial<DomainDoc["os"]>, changes: Partial<DomainDoc> = {}): DomainDoc {
  return domain({ ...changes, os: { ...domain().os, ...os } });
}

export function filesystem(
  source: Filesystem["source"],
  target: string,
  changes: Partial<Filesystem> = {},
): Filesystem {
  return { source, accessMode: "passthrough", target, readonly: false, ...changes };
}

export function nic(source: Interface["source"], changes: Partial<Interface> = {}): Interface {
  return {
    mac: "52:54:00:12:34:56",
    source,
    target: null,
    guest: null,
    ips: [],
    routes: [],
    script: null,
    model: null,
    inbound: null,
    outbound: null,
    link: null,
    isolated: false,
    others: [],
    ...changes,
  };
}

/** A host with a network `default` and these files; directories are directories. */
export function specContext(
  files: Readonly<Record<string, HostFile>> = {},
  changes: Partial<SpecContext> = {},
): SpecContext {
  return {
    storePath: "/var/lib/lxc" as AbsPath,
    configFile: "/var/lib/lxc/web1/config",
    networks: (name) => (name === "default" ? { bridge: "virbr0" } : null),
    shared: (name) => (name === "other" ? 1001 : null),
    passedFds: 0,
    stat: (path) => files[path] ?? null,
    ...changes,
  };
}

export function usb(changes: Partial<UsbDevice>): UsbDevice {
  return {
    kind: "usb",
    managed: "no",
    startupPolicy: null,
    vendor: null,
    product: null,
    bus: null,
    device: null,
    ...changes,
  };
}
