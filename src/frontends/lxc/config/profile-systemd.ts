/** systemd's container interface (systemd.io/CONTAINER_INTERFACE); docs/guests/systemd.md has it point by point. */
import type { DeviceRule } from "../../../spec/cgroup.js";
import type { CapabilityRule } from "../../../spec/security.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { Values } from "./model.js";
import { autoMountsOr } from "./profile.js";

/** Ptys that the guest may open, each of a terminal, a login or a unit with one. */
const ptys = 1024;
const maxHostname = 64;

/** rawio: a debugfs that cannot be mounted; module and time: the host's; audit: nobody's, and systemd would try. */
// prettier-ignore
const dropped = { sys_module: 16, sys_rawio: 17, sys_time: 25, audit_write: 29, audit_control: 30, audit_read: 37 } as const;

const netAdmin = 12;

/** null zero full random urandom tty ptmx, and the slaves of ptys. */
const devices: readonly DeviceRule[] = [
  rule(false, "a", null, null),
  ...([3, 5, 7, 8, 9] as const).map((minor) => rule(true, "c", 1, minor)),
  rule(true, "c", 5, 0),
  rule(true, "c", 5, 2),
  { ...rule(true, "c", 136, null), mknod: false },
];

function rule(allow: boolean, type: DeviceRule["type"], major: number | null, minor: number | null): DeviceRule {
  return { allow, type, major, minor, read: true, write: true, mknod: true, at: null };
}

/**
 * /sys is read-only, which also tells udev to stay away; /proc/sys too, but for the network's part. cgroup2 is on /sys/fs/cgroup, with the guest's own
 * directory as the root that it sees.
 */
export function systemdProfile(spec: ContainerSpec, values: Values): ContainerSpec {
  const { guest, mounts, console, security, cgroup } = spec;
  const auto = autoMountsOr(mounts.auto, values, {
    proc: "mixed",
    sys: "ro",
    cgroup: { scope: "newest", mode: "rw", force: true },
  });
  // A mount on /run is the configuration's word on it.
  const ownRun = mounts.entries.some((entry) => entry.target.replace(/\/+$/, "") === "run");
  const isHosts = spec.rootfs.source.kind === "host";
  return {
    ...spec,
    hostname: spec.hostname ?? { value: spec.name.slice(0, maxHostname), at: null },
    mounts: { ...mounts, auto, dev: { ...mounts.dev, noSetUid: true } },
    console: { ...console, ptys: values.ptyMax === null ? ptys : console.ptys },
    security: { ...security, capabilities: capabilities(security.capabilities, spec.network.kind === "host") },
    cgroup: {
      ...cgroup,
      devicesV1: withRules(cgroup.devicesV1, cgroup.devicesV2),
      devicesV2: withRules(cgroup.devicesV2, cgroup.devicesV1),
    },
    guest: {
      ...guest,
      run: ownRun || isHosts ? null : guest.run,
      tellsInit: true,
      ttysArePtys: true,
      selinuxfs: auto.sys !== null,
      stableNics: true,
      localtime: isHosts ? "off" : (values.guestLocaltime?.value ?? "auto"),
      journal: isHosts ? "no" : (values.guestJournal?.value ?? "auto"),
      scope: values.guestScope?.value ?? "auto",
    },
  };
}

/** What the configuration drops goes as well; what it keeps is its own list. The host's network is not the guest's to configure. */
function capabilities(given: CapabilityRule, isHostNetwork: boolean): CapabilityRule {
  if (given.kind === "keep") return given;
  const drop = [...Object.values(dropped), ...(isHostNetwork ? [netAdmin] : [])];
  return { kind: "drop", capabilities: [...new Set([...given.capabilities, ...drop])] };
}

/** Later rules win: the configuration's follow. Where it has some for the other kind of host alone, those are for this kind, too. */
function withRules(own: readonly DeviceRule[], other: readonly DeviceRule[]): readonly DeviceRule[] {
  const given = own.length > 0 ? own : other;
  const text = (rules: readonly DeviceRule[]): string => JSON.stringify(rules.map((one) => ({ ...one, at: null })));
  return text(given.slice(0, devices.length)) === text(devices) ? given : [...devices, ...given];
}
