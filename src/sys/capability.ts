/** Capabilities (capabilities(7), linux/capability.h): names, sets as bit masks, and the structures of capset(2). */
import { pack } from "./bytes.js";

/** Names without `cap_`, at the index of their number. */
// prettier-ignore
export const CAPABILITIES: readonly string[] = [
  "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
  "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio",
  "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time",
  "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
  "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
];

/** The highest number of the table; /proc/sys/kernel/cap_last_cap has the kernel's own. */
export const CAP_LAST_CAP = 40;

/** A set of capabilities: bit N is capability N. */
export type CapabilitySet = bigint;

/** Number of a name in any case, with or without `cap_`, or of a plain decimal number up to 63; undefined for anything else. */
export function capabilityNumber(text: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(text)) return Number(text) <= 63 ? Number(text) : undefined;
  const index = CAPABILITIES.indexOf(text.toLowerCase().replace(/^cap_/, ""));
  return index < 0 ? undefined : index;
}

/** `sys_admin` for 21; the number itself where no name is known. */
export function capabilityName(nr: number): string {
  return CAPABILITIES[nr] ?? String(nr);
}

export function capabilitySet(numbers: readonly number[]): CapabilitySet {
  let set = 0n;
  for (const nr of numbers) set |= 1n << BigInt(nr);
  return set;
}

/** The numbers in a set, ascending. */
export function capabilityNumbers(set: CapabilitySet): readonly number[] {
  return Array.from({ length: 64 }, (_, nr) => nr).filter((nr) => ((set >> BigInt(nr)) & 1n) === 1n);
}

/** All capabilities up to and including `last`. */
export function allCapabilities(last: number = CAP_LAST_CAP): CapabilitySet {
  return (1n << BigInt(last + 1)) - 1n;
}

/** _LINUX_CAPABILITY_VERSION_3. */
export const CAPABILITY_VERSION_3 = 0x20080522;

/** struct __user_cap_header_struct: version, and a process (0: the caller). 8 bytes. */
export function capHeader(pid = 0): Uint8Array {
  return pack(8).u32(0, CAPABILITY_VERSION_3).u32(4, pid).bytes;
}

/** Two struct __user_cap_data_struct: 24 bytes, low words of the three sets first. */
export function capData(sets: {
  readonly effective: CapabilitySet;
  readonly permitted: CapabilitySet;
  readonly inheritable: CapabilitySet;
}): Uint8Array {
  const out = pack(24);
  [sets.effective, sets.permitted, sets.inheritable].forEach((set, i) => {
    out.u32(4 * i, set & 0xffff_ffffn).u32(12 + 4 * i, (set >> 32n) & 0xffff_ffffn);
  });
  return out.bytes;
}
