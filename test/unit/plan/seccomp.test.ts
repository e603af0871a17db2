import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import {
  parseSeccomp,
  type ArgumentOperator,
  type ArgumentTest,
  type SeccompPolicy,
} from "../../../src/plan/seccomp-policy.js";
import { compileSeccomp, needsNotify, seccompReturn } from "../../../src/plan/seccomp.js";
import { showFault } from "../../../src/base/source.js";
import { AUDIT_ARCH, type Abi, type Arch } from "../../../src/sys/arch.js";
import { decodeClassic, runClassic, showSeccompReturn } from "../../../src/sys/cbpf.js";
import {
  syscallNumber,
  SYSCALLS_ARM,
  SYSCALLS_ARM64,
  SYSCALLS_I386,
  SYSCALLS_X86_64,
} from "../../../src/sys/syscalls.js";

function policy(text: string): SeccompPolicy {
  const parsed = parseSeccomp(text, "test.seccomp");
  assert.ok(parsed.kind === "policy", parsed.kind === "faults" ? parsed.faults.map(showFault).join("; ") : "");
  return parsed.policy;
}

function faults(text: string): readonly string[] {
  const parsed = parseSeccomp(text, "p");
  return parsed.kind === "faults" ? parsed.faults.map(showFault) : [];
}

/** What becomes of a call: `ALLOW`, `ERRNO|1` ... */
function asker(text: string, arch: Arch): (abi: Abi, call: string | number, ...args: readonly bigint[]) => string {
  const program = decodeClassic(compileSeccomp(policy(text), arch));
  return (abi, call, ...args) => {
    const nr = typeof call === "number" ? call : (syscallNumber(abi, call) ?? assert.fail(`${abi} has no ${call}`));
    return showSeccompReturn(runClassic(program, { nr, arch: AUDIT_ARCH[abi], args })).replace("SECCOMP_RET_", "");
  };
}

const COMMON = `2
denylist
reject_force_umount  # comment this to allow umount -f;  not recommended
[all]
kexec_load errno 1
open_by_handle_at errno 1
init_module errno 1
finit_module errno 1
delete_module errno 1
`;

test("LXC's common policy denies its calls under every ABI of both architectures, and forced umounts", () => {
  for (const [arch, abis] of [
    ["x86_64", ["x86_64", "i386", "x32"]],
    ["arm64", ["arm64", "arm"]],
  ] as const) {
    const ask = asker(COMMON, arch);
    for (const abi of abis) {
      assert.equal(ask(abi, "kexec_load"), "ERRNO|1");
      assert.equal(ask(abi, "delete_module"), "ERRNO|1");
      assert.equal(ask(abi, "read"), "ALLOW");
      assert.equal(ask(abi, "umount2", 0n, 1n), "ERRNO|13");
      assert.equal(ask(abi, "umount2", 0n, 0x1_0000_0003n), "ERRNO|13");
      assert.equal(ask(abi, "umount2", 0n, 2n), "ALLOW");
    }
    assert.ok(!needsNotify(policy(COMMON), arch));
  }
});

test("an ABI that the filter does not know is killed", () => {
  assert.equal(asker(COMMON, "x86_64")("arm64", "read"), "KILL_THREAD");
  assert.equal(asker(COMMON, "arm64")("x86_64", "read"), "KILL_THREAD");
});

test("version 1 allows native numbers and kills the rest, 32-bit and x32 calls too", () => {
  const ask = asker("1\nallowlist\n0\n1\n# comment\n60\n\n231\n", "x86_64");
  for (const nr of [0, 1, 60, 231]) assert.equal(ask("x86_64", nr), "ALLOW");
  for (const nr of [2, 59, 61, 0x4000_0000, 0xffff_ffff]) assert.equal(ask("x86_64", nr), "KILL_THREAD");
  assert.equal(ask("i386", 1), "KILL_THREAD");
});

test("the words of the second line set the defaults", () => {
  assert.equal(asker("2\ndenylist\nmknod errno 0\nmount\n", "x86_64")("x86_64", "mknod"), "ERRNO|0");
  assert.equal(asker("2\nblacklist\nmount\n", "x86_64")("x86_64", "mount"), "KILL_THREAD");
  const trapping = asker("2\nwhitelist trap\nread\n", "x86_64");
  assert.deepEqual([trapping("x86_64", "read"), trapping("x86_64", "write")], ["ALLOW", "TRAP"]);
  assert.equal(asker("2\nallowlist errno 38\nread", "arm64")("arm64", "write"), "ERRNO|38");
});

