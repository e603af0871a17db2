/**
 * A seccomp policy as a classic BPF filter (seccomp(2)): the architecture first, then a binary search over the call number, then the
 * conditions on the arguments. A call under an ABI that the filter does not know kills the caller, as with libseccomp.
 */
import { abisOf, AUDIT_ARCH, X32_SYSCALL_BIT, type Abi, type Arch } from "../sys/arch.js";
import { assembleClassic, encodeClassic, label, type Label, type Statement } from "../sys/cbpf.js";
import * as k from "../sys/flags.js";
import { SECCOMP_DATA_AT } from "../sys/structs.js";
import { syscallNumber } from "../sys/syscalls.js";
import type { ArgumentTest, SeccompAction, SeccompPolicy, SeccompRule } from "./seccomp-policy.js";

export { parseSeccomp, type ParsedSeccomp, type SeccompPolicy } from "./seccomp-policy.js";

/** A filter's return value for an action. `kill` is the thread, as LXC's: the whole process where it has but one. */
export function seccompReturn(action: SeccompAction): number {
  switch (action.kind) {
    case "allow":
      return k.SECCOMP_RET_ALLOW;
    case "kill":
      return k.SECCOMP_RET_KILL_THREAD;
    case "kill_process":
      return k.SECCOMP_RET_KILL_PROCESS;
    case "trap":
      return k.SECCOMP_RET_TRAP;
    case "log":
      return k.SECCOMP_RET_LOG;
    case "notify":
      return k.SECCOMP_RET_USER_NOTIF;
    case "errno":
      return k.SECCOMP_RET_ERRNO | action.errno;
    case "trace":
      return k.SECCOMP_RET_TRACE | action.value;
    default:
      throw new TypeError(`unknown action ${JSON.stringify(action satisfies never)}`);
  }
}

/** Whether the filter must be loaded with SECCOMP_FILTER_FLAG_NEW_LISTENER, and somebody must answer on the listener. */
export function needsNotify(policy: SeccompPolicy, arch: Arch): boolean {
  if (policy.version === 1) return false;
  return (
    policy.defaultAction.kind === "notify" ||
    policy.rules.some((rule) => rule.action.kind === "notify" && concerns(rule, arch))
  );
}

/** What is decided about one call: conditional rules in order, then the value that holds otherwise. */
interface Decision {
  readonly conditional: readonly { readonly tests: readonly ArgumentTest[]; readonly value: number }[];
  readonly otherwise: number;
}

/** The filter's instructions, 8 bytes each (structs.ts sockFprogWith). Throws RangeError when the kernel's limit of 4096 is exceeded. */
export function compileSeccomp(policy: SeccompPolicy, arch: Arch): Uint8Array {
  const out: Statement[] = [{ kind: "load", offset: SECCOMP_DATA_AT.arch }];
  const pool = bodyPool();
  const trees: { readonly at: Label; readonly abis: readonly Abi[] }[] = [];
  for (const abis of entryPoints(policy, arch)) {
    const at = label(abis.join("+"));
    trees.push({ at, abis });
    out.push({ kind: "jump", test: "eq", value: AUDIT_ARCH[abis[0] ?? arch], yes: at, no: "next" });
  }
  out.push({ kind: "return", value: k.SECCOMP_RET_KILL_THREAD });
  for (const { at, abis } of trees) {
    out.push({ kind: "label", label: at }, { kind: "load", offset: SECCOMP_DATA_AT.nr });
    out.push(
      ...search(
        abis.flatMap((abi) => ranges(policy, abi)),
        pool,
      ),
    );
  }
  out.push(...pool.statements());
  return encodeClassic(assembleClassic(out));
}

/** ABIs by entry point: those with the same audit number share one, in the order of their call numbers. */
function entryPoints(policy: SeccompPolicy, arch: Arch): readonly (readonly Abi[])[] {
  const native: readonly Abi[] = arch === "x86_64" ? ["x86_64", "x32"] : [arch];
  if (policy.version === 1) return [native];
  return [
    native,
    ...abisOf(arch)
      .filter((abi) => !native.includes(abi))
      .map((abi) => [abi]),
  ];
}

/** Call numbers from `from` up to the next range, and what is decided about them. */
interface Range {
  readonly from: number;
  readonly decision: Decision;
}

