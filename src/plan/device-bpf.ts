/**
 * Device rules as an eBPF program for a cgroup v2 (BPF_PROG_TYPE_CGROUP_DEVICE). The rules mean what they mean to the device
 * controller of cgroup v1 (Documentation/admin-guide/cgroup-v1/devices.rst, security/device_cgroup.c): a mode, and exceptions from it.
 */
import {
  assembleEbpf,
  AND32_IMM,
  ebpfLabel,
  encodeEbpf,
  EXIT,
  insn,
  JA,
  JNE_IMM,
  JSET_IMM,
  jump,
  LDX_MEM_W,
  MOV64_IMM,
  RSH32_IMM,
  type EbpfStatement,
} from "../sys/ebpf.js";
import {
  BPF_DEVCG_ACC_MKNOD,
  BPF_DEVCG_ACC_READ,
  BPF_DEVCG_ACC_WRITE,
  BPF_DEVCG_DEV_BLOCK,
  BPF_DEVCG_DEV_CHAR,
} from "../sys/flags.js";
import type { DeviceRule } from "../spec/cgroup.js";

/** What counts where no exception matches. */
export type DeviceMode = "allow" | "deny";

/** A kind of device and the accesses (BPF_DEVCG_ACC_* bits) that are excepted from the mode. */
export interface DeviceException {
  readonly type: "b" | "c";
  readonly major: number | null;
  readonly minor: number | null;
  readonly access: number;
}

export interface DevicePolicy {
  readonly mode: DeviceMode;
  readonly exceptions: readonly DeviceException[];
}

/** The three accesses of a rule as bits. */
export function accessBits(rule: Pick<DeviceRule, "read" | "write" | "mknod">): number {
  return (
    (rule.read ? BPF_DEVCG_ACC_READ : 0) |
    (rule.write ? BPF_DEVCG_ACC_WRITE : 0) |
    (rule.mknod ? BPF_DEVCG_ACC_MKNOD : 0)
  );
}

/**
 * The state the v1 controller is in after the rules were written one after the other.
 *
 * `initial` is the mode before the first rule: `deny` for lxc.cgroup2 rules (LXC starts with an empty list of what is allowed),
 * `allow` for v1 rules (a new v1 group inherits the root's).
 */
export function devicePolicy(rules: readonly DeviceRule[], initial: DeviceMode): DevicePolicy {
  return rules.reduce(withRule, { mode: initial, exceptions: [] });
}

/**
 * The state after one more rule. One of type `a` sets the mode and forgets all exceptions. A rule against the mode adds its accesses
 * to the exception of the same type and numbers; a rule in the mode's own direction takes them away from it, and only from that one: denying
 * c 1:3 does not narrow c 1:*.
 */
export function withRule(policy: DevicePolicy, rule: DeviceRule): DevicePolicy {
  const { mode, exceptions } = policy;
  const { type, allow, major, minor, ...accesses } = rule;
  const direction = allow ? "allow" : "deny";
  if (type === "a") return { mode: direction, exceptions: [] };
  const access = accessBits(accesses);
  const same = (other: DeviceException): boolean =>
    other.type === type && other.major === major && other.minor === minor;
  const changed = (bits: (before: number) => number): DevicePolicy => ({
    mode,
    exceptions: exceptions
      .map((other) => (same(other) ? { ...other, access: bits(other.access) } : other))
      .filter((other) => other.access !== 0),
  });
  if (direction === mode) return changed((before) => before & ~access);
  if (exceptions.some(same)) return changed((before) => before | access);
  return access === 0 ? policy : { mode, exceptions: [...exceptions, { type, major, minor, access }] };
}

/** What devices.list of v1 shows: `c 1:3 rwm` for each exception from denying, and one line where all is allowed but the exceptions. */
export function deviceList(policy: DevicePolicy): string {
  if (policy.mode === "allow") return "a *:* rwm\n";
  const number = (value: number | null): string => (value === null ? "*" : String(value));
  const word = (access: number): string =>
    `${(access & BPF_DEVCG_ACC_READ) === 0 ? "" : "r"}${(access & BPF_DEVCG_ACC_WRITE) === 0 ? "" : "w"}${(access & BPF_DEVCG_ACC_MKNOD) === 0 ? "" : "m"}`;
  return policy.exceptions
    .map((one) => `${one.type} ${number(one.major)}:${number(one.minor)} ${word(one.access)}\n`)
    .join("");
}

const ALL_ACCESSES = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;

// struct bpf_cgroup_dev_ctx (linux/bpf.h): three u32.
const CTX_ACCESS_TYPE = 0;
const CTX_MAJOR = 4;
const CTX_MINOR = 8;

/** The program of a policy: it returns 1 for an access that is granted, 0 for EPERM. */
export function compileDevicePolicy(policy: DevicePolicy): Uint8Array {
  const granted = policy.mode === "allow" ? 1 : 0;
  const out: EbpfStatement[] = [
    // r2: type, r3: accesses, r4: major, r5: minor
    insn(LDX_MEM_W, { dst: 2, src: 1, off: CTX_ACCESS_TYPE }),
    insn(AND32_IMM, { dst: 2, imm: 0xffff }),
    insn(LDX_MEM_W, { dst: 3, src: 1, off: CTX_ACCESS_TYPE }),
    insn(RSH32_IMM, { dst: 3, imm: 16 }),
    insn(LDX_MEM_W, { dst: 4, src: 1, off: CTX_MAJOR }),
    insn(LDX_MEM_W, { dst: 5, src: 1, off: CTX_MINOR }),
  ];
  for (const exception of policy.exceptions) {
    const next = ebpfLabel("next");
    out.push(jump(JNE_IMM, next, { dst: 2, imm: exception.type === "b" ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR }));
    if (exception.major !== null) out.push(jump(JNE_IMM, next, { dst: 4, imm: exception.major | 0 }));
    if (exception.minor !== null) out.push(jump(JNE_IMM, next, { dst: 5, imm: exception.minor | 0 }));
    out.push(...accessTest(policy.mode, exception.access, next));
    out.push(insn(MOV64_IMM, { dst: 0, imm: 1 - granted }), insn(EXIT), { kind: "label", label: next });
  }
  out.push(insn(MOV64_IMM, { dst: 0, imm: granted }), insn(EXIT));
  return encodeEbpf(assembleEbpf(out));
}

/** An access is granted when the exception has all of it, and refused when the exception has any of it. */
function accessTest(mode: DeviceMode, access: number, next: symbol): readonly EbpfStatement[] {
  switch (mode) {
    case "deny": {
      const missing = ALL_ACCESSES & ~access;
      return missing === 0 ? [] : [jump(JSET_IMM, next, { dst: 3, imm: missing })];
    }
    case "allow": {
      const hit = ebpfLabel("hit");
      return [jump(JSET_IMM, hit, { dst: 3, imm: access }), jump(JA, next), { kind: "label", label: hit }];
    }
    default:
      throw new TypeError(`unknown mode ${String(mode satisfies never)}`);
  }
}

/** Rules to program: `compileDevicePolicy(devicePolicy(rules, initial))`. Instructions of 8 bytes, for structs.ts bpfProgLoad. */
export function compileDeviceRules(rules: readonly DeviceRule[], initial: DeviceMode): Uint8Array {
  return compileDevicePolicy(devicePolicy(rules, initial));
}