test("every action has its return value", () => {
  const text =
    "2\ndenylist\nread kill\nwrite kill_process\nclose trap\nioctl log\nmount trace 7\nbpf notify\nptrace errno EACCES\npersonality allow\n";
  const ask = asker(text, "x86_64");
  const expected = {
    read: "KILL_THREAD",
    write: "KILL_PROCESS",
    close: "TRAP",
    ioctl: "LOG",
    mount: "TRACE|7",
    bpf: "USER_NOTIF",
    ptrace: "ERRNO|13",
    personality: "ALLOW",
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(ask("x86_64", name), value, name);
  assert.ok(needsNotify(policy(text), "x86_64"));
  assert.ok(!needsNotify(policy("2\ndenylist\n[arm]\nbpf notify\n"), "x86_64"), "a section for another host");
});

test("a section permits for its own ABI only", () => {
  const ask = asker(
    "2\nallowlist\n[all]\nread\n[x86_64]\nmount\n[x86]\nsocketcall\n[x32]\nopen\n[arm64]\nreboot\n[s390x]\nreboot\n",
    "x86_64",
  );
  for (const abi of ["x86_64", "i386", "x32"] as const) assert.equal(ask(abi, "read"), "ALLOW");
  assert.deepEqual(
    [ask("x86_64", "mount"), ask("i386", "mount"), ask("x32", "mount")],
    ["ALLOW", "KILL_THREAD", "KILL_THREAD"],
  );
  assert.equal(ask("i386", "socketcall", 1n), "ALLOW");
  assert.deepEqual([ask("x32", "open"), ask("x86_64", "open")], ["ALLOW", "KILL_THREAD"]);
  assert.equal(ask("x86_64", "reboot"), "KILL_THREAD");
});

test("what a section forbids is forbidden under every ABI of the host, unless another section says otherwise", () => {
  const ask = asker(
    "2\ndenylist\n[x86_64]\nmount errno 1\nptrace errno 1\n[x86]\nptrace errno 2\n[x32]\nmount allow\n[arm]\nread errno 3\n",
    "x86_64",
  );
  assert.deepEqual(
    [ask("x86_64", "mount"), ask("i386", "mount"), ask("x32", "mount")],
    ["ERRNO|1", "ERRNO|1", "ALLOW"],
  );
  assert.deepEqual([ask("x86_64", "ptrace"), ask("i386", "ptrace")], ["ERRNO|1", "ERRNO|2"]);
  assert.equal(ask("x86_64", "read"), "ALLOW");
});

test("32-bit x86 cannot reach a denied socket or ipc call through the multiplexers", () => {
  const ask = asker("2\ndenylist\nsocket errno 1\nshmget errno 2\naccept errno 3\n", "x86_64");
  assert.equal(ask("i386", "socket"), "ERRNO|1");
  assert.equal(ask("i386", "socketcall", 1n), "ERRNO|1");
  assert.equal(ask("i386", "socketcall", 2n), "ALLOW");
  assert.equal(ask("i386", "socketcall", 5n), "ERRNO|3");
  assert.equal(ask("i386", "ipc", 0x1_0017n), "ERRNO|2");
  assert.equal(ask("i386", "ipc", 24n), "ALLOW");
});

test("conditions on arguments, as LXC writes them", () => {
  const ask = asker(
    "2\ndenylist\nclone errno 1 [0,0x10000000,SCMP_CMP_MASKED_EQ,0x10000000]\nioctl errno 25 [1,0x5412,==]\nsocket errno 97 [0,38,SCMP_CMP_EQ][1,5,>=]\n",
    "x86_64",
  );
  assert.equal(ask("x86_64", "clone", 0x1000_0011n), "ERRNO|1");
  assert.equal(ask("x86_64", "clone", 0x11n), "ALLOW");
  assert.equal(ask("x86_64", "ioctl", 0n, 0x5412n), "ERRNO|25");
  assert.equal(ask("x86_64", "ioctl", 0n, 0x5413n), "ALLOW");
  assert.equal(ask("x86_64", "socket", 38n, 5n), "ERRNO|97");
  assert.equal(ask("x86_64", "socket", 38n, 4n), "ALLOW", "all conditions of a rule must hold");
});

test("a rule with conditions goes before one without, wherever it stands", () => {
  const ask = asker("2\nallowlist\numount2\nreject_force_umount\n", "x86_64");
  assert.equal(ask("x86_64", "umount2", 0n, 1n), "ERRNO|13");
  assert.equal(ask("x86_64", "umount2", 0n, 0n), "ALLOW");
});

const holds = (wanted: ArgumentTest, value: bigint): boolean => {
  switch (wanted.op) {
    case "!=":
      return value !== wanted.value;
    case "<":
      return value < wanted.value;
    case "<=":
      return value <= wanted.value;
    case "==":
      return value === wanted.value;
    case ">=":
      return value >= wanted.value;
    case ">":
      return value > wanted.value;
    case "&=":
      return (value & wanted.mask) === (wanted.value & wanted.mask);
    default:
      return assert.fail(String(wanted.op satisfies never));
  }
};

const edge = fc.constantFrom(
  0n,
  1n,
  0xffff_fffen,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1_0000_0001n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
);
const word = fc.oneof(edge, fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }));
const operator = fc.constantFrom<ArgumentOperator>("!=", "<", "<=", "==", ">=", ">", "&=");
const argumentTest: fc.Arbitrary<ArgumentTest> = fc.record({
  index: fc.integer({ min: 0, max: 5 }),
  op: operator,
  value: word,
  mask: word,
});