function ranges(policy: SeccompPolicy, abi: Abi): readonly Range[] {
  const first = abi === "x32" ? X32_SYSCALL_BIT : 0;
  const decisions =
    policy.version === 1 ? numbered(policy.allowed, abi) : decide(policy.rules, policy.defaultAction, abi);
  const fallback: Decision = {
    conditional: [],
    otherwise: policy.version === 1 ? k.SECCOMP_RET_KILL_THREAD : seccompReturn(policy.defaultAction),
  };
  const out: Range[] = [];
  const add = (from: number, decision: Decision): void => {
    const last = out.at(-1);
    if (last?.from === from) out.pop();
    const before = out.at(-1);
    if (before === undefined || keyOf(before.decision) !== keyOf(decision)) out.push({ from, decision });
  };
  add(first, fallback);
  for (const [nr, decision] of [...decisions].sort(([a], [b]) => a - b)) {
    add(nr, decision);
    if (nr < 0xffff_ffff) add(nr + 1, fallback);
  }
  return out;
}

/** Version 1: numbers of the native ABI only; x32 kills. */
function numbered(allowed: readonly number[], abi: Abi): ReadonlyMap<number, Decision> {
  const native = abi === "x32" ? [] : allowed.filter((nr) => nr < X32_SYSCALL_BIT);
  return new Map(native.map((nr) => [nr, { conditional: [], otherwise: k.SECCOMP_RET_ALLOW }]));
}

/**
 * The rules for one ABI, by call number. For each call conditional rules come first, in the order of the file, then the last
 * unconditional one. A section limits what its rules permit; what they forbid they forbid under every ABI of the host (LXC applies every rule so):
 * otherwise a 32-bit program would walk around a denylist for [x86_64]. The ABI's own sections come first.
 */
function decide(rules: readonly SeccompRule[], defaultAction: SeccompAction, abi: Abi): ReadonlyMap<number, Decision> {
  const own = rules.filter((rule) => rule.section === "all" || rule.section === abi);
  const spilled = rules.filter((rule) => !own.includes(rule) && forbids(rule) && shareHost(rule.section, abi));
  const conditional = new Map<number, Decision["conditional"][number][]>();
  const always = new Map<number, number>();
  const add = (rule: SeccompRule, replace: boolean): void => {
    for (const { nr, tests } of targets(rule, abi)) {
      const value = seccompReturn(rule.action);
      if (tests.length > 0) conditional.set(nr, [...(conditional.get(nr) ?? []), { tests, value }]);
      else if (replace || !always.has(nr)) always.set(nr, value);
    }
  };
  for (const rule of own) add(rule, true);
  for (const rule of spilled) add(rule, false);
  const out = new Map<number, Decision>();
  for (const nr of new Set([...conditional.keys(), ...always.keys()])) {
    out.set(nr, { conditional: conditional.get(nr) ?? [], otherwise: always.get(nr) ?? seccompReturn(defaultAction) });
  }
  return out;
}

function forbids(rule: SeccompRule): boolean {
  return rule.action.kind !== "allow" && rule.action.kind !== "log";
}

function shareHost(section: SeccompRule["section"], abi: Abi): boolean {
  return (["x86_64", "arm64"] as const).some((arch) => {
    const abis: readonly string[] = abisOf(arch);
    return abis.includes(section) && abis.includes(abi);
  });
}

function concerns(rule: SeccompRule, arch: Arch): boolean {
  return rule.section === "all" || shareHost(rule.section, arch);
}

// 32-bit x86 reaches these calls also through socketcall(2) and ipc(2), whose first argument says which (linux/net.h, linux/ipc.h).
// prettier-ignore
const SOCKETCALL: readonly string[] = [
  "", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv", "sendto",
  "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
];
const IPC: Readonly<Record<string, bigint>> = {
  semop: 1n,
  semget: 2n,
  semctl: 3n,
  semtimedop: 4n,
  msgsnd: 11n,
  msgrcv: 12n,
  msgget: 13n,
  msgctl: 14n,
  shmat: 21n,
  shmdt: 22n,
  shmget: 23n,
  shmctl: 24n,
};

/** The call numbers a rule speaks of. Conditions cannot be checked through the two multiplexers: their arguments are in memory. */
function targets(
  rule: SeccompRule,
  abi: Abi,
): readonly { readonly nr: number; readonly tests: readonly ArgumentTest[] }[] {
  const out: { readonly nr: number; readonly tests: readonly ArgumentTest[] }[] = [];
  const nr = syscallNumber(abi, rule.name);
  if (nr !== undefined) out.push({ nr, tests: rule.tests });
  if (abi !== "i386" || rule.tests.length > 0) return out;
  const which = SOCKETCALL.indexOf(rule.name);
  const socketcall = syscallNumber(abi, "socketcall");
  if (which > 0 && socketcall !== undefined) {
    out.push({ nr: socketcall, tests: [{ index: 0, op: "==", value: BigInt(which), mask: 0n }] });
  }
  const ipc = syscallNumber(abi, "ipc");
  const value = Object.hasOwn(IPC, rule.name) ? IPC[rule.name] : undefined;
  // The upper half of ipc's first argument is a version.
  if (value !== undefined && ipc !== undefined)
    out.push({ nr: ipc, tests: [{ index: 0, op: "&=", value, mask: 0xffffn }] });
  return out;
}

