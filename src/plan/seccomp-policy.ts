/** LXC's seccomp policy files (lxc.container.conf(5), "Seccomp configuration"), versions 1 and 2, as data. */
import type { Fault } from "../base/source.js";
import type { Abi } from "../sys/arch.js";
import { errnoNumber } from "../sys/errno.js";
import { isSyscallName } from "../sys/syscalls.js";

export type SeccompAction =
  | { readonly kind: "allow" | "kill" | "kill_process" | "trap" | "log" | "notify" }
  | { readonly kind: "errno"; readonly errno: number }
  /** `value` reaches the tracer as PTRACE_GETEVENTMSG. */
  | { readonly kind: "trace"; readonly value: number };

export type ArgumentOperator = "!=" | "<" | "<=" | "==" | ">=" | ">" | "&=";

/** A condition on an argument, unsigned 64 bit. `&=`: (argument & mask) == (value & mask). */
export interface ArgumentTest {
  readonly index: number;
  readonly op: ArgumentOperator;
  readonly value: bigint;
  readonly mask: bigint;
}

export interface SeccompRule {
  readonly name: string;
  /** The section it stands in; `other`: of an architecture that islet does not run on. */
  readonly section: Abi | "all" | "other";
  readonly action: SeccompAction;
  /** All must hold; empty: always. */
  readonly tests: readonly ArgumentTest[];
  readonly line: number;
}

export type SeccompPolicy =
  /** Only these calls, by the numbers of the native ABI; everything else kills. */
  | {
      readonly version: 1;
      readonly file: string;
      readonly allowed: readonly number[];
      readonly warnings: readonly Fault[];
    }
  | {
      readonly version: 2;
      readonly file: string;
      readonly defaultAction: SeccompAction;
      readonly rules: readonly SeccompRule[];
      /** Names that no table knows: they have no effect, as in LXC. */
      readonly warnings: readonly Fault[];
    };

export type ParsedSeccomp =
  | { readonly kind: "policy"; readonly policy: SeccompPolicy }
  | { readonly kind: "faults"; readonly faults: readonly Fault[] };

const KEY = "lxc.seccomp.profile";

const SECTIONS: Readonly<Record<string, SeccompRule["section"]>> = {
  all: "all",
  x86: "i386",
  x86_64: "x86_64",
  x32: "x32",
  arm: "arm",
  arm64: "arm64",
  // prettier-ignore
  ...Object.fromEntries(
    ["ppc", "ppc64", "ppc64le", "mips", "mips64", "mips64n32", "mipsel", "mipsel64", "mipsel64n32", "s390", "s390x", "loongarch64", "riscv64"]
      .map((name) => [name, "other"] as const),
  ),
};

const OPERATORS: Readonly<Record<string, ArgumentOperator>> = {
  SCMP_CMP_NE: "!=",
  SCMP_CMP_LT: "<",
  SCMP_CMP_LE: "<=",
  SCMP_CMP_EQ: "==",
  SCMP_CMP_GE: ">=",
  SCMP_CMP_GT: ">",
  SCMP_CMP_MASKED_EQ: "&=",
  "!=": "!=",
  "<": "<",
  "<=": "<=",
  "==": "==",
  ">=": ">=",
  ">": ">",
  "&=": "&=",
};

/** reject_force_umount: umount2(2) with MNT_FORCE is EACCES. */
const REJECT_FORCE_UMOUNT = "reject_force_umount";

interface Line {
  readonly number: number;
  readonly text: string;
}

/** Thrown and caught here: what is wrong with one line. */
class LineError extends Error {}