test("64-bit comparisons are right for all operators and all halves", () => {
  fc.assert(
    fc.property(
      fc.array(argumentTest, { minLength: 1, maxLength: 3 }),
      fc.array(word, { minLength: 6, maxLength: 6 }),
      (tests, args) => {
        const rule = { name: "ioctl", section: "all", action: { kind: "errno", errno: 5 }, tests, line: 3 } as const;
        const made: SeccompPolicy = {
          version: 2,
          file: "x",
          defaultAction: { kind: "allow" },
          rules: [rule],
          warnings: [],
        };
        const program = decodeClassic(compileSeccomp(made, "x86_64"));
        const all = tests.every((one) => holds(one, args[one.index] ?? 0n));
        const value = runClassic(program, { nr: SYSCALLS_X86_64.ioctl, arch: AUDIT_ARCH.x86_64, args });
        assert.equal(value, seccompReturn(all ? { kind: "errno", errno: 5 } : { kind: "allow" }));
      },
    ),
    { numRuns: 1000 },
  );
});

const NAMES: readonly string[] = [
  ...new Set([
    ...Object.keys(SYSCALLS_X86_64),
    ...Object.keys(SYSCALLS_ARM64),
    ...Object.keys(SYSCALLS_I386),
    ...Object.keys(SYSCALLS_ARM),
  ]),
];