function keyOf(decision: Decision): string {
  return JSON.stringify(decision, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
}

/** The code of each distinct decision, once, behind the searches of all ABIs. */
interface BodyPool {
  /** Where a decision's code will stand. */
  readonly place: (decision: Decision) => Label;
  readonly statements: () => readonly Statement[];
}

function bodyPool(): BodyPool {
  const bodies = new Map<string, { readonly at: Label; readonly decision: Decision }>();
  return {
    place(decision) {
      const key = keyOf(decision);
      const entry = bodies.get(key) ?? { at: label(key), decision };
      bodies.set(key, entry);
      return entry.at;
    },
    statements: () =>
      [...bodies.values()].flatMap(({ at, decision }) => [{ kind: "label", label: at } as const, ...body(decision)]),
  };
}

/** A binary search over ranges (ascending, at least one); A holds the call number. */
function search(list: readonly Range[], pool: BodyPool): readonly Statement[] {
  const [only] = list;
  if (only === undefined) throw new TypeError("no ranges");
  if (list.length === 1) return [{ kind: "goto", to: pool.place(only.decision) }];
  const middle = Math.ceil(list.length / 2);
  const low = list.slice(0, middle);
  const high = list.slice(middle);
  const [lowest] = low;
  const [highest] = high;
  if (lowest === undefined || highest === undefined) throw new TypeError("an empty half");
  const highAt = label("high");
  const yes = high.length === 1 ? pool.place(highest.decision) : highAt;
  const no = low.length === 1 ? pool.place(lowest.decision) : "next";
  const out: Statement[] = [{ kind: "jump", test: "ge", value: highest.from, yes, no }];
  if (low.length > 1) out.push(...search(low, pool));
  if (high.length > 1) out.push({ kind: "label", label: highAt }, ...search(high, pool));
  return out;
}

function body(decision: Decision): readonly Statement[] {
  const out: Statement[] = [];
  for (const { tests, value } of decision.conditional) {
    const fail = label("fail");
    for (const test of tests) out.push(...condition(test, fail));
    out.push({ kind: "return", value }, { kind: "label", label: fail });
  }
  out.push({ kind: "return", value: decision.otherwise });
  return out;
}

/** A 64-bit comparison by halves: falls through when it holds, else goes to `fail`. */
function condition(test: ArgumentTest, fail: Label): readonly Statement[] {
  const lowAt = SECCOMP_DATA_AT.args + 8 * test.index;
  const loadHigh: Statement = { kind: "load", offset: lowAt + 4 };
  const loadLow: Statement = { kind: "load", offset: lowAt };
  const high = Number(test.value >> 32n);
  const low = Number(test.value & 0xffff_ffffn);
  const hold = label("hold");
  const end: Statement = { kind: "label", label: hold };
  const jump = (op: "eq" | "gt" | "ge", value: number, yes: Label | "next", no: Label | "next"): Statement => ({
    kind: "jump",
    test: op,
    value,
    yes,
    no,
  });
  switch (test.op) {
    case "==":
      return [loadHigh, jump("eq", high, "next", fail), loadLow, jump("eq", low, "next", fail)];
    case "!=":
      return [loadHigh, jump("eq", high, "next", hold), loadLow, jump("eq", low, fail, "next"), end];
    case ">":
    case ">=":
      return [
        loadHigh,
        jump("gt", high, hold, "next"),
        jump("eq", high, "next", fail),
        loadLow,
        jump(test.op === ">" ? "gt" : "ge", low, "next", fail),
        end,
      ];
    case "<":
    case "<=":
      return [
        loadHigh,
        jump("gt", high, fail, "next"),
        jump("eq", high, "next", hold),
        loadLow,
        jump(test.op === "<" ? "ge" : "gt", low, fail, "next"),
        end,
      ];
    case "&=": {
      const maskHigh = Number(test.mask >> 32n);
      const maskLow = Number(test.mask & 0xffff_ffffn);
      return [
        loadHigh,
        { kind: "and", value: maskHigh },
        jump("eq", (high & maskHigh) >>> 0, "next", fail),
        loadLow,
        { kind: "and", value: maskLow },
        jump("eq", (low & maskLow) >>> 0, "next", fail),
      ];
    }
    default:
      throw new TypeError(`unknown operator ${String(test.op satisfies never)}`);
  }
}
