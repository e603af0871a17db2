/** Resources of prlimit(2): numbers by the names lxc.prlimit.NAME uses (asm-generic/resource.h, the same on both architectures). */

export const RLIMITS = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

export type RlimitName = keyof typeof RLIMITS;

/** The RLIMIT_* number of a lower-case name; undefined for an unknown one. */
export function rlimitNumber(name: string): number | undefined {
  return Object.hasOwn(RLIMITS, name) ? RLIMITS[name as RlimitName] : undefined;
}

/** The name of a resource as the kernel has it (`RLIMIT_NOFILE`), for messages. */
export function rlimitName(resource: number): string {
  for (const [name, nr] of Object.entries(RLIMITS)) if (nr === resource) return `RLIMIT_${name.toUpperCase()}`;
  return `resource ${resource}`;
}
