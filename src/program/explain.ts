import { showSource } from "../base/source.js";
import { errnoName } from "../sys/errno.js";
import {
  errShort,
  errStatus,
  flagFull,
  flagWaitIn,
  type LaunchProgram,
  type Op,
  type Rule,
  type Section,
  type Value,
  shown,
} from "./ops.js";

/** A program as text: one line per operation, indented by process, each with what it is for. What it prints is what runs. */
export function explainProgram(program: LaunchProgram): string {
  const lines: string[] = [];
  const main = program.sections[0];
  if (main !== undefined) section(main, 0, lines);
  return `${lines.join("\n")}\n`;
}

function section(part: Section, depth: number, lines: string[]): void {
  const indent = "  ".repeat(depth);
  lines.push(`${indent}${part.name}:`);
  part.ops.forEach((op, offset) => {
    const index = String(part.start + offset).padStart(4);
    const label = labelled(part, offset);
    const what = `${indent}${index}${label} ${showOp(op)}`;
    const source = op.at === null ? "" : ` [${showSource(op.at)}]`;
    lines.push(`${what.padEnd(78)} # ${op.note}${source}`);
    if (op.block !== null) section(op.block, depth + 1, lines);
  });
}

/** `>` marks an operation that something jumps to. */
function labelled(part: Section, offset: number): string {
  for (const op of part.ops) {
    if (op.target !== null && op.target.section === part && op.target.position === offset) return ">";
    for (const rule of op.rules) {
      if (rule.to !== "next" && rule.to.section === part && rule.to.position === offset) return ">";
    }
  }
  return " ";
}

/** `openat2(rootfs, "proc", {...}, 24) -> proc`, as strace would print the call. */
export function showOp(op: Op): string {
  const out = op.out === null ? "" : ` -> ${op.out.name}`;
  const rules = op.rules.map(showRule).join("");
  const flags = `${(op.flags & flagWaitIn) !== 0 ? " when readable" : ""}${(op.flags & flagFull) !== 0 ? " whole" : ""}`;
  switch (op.code) {
    case "jump": {
      const to =
        op.target === null || op.target.section === null ? "?" : String(op.target.section.start + op.target.position);
      const [a, b] = op.args;
      const signs: Readonly<Record<string, string>> = { jump_eq: "==", jump_ne: "!=", jump_lt: "<", jump_ge: ">=" };
      const condition =
        a === undefined || b === undefined ? "" : `if ${showValue(a)} ${signs[op.name] ?? "?"} ${showValue(b)} `;
      return `${condition}go to ${to}`;
    }
    case "store":
      return `store${op.nr * 8}(${op.args.map(showValue).join(", ")})`;
    case "load":
      return `load${op.nr * 8}(${op.args.map(showValue).join(", ")})${out}`;
    case "clone":
    case "call":
    case "wait":
    case "set":
    case "format":
    case "defer":
    case "end":
    case "tell":
    case "check":
    case "fail":
      return `${op.name}(${op.args.map(showValue).join(", ")})${flags}${out}${rules}`;
    default: {
      const impossible: never = op.code;
      return String(impossible);
    }
  }
}

function showRule(rule: Rule): string {
  const name = rule.on === "any" ? "any error" : errorName(rule.on);
  if (rule.to === "next") return ` [${name}: fine]`;
  return ` [${name}: go to ${rule.to.section === null ? "?" : rule.to.section.start + rule.to.position}]`;
}

export function errorName(error: number): string {
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
    note: op.note,
    source: op.at === null ? null : showSource(op.at),
    block: op.block === null ? null : sectionJson(op.block),
  }));
}