test("of any set of names exactly those are allowed, under every ABI, within the kernel's limit of instructions", () => {
  // The multiplexers' own cases are tested above.
  const plain = NAMES.filter((name) => !/^(socketcall|ipc)$/.test(name));
  const hosts = fc.constantFrom<[Arch, readonly Abi[]]>(
    ["x86_64", ["x86_64", "i386", "x32"]],
    ["arm64", ["arm64", "arm"]],
  );
  fc.assert(
    fc.property(
      fc.subarray(plain),
      hosts,
      fc.array(fc.constantFrom(...plain), { minLength: 40, maxLength: 40 }),
      (allowed, [arch, abis], probes) => {
        const text = `2\nallowlist errno 38\n${allowed.join("\n")}\n`;
        const ask = asker(text, arch);
        for (const abi of abis) {
          const numbers = new Set(allowed.map((name) => syscallNumber(abi, name)).filter((nr) => nr !== undefined));
          for (const name of probes) {
            const nr = syscallNumber(abi, name);
            if (nr === undefined) continue;
            assert.equal(ask(abi, nr), numbers.has(nr) ? "ALLOW" : "ERRNO|38", `${abi} ${name}`);
          }
          assert.equal(ask(abi, abi === "x32" ? 0x4000_ffff : 5000), "ERRNO|38");
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("a policy with every second call stays within 4096 instructions", () => {
  const every = Object.entries(SYSCALLS_X86_64)
    .filter(([, nr]) => nr % 2 === 0)
    .map(([name]) => name);
  for (const arch of ["x86_64", "arm64"] as const)
    assert.ok(compileSeccomp(policy(`2\nallowlist\n${every.join("\n")}\n`), arch).length / 8 < 4096);
});

test("a name that no table knows has no effect and is reported", () => {
  const parsed = policy("2\ndenylist\nmonut errno 1\ncompat_sys_rt_sigprocmask errno 1\nopen errno 1\n");
  assert.deepEqual(parsed.warnings.map(showFault), [
    "no system call is called monut: the rule has no effect (test.seccomp:3 lxc.seccomp.profile)",
    "no system call is called compat_sys_rt_sigprocmask: the rule has no effect (test.seccomp:4 lxc.seccomp.profile)",
  ]);
  assert.equal(
    asker("2\ndenylist\nopen errno 1\n", "arm64")("arm", "open"),
    "ERRNO|1",
    "open is a call of 32-bit arm only",
  );
});

test("every fault is named with its line", () => {
  assert.deepEqual(
    faults(
      "2\ndenylist\nread errno\nwrite explode\n[vax]\nclose [9,1,==]\nclose kill [0,x,==]\nclose kill [0,1,=]\n1read\n",
    ),
    [
      "errno needs a number from 0 to 4095 or a name such as EPERM (p:3 lxc.seccomp.profile)",
      'unknown action "explode"; one of allow, kill, kill_process, trap, errno N, log, trace, notify (p:4 lxc.seccomp.profile)',
      "unknown architecture [vax]; one of [all] [x86] [x86_64] [x32] [arm] [arm64] (p:5 lxc.seccomp.profile)",
      "[9,1,==]: the index of an argument is 0 to 5 (p:6 lxc.seccomp.profile)",
      "[0,x,==]: the value is no number of 64 bits (p:7 lxc.seccomp.profile)",
      '[0,1,=]: unknown operator "="; SCMP_CMP_EQ, NE, LT, LE, GE, GT, MASKED_EQ (p:8 lxc.seccomp.profile)',
      '"1read" is no name of a system call (p:9 lxc.seccomp.profile)',
    ],
  );
});

test("heads, numbers and conditions that make no sense are faults", () => {
  const bad = [
    "",
    "3\nallowlist\n",
    "2\n",
    "2\nsomelist\n",
    "1\ndenylist\n0\n",
    "1\nallowlist\nread\n",
    "1\nallowlist trap\n0\n",
    "2\nallowlist debug\n",
    "2\ndenylist errno 5000\n",
    "2\ndenylist\nread errno 1 2\n",
    "2\ndenylist\nread kill 3\n",
    "2\ndenylist\nreject_force_umount errno 1\n",
    "2\ndenylist\nread kill [0,1]\n",
    "2\ndenylist\nread kill [0,1,SCMP_CMP_MASKED_EQ]\n",
    "2\ndenylist\nread kill [0,0x10000000000000000,==]\n",
    "2\ndenylist\nread kill [0,08,==]\n",
    "2\ndenylist\nread kill [0,1,==\n",
    `2\ndenylist\nread kill ${"[0,1,==]".repeat(7)}\n`,
    "2\ndenylist\nread trace 70000\n",
  ];
  for (const text of bad) assert.equal(faults(text).length, 1, JSON.stringify(text));
});

test("any text is either a policy or faults", () => {
  const words = fc.constantFrom(
    "2",
    "1",
    "allowlist",
    "denylist",
    "read",
    "errno",
    "5",
    "[all]",
    "[x86]",
    "[0,1,==]",
    "#",
    " ",
    "\n",
    "\n",
    "kill",
    "[",
    "]",
    "\u0000",
    "reject_force_umount",
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
      const parsed = parseSeccomp(`2\ndenylist\n${parts.join(" ")}`, "f");
      if (parsed.kind === "policy") assert.ok(compileSeccomp(parsed.policy, "x86_64").length > 0);
      else assert.ok(parsed.faults.every((fault) => fault.at !== null && fault.at.line > 0));
    }),
  );
});
