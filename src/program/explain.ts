import { showSource } from "../base/source.js";
import { errnoName } from "../sys/errno.js";
import {
  errShort,
  errStatus,
  flagFull,
  flagWaitIn,
  type Label,
  type LaunchProgram,
  type Op,
  type Rule,
  type Section,
  type Value,
  shown,
} from "./ops.js";

/** Where the notes begin. Fixed, so that one changed operation is one changed line. */
const noteColumn = 84;

/**
 * A program as text: one line per operation, indented by process and by block, each with what it is for and the value of the specification that it
 * serves. Places that something goes to have their names on lines of their own; `go to NAME` means the next place of that name. There are no
 * numbers of operations in it, so that two programs can be compared line by line. What it prints is what runs.
 */
export function explainProgram(program: LaunchProgram): string {
  const lines: string[] = [];
  const main = program.sections[0];
  if (main !== undefined) section(main, false, 0, lines);
  return `${lines.join("\n")}\n`;
}

function section(part: Section, isDeferred: boolean, depth: number, lines: string[]): void {
  const outer = "  ".repeat(depth);
  const inner = `${outer}  `;
  lines.push(`${outer}${part.name}${isDeferred ? ", later" : ""}:`);
  const labels = labelsOf(part);
  const place = (position: number): void => {
    for (const name of labels.get(position) ?? []) lines.push(`${outer} ${name}:`);
  };
  part.ops.forEach((op, position) => {
    place(position);
    // What every deferred block ends with says nothing.
    if (isDeferred && op.code === "end" && position === part.ops.length - 1) return;
    const source = op.at === null ? "" : ` [${showSource(op.at)}]`;
    lines.push(`${`${inner}${showOp(op, { part, labels, position })}`.padEnd(noteColumn)} # ${op.note}${source}`);
    if (op.block !== null) section(op.block, op.code === "defer", depth + 2, lines);
  });
  place(part.ops.length);
}

/** Names of the places in a section that something goes to, by position. */
function labelsOf(part: Section): ReadonlyMap<number, ReadonlySet<string>> {
  const out = new Map<number, Set<string>>();
  for (const op of part.ops) {
    for (const target of targetsOf(op)) {
      const names = out.get(target.position) ?? new Set();
      names.add(target.name);
      out.set(target.position, names);
    }
  }
  return out;
}

function targetsOf(op: Op): readonly Label[] {
  const ofRules = op.rules.flatMap((rule) => (rule.to === "next" ? [] : [rule.to]));
  return op.target === null ? ofRules : [op.target, ...ofRules];
}

/** Where an operation stands. */
interface Place {
  readonly part: Section;
  readonly labels: ReadonlyMap<number, ReadonlySet<string>>;
  readonly position: number;
}

/** The name of a place, if the next place of that name is the one; otherwise its number, counted from the section's first operation. */
function showTarget(target: Label, { part, labels, position }: Place): string {
  let next = Number.POSITIVE_INFINITY;
  for (const [at, names] of labels) if (at > position && names.has(target.name)) next = Math.min(next, at);
  return next === target.position ? target.name : `${target.name} (operation ${target.position + 1} of ${part.name})`;
}

const signs: Readonly<Record<string, string>> = { jump_eq: "==", jump_ne: "!=", jump_lt: "<", jump_ge: ">=" };
const operators: Readonly<Record<string, string>> = { add: "+", or: "|", and: "&", sub: "-", shl: "<<" };

/** `openat2(rootfs, "proc", {...}, 24) -> proc`, as strace would print the call. */
function showOp(op: Op, here: Place): string {
  const out = op.out === null ? "" : ` -> ${op.out.name}`;
  const rules = op.rules.map((rule) => showRule(rule, here)).join("");
  const whole = (op.flags & flagFull) !== 0 ? " whole" : "";
  const waits = (op.flags & flagWaitIn) !== 0 ? " when readable" : "";
  const args = op.args.map(showValue);
  switch (op.code) {
    case "jump": {
      const to = op.target === null ? "?" : showTarget(op.target, here);
      const [a, b] = args;
      return a === undefined || b === undefined ? `go to ${to}` : `if ${a} ${signs[op.name] ?? "?"} ${b} go to ${to}`;
    }
    case "set":
      return `${op.out?.name ?? "?"} = ${args.join(` ${operators[op.name] ?? "?"} `)}`;
    case "store":
      return `${args[1] ?? "?"} = ${args[0] ?? "?"} (${op.nr} bytes)`;
    case "load":
      return `${op.out?.name ?? "?"} = ${args[0] ?? "?"} (${op.nr} bytes)`;
    case "defer":
      return "defer";
    case "call":
    case "clone":
    case "wait":
    case "format":
    case "end":
    case "tell":
    case "check":
      return `${op.name}(${args.join(", ")})${waits}${whole}${out}${rules}`;
    case "fail":
      return `fail(${op.args.map((value) => (value.kind === "imm" ? errorName(Number(value.value)) : showValue(value))).join(", ")})`;
    default: {
      const impossible: never = op.code;
      return String(impossible);
    }
  }
}

function showRule(rule: Rule, here: Place): string {
  const name = rule.on === "any" ? "any error" : errorName(rule.on);
  return rule.to === "next" ? ` [${name}: fine]` : ` [${name}: go to ${showTarget(rule.to, here)}]`;
}

function errorName(error: number): string {
  if (error === errShort) return "short";
  if (error >= errStatus) return `status ${error - errStatus}`;
  return errnoName(error);
}

function showValue(value: Value): string {
  switch (value.kind) {
    case "imm":
      return value.show === null ? String(value.value) : shown(value.show);
    case "data":
      return shown(value.show);
    case "slot":
      return value.name;
    default: {
      const impossible: never = value;
      return String(impossible);
    }
  }
}

export interface ExplainedOp {
  readonly index: number;
  readonly process: string;
  readonly operation: string;
  readonly call: string;
  readonly args: readonly string[];
  readonly result: string | null;
  readonly rules: readonly { readonly on: string; readonly to: number }[];
  /** Where a jump leads; null for all other operations. */
  readonly target: number | null;
  readonly note: string;
  readonly source: string | null;
  readonly block: readonly ExplainedOp[] | null;
}

/** The same as plain data for `islet plan --json`. */
export function programJson(program: LaunchProgram): readonly ExplainedOp[] {
  const main = program.sections[0];
  return main === undefined ? [] : sectionJson(main);
}

function sectionJson(part: Section): readonly ExplainedOp[] {
  return part.ops.map((op, offset) => ({
    index: part.start + offset,
    process: part.name,
    operation: op.code,
    call: op.name,
    args: op.args.map(showValue),
    result: op.out?.name ?? null,
    rules: op.rules.map((rule) => ({
      on: rule.on === "any" ? "any" : errorName(rule.on),
      to: rule.to === "next" ? part.start + offset + 1 : (rule.to.section?.start ?? 0) + rule.to.position,
    })),
    target: op.target === null ? null : (op.target.section?.start ?? 0) + op.target.position,
    note: op.note,
    source: op.at === null ? null : showSource(op.at),
    block: op.block === null ? null : sectionJson(op.block),
  }));
}
