import type { DoctorFacts, Finding, Section } from "./doctor-facts.js";
import { bad, ok } from "./doctor-kernel.js";

interface ProgramRow {
  /** One of these does. */
  readonly names: readonly string[];
  /** Debian's; one for each name, or one for all. */
  readonly packages: readonly string[];
  /** What does not work without. */
  readonly effect: string;
  /** note: only some need it. */
  readonly level: "warning" | "note";
}

const rows: readonly ProgramRow[] = [
  {
    names: ["busybox"],
    packages: ["busybox-static"],
    effect: "lxc-create -t busybox does not work",
    level: "warning",
  },
  {
    names: ["mmdebstrap", "debootstrap"],
    packages: ["mmdebstrap", "debootstrap"],
    effect: "no Debian containers from packages (lxc-create -t debian)",
    level: "warning",
  },
  { names: ["tar"], packages: ["tar"], effect: "images cannot be unpacked", level: "warning" },
  { names: ["xz"], packages: ["xz-utils"], effect: "images packed with xz cannot be unpacked", level: "warning" },
  { names: ["zstd"], packages: ["zstd"], effect: "images packed with zstd cannot be unpacked", level: "note" },
  {
    names: ["wget"],
    packages: ["wget"],
    effect: "template scripts that download something do not work",
    level: "note",
  },
  {
    names: ["gpgv", "gpgv-sq", "sqv"],
    packages: ["gpgv", "gpgv-sq", "sqv"],
    effect: "signatures of downloaded images cannot be checked (lxc-create -t download)",
    level: "warning",
  },
  {
    names: ["dnsmasq"],
    packages: ["dnsmasq-base"],
    effect: "no DHCP and no names for containers on a bridge of this host",
    level: "warning",
  },
  {
    names: ["nft", "iptables"],
    packages: ["nftables", "iptables"],
    effect: "containers on a private bridge do not reach the outside (no NAT)",
    level: "warning",
  },
  {
    names: ["newuidmap"],
    packages: ["uidmap"],
    effect: "ordinary users cannot map ids (lxc-usernsexec without root)",
    level: "note",
  },
  { names: ["mkfs.ext4"], packages: ["e2fsprogs"], effect: "no root file systems in files or volumes", level: "note" },
  { names: ["btrfs"], packages: ["btrfs-progs"], effect: "no root file systems as btrfs subvolumes", level: "note" },
  { names: ["lvcreate"], packages: ["lvm2"], effect: "no root file systems as logical volumes", level: "note" },
  { names: ["zfs"], packages: ["zfsutils-linux"], effect: "no root file systems as ZFS data sets", level: "note" },
  { names: ["criu"], packages: ["criu"], effect: "no checkpoints of running containers", level: "note" },
];

/** Names of all programs that doctor asks for. */
export const wantedPrograms: readonly string[] = [...rows.flatMap((row) => row.names), "apparmor_parser"];

export function programsSection({ programs }: Pick<DoctorFacts, "programs">): Section {
  const present: string[] = [];
  const missing: Finding[] = [];
  for (const row of rows) {
    const found = row.names.filter((name) => programs.has(name));
    if (found.length > 0) present.push(...found);
    else
      missing.push(
        bad(
          row.level,
          `${row.names.join(" or ")}: not installed`,
          row.effect,
          `install the package ${row.packages.join(" or ")}`,
        ),
      );
  }
  return { title: "Programs", findings: [...(present.length > 0 ? [ok(present.join(" "))] : []), ...missing] };
}