/** The policy in a file's text, or all that is wrong with it. `file` appears in the messages. */
export function parseSeccomp(text: string, file: string): ParsedSeccomp {
  const fault = (line: number, message: string): Fault => ({ message, at: { file, line, key: KEY } });
  const lines = text
    .split("\n")
    .map((line, i): Line => ({ number: i + 1, text: line.replace(/(^|\s)#.*$/, "").trim() }))
    .filter((line) => line.text !== "");
  const [version, style, ...body] = lines;
  if (version === undefined || (version.text !== "1" && version.text !== "2")) {
    return {
      kind: "faults",
      faults: [fault(version?.number ?? 1, "a seccomp policy begins with its version, 1 or 2, on a line of its own")],
    };
  }
  if (style === undefined)
    return { kind: "faults", faults: [fault(version.number + 1, "the line with allowlist or denylist is missing")] };
  const faults: Fault[] = [];
  const attempt = <T>(line: Line, parse: () => T): T | undefined => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      faults.push(fault(line.number, error.message));
      return undefined;
    }
  };
  const head = attempt(style, () => parseStyle(style.text, version.text === "1"));
  if (version.text === "1") {
    const allowed = body.map((line) => attempt(line, () => parseNumber(line.text)));
    if (faults.length > 0) return { kind: "faults", faults };
    return {
      kind: "policy",
      policy: { version: 1, file, allowed: allowed.filter((nr) => nr !== undefined), warnings: [] },
    };
  }
  const rules: SeccompRule[] = [];
  const warnings: Fault[] = [];
  let section: SeccompRule["section"] = "all";
  for (const line of body) {
    attempt(line, () => {
      if (line.text.startsWith("[")) {
        section = parseSection(line.text);
        return;
      }
      const rule = parseRule(line, section, head?.ruleAction ?? { kind: "kill" });
      rules.push(rule);
      if (!isSyscallName(rule.name))
        warnings.push(fault(line.number, `no system call is called ${rule.name}: the rule has no effect`));
    });
  }
  if (faults.length > 0 || head === undefined) return { kind: "faults", faults };
  return { kind: "policy", policy: { version: 2, file, defaultAction: head.defaultAction, rules, warnings } };
}

interface Style {
  readonly defaultAction: SeccompAction;
  /** Of rules that name none. */
  readonly ruleAction: SeccompAction;
}

function parseStyle(text: string, allowOnly: boolean): Style {
  const [word = "", ...rest] = text.split(/\s+/);
  const allowlist = word === "allowlist" || word === "whitelist";
  const denylist = word === "denylist" || word === "blacklist";
  if (rest.includes("debug")) throw new LineError("debug is not supported in seccomp policies");
  if (!allowlist && !denylist) throw new LineError(`${JSON.stringify(word)} is neither allowlist nor denylist`);
  if (allowOnly && denylist)
    throw new LineError("a policy of version 1 is an allowlist; write 2 in the first line for a denylist");
  if (allowOnly && rest.length > 0) throw new LineError("a policy of version 1 takes no default action");
  const given = rest.length === 0 ? undefined : parseAction(rest);
  return {
    defaultAction: given ?? { kind: denylist ? "allow" : "kill" },
    ruleAction: { kind: denylist ? "kill" : "allow" },
  };
}

function parseSection(text: string): SeccompRule["section"] {
  const name = /^\[([A-Za-z0-9_]+)\]$/.exec(text)?.[1]?.toLowerCase() ?? "";
  const section = Object.hasOwn(SECTIONS, name) ? SECTIONS[name] : undefined;
  if (section === undefined)
    throw new LineError(`unknown architecture ${text}; one of [all] [x86] [x86_64] [x32] [arm] [arm64]`);
  return section;
}

function parseRule(line: Line, section: SeccompRule["section"], fallback: SeccompAction): SeccompRule {
  const bracket = line.text.indexOf("[");
  const words = (bracket < 0 ? line.text : line.text.slice(0, bracket)).trim().split(/\s+/);
  const [name = "", ...actionWords] = words;
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new LineError(`${JSON.stringify(name)} is no name of a system call`);
  const action = actionWords.length === 0 ? fallback : parseAction(actionWords);
  const tests = bracket < 0 ? [] : parseTests(line.text.slice(bracket));
  if (name !== REJECT_FORCE_UMOUNT) return { name, section, action, tests, line: line.number };
  if (actionWords.length > 0 || bracket >= 0)
    throw new LineError(`${REJECT_FORCE_UMOUNT} takes neither action nor conditions`);
  return {
    name: "umount2",
    section,
    action: { kind: "errno", errno: errnoNumber("EACCES") ?? 13 },
    tests: [{ index: 1, op: "&=", value: 1n, mask: 1n }],
    line: line.number,
  };
}

function parseAction(words: readonly string[]): SeccompAction {
  const [kind = "", value, ...rest] = words;
  if (rest.length > 0) throw new LineError(`unexpected ${JSON.stringify(rest.join(" "))} after the action ${kind}`);
  switch (kind) {
    case "allow":
    case "kill":
    case "kill_process":
    case "trap":
    case "log":
    case "notify":
      if (value !== undefined) throw new LineError(`the action ${kind} takes no value`);
      return { kind };
    case "errno": {
      const errno = value === undefined ? undefined : (errnoNumber(value) ?? wholeNumber(value));
      if (errno === undefined || errno > 4095n)
        throw new LineError("errno needs a number from 0 to 4095 or a name such as EPERM");
      return { kind, errno: Number(errno) };
    }
    case "trace": {
      const data = value === undefined ? 0n : wholeNumber(value);
      if (data === undefined || data > 0xffffn) throw new LineError("trace takes a number from 0 to 65535");
      return { kind, value: Number(data) };
    }
    default:
      throw new LineError(
        `unknown action ${JSON.stringify(kind)}; one of allow, kill, kill_process, trap, errno N, log, trace, notify`,
      );
  }
}

/** `[index,value,op]` or `[index,value,op,mask]`, as many as the rule has. */
function parseTests(text: string): readonly ArgumentTest[] {
  if (!/^(\[[^[\]]*\]\s*)+$/.test(text))
    throw new LineError(`${JSON.stringify(text)} is no list of conditions [index,value,op]`);
  const tests = Array.from(text.matchAll(/\[([^[\]]*)\]/g), (match) => parseTest(match[1] ?? ""));
  if (tests.length > 6) throw new LineError(`${tests.length} conditions; at most 6`);
  return tests;
}

function parseTest(text: string): ArgumentTest {
  const fields = text.split(",").map((field) => field.trim());
  const [indexText = "", valueText = "", opText = "", maskText] = fields;
  const index = wholeNumber(indexText);
  const value = wholeNumber(valueText);
  const op = Object.hasOwn(OPERATORS, opText) ? OPERATORS[opText] : undefined;
  const mask = maskText === undefined ? undefined : wholeNumber(maskText);
  if (fields.length < 3 || fields.length > 4)
    throw new LineError(`[${text}] is not [index,value,op] or [index,value,op,mask]`);
  if (index === undefined || index > 5n) throw new LineError(`[${text}]: the index of an argument is 0 to 5`);
  if (value === undefined) throw new LineError(`[${text}]: the value is no number of 64 bits`);
  if (op === undefined)
    throw new LineError(
      `[${text}]: unknown operator ${JSON.stringify(opText)}; SCMP_CMP_EQ, NE, LT, LE, GE, GT, MASKED_EQ`,
    );
  if (maskText !== undefined && mask === undefined) throw new LineError(`[${text}]: the mask is no number of 64 bits`);
  if (op === "&=" && mask === undefined)
    throw new LineError(`[${text}]: SCMP_CMP_MASKED_EQ needs a mask as fourth value`);
  return { index: Number(index), op, value, mask: mask ?? 0xffff_ffff_ffff_ffffn };
}

function parseNumber(text: string): number {
  const nr = /^[0-9]+$/.test(text) ? Number(text) : -1;
  if (nr < 0 || nr > 0xffff_ffff) throw new LineError(`${JSON.stringify(text)} is no number of a system call`);
  return nr;
}

/** Decimal, 0x hexadecimal or 0 octal, as strtoull with base 0; undefined beyond 64 bits. */
function wholeNumber(text: string): bigint | undefined {
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return undefined;
  if (/^0[0-9]+$/.test(text) && /[89]/.test(text)) return undefined;
  const value = BigInt(/^0[0-9]+$/.test(text) ? `0o${text.slice(1)}` : text);
  return value > 0xffff_ffff_ffff_ffffn ? undefined : value;
}
