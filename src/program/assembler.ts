import type { Source } from "../base/source.js";
import type { Arch } from "../sys/arch.js";
import type { Blob } from "../sys/structs.js";
import { type SyscallName, requireSyscall } from "../sys/syscalls.js";
import {
  type Code,
  type Data,
  type Imm,
  type Label,
  type LaunchProgram,
  type Op,
  type Rule,
  type Section,
  type Show,
  type Slot,
  type Value,
  flagFull,
  flagSigned,
  flagWaitIn,
} from "./ops.js";
import { putText } from "./text.js";

/**
 * Builds a launch program. A `Build` is the whole program under construction; a `Block` is one section of it that operations are
 * appended to. Both are plain records that the functions here change; nothing else does.
 */
export interface Build {
  readonly arch: Arch;
  readonly sections: Section[];
  bytes: Uint8Array;
  used: number;
  readonly strings: Map<string, Data>;
  readonly constants: Map<string, Data>;
  readonly relocations: { readonly where: number; readonly what: number }[];
  readonly slots: string[];
  preset: number;
}

export interface Block {
  readonly build: Build;
  readonly section: Section;
  /** Given to operations that name no source of their own. */
  at: Source | null;
  /** Its process ends in an exec, which closes every descriptor: no operation need do it before. */
  readonly closesOnExec: boolean;
}

const text = new TextEncoder();

/** An empty program and its first section, run by the process called `name`. */
export function beginProgram(arch: Arch, name: string): Block {
  const build: Build = {
    arch,
    sections: [],
    bytes: new Uint8Array(32768),
    used: 0,
    strings: new Map(),
    constants: new Map(),
    relocations: [],
    slots: [],
    preset: 0,
  };
  return addBlock(build, name, false);
}

function addBlock(build: Build, name: string, closesOnExec: boolean): Block {
  const section: Section = { name, ops: [], start: 0 };
  build.sections.push(section);
  return { build, section, at: null, closesOnExec };
}

/** Lays the sections out one after another. The build must not be changed any more. */
export function finishProgram(build: Build): LaunchProgram {
  let start = 0;
  for (const section of build.sections) {
    section.start = start;
    start += section.ops.length;
  }
  return {
    arch: build.arch,
    sections: build.sections,
    data: build.bytes.subarray(0, build.used),
    relocations: build.relocations,
    slots: build.slots,
    preset: build.preset,
  };
}

// --- values ---------------------------------------------------------------------------------------------------------

export function imm(value: number | bigint, show: Show | null = null): Imm {
  return { kind: "imm", value, show };
}

/** A null pointer. */
export const nil: Imm = { kind: "imm", value: 0, show: "NULL" };

export function octal(value: number): Imm {
  return { kind: "imm", value, show: () => (value === 0 ? "0" : `0${value.toString(8)}`) };
}

export const cwdFd: Imm = { kind: "imm", value: -100, show: "AT_FDCWD" };

/** A new register. */
export function slot(build: Build, name: string): Slot {
  const index = build.slots.length;
  build.slots.push(name);
  return { kind: "slot", index, name };
}

/** A register that is filled from outside; all of them must be made before any other slot. */
export function presetSlot(build: Build, name: string): Slot {
  if (build.slots.length !== build.preset) throw new Error("preset slots come first");
  build.preset += 1;
  return slot(build, name);
}

function reserve(build: Build, size: number, align: number): number {
  const offset = Math.ceil(build.used / align) * align;
  const upTo = offset + size;
  if (upTo > build.bytes.length) {
    const bigger = new Uint8Array(Math.max(upTo, build.bytes.length * 2));
    bigger.set(build.bytes);
    build.bytes = bigger;
  }
  build.used = upTo;
  return offset;
}

/** Bytes in the program's data; never shared, so the program may write to them. */
export function data(build: Build, bytes: Uint8Array, show: Show, align = 8): Data {
  const offset = reserve(build, bytes.length, align);
  build.bytes.set(bytes, offset);
  return { kind: "data", offset, size: bytes.length, show };
}

/**
 * A structure that the kernel only reads, stored once however often it is used: `key` must say all that is in it.
 */
export function constant(build: Build, key: string, make: () => Uint8Array, show: Show): Data {
  const known = build.constants.get(key);
  if (known !== undefined) return known;
  const made = data(build, make(), show);
  build.constants.set(key, made);
  return made;
}

/** Zeroed room that system calls write to. */
export function buffer(build: Build, size: number, show: Show): Data {
  return { kind: "data", offset: reserve(build, size, 8), size, show };
}

/** A NUL-terminated string; equal strings are stored once, so nothing may write to it. */
export function str(build: Build, value: string): Data {
  const known = build.strings.get(value);
  if (known !== undefined) return known;
  if (value.includes("\0")) throw new Error(`a NUL inside the string ${JSON.stringify(value)}`);
  const offset = reserve(build, value.length * 3 + 1, 1);
  const length = putText(build.bytes, offset, value);
  build.bytes[offset + length] = 0;
  build.used = offset + length + 1;
  const made: Data = { kind: "data", offset, size: length + 1, show: () => JSON.stringify(value) };
  build.strings.set(value, made);
  return made;
}

/** Bytes of a text without a NUL, for write(2). */
export function textBytes(build: Build, value: string): Data {
  const bytes = text.encode(value);
  return data(build, bytes, () => JSON.stringify(value), 1);
}

/** A place `offset` bytes into other data. */
export function within(whole: Data, offset: number, size: number, show: Show = whole.show): Data {
  return { kind: "data", offset: whole.offset + offset, size, show };
}

/** Makes the 8 bytes at `where` the address of `what`. */
export function point(build: Build, where: Data, at: number, what: Data): void {
  const offset = where.offset + at;
  if (offset % 8 !== 0) throw new Error("a pointer must be aligned");
  build.relocations.push({ where: offset, what: what.offset });
}

/** Bytes that hold pointers into themselves. */
export function blob(build: Build, made: Blob, show: Show): Data {
  const whole = data(build, made.bytes, show);
  for (const pointer of made.pointers)
    build.relocations.push({ where: whole.offset + pointer.at, what: whole.offset + pointer.to });
  return whole;
}

/** A NULL-terminated array of strings: argv, envp. */
export function stringArray(build: Build, values: readonly string[], show?: Show): Data {
  const array = buffer(
    build,
    (values.length + 1) * 8,
    show ?? (() => `[${values.map((v) => JSON.stringify(v)).join(", ")}]`),
  );
  values.forEach((value, index) => {
    point(build, array, index * 8, str(build, value));
  });
  return array;
}

// --- operations -----------------------------------------------------------------------------------------------------

export interface OpOptions {
  /** In words what it is for: names the failure. */
  readonly note: string;
  readonly out?: Slot;
  /** Errors that are fine: the errno (or "any") and where to go on. */
  readonly on?: readonly Rule[];
  readonly at?: Source | null;
  /** First wait until the descriptor in the first argument is readable. */
  readonly waitIn?: boolean;
  /** The result must be the third argument. */
  readonly full?: boolean;
  readonly hints?: Readonly<Record<string, string>>;
}

interface Extra {
  readonly nr?: number;
  readonly name?: string;
  readonly args?: readonly Value[];
  readonly target?: Label;
  readonly block?: Section;
  readonly flags?: number;
}

const noRules: readonly Rule[] = [];
const noValues: readonly Value[] = [];

function append(block: Block, code: Code, options: OpOptions, extra: Extra): void {
  const flags =
    (extra.flags ?? 0) | (options.waitIn === true ? flagWaitIn : 0) | (options.full === true ? flagFull : 0);
  const op: Op = {
    code,
    flags,
    nr: extra.nr ?? 0,
    name: extra.name ?? code,
    args: extra.args ?? noValues,
    out: options.out ?? null,
    rules: options.on ?? noRules,
    target: extra.target ?? null,
    block: extra.block ?? null,
    note: options.note,
    at: options.at === undefined ? block.at : options.at,
    hints: options.hints ?? null,
  };
  block.section.ops.push(op);
}

/** A system call; `out`, or that of the options, receives its result. */
export function call(
  block: Block,
  name: SyscallName,
  args: readonly Value[],
  options: OpOptions,
  out: Slot | null = options.out ?? null,
): void {
  const flags = (options.waitIn === true ? flagWaitIn : 0) | (options.full === true ? flagFull : 0);
  block.section.ops.push({
    code: "call",
    flags,
    nr: requireSyscall(block.build.arch, name),
    name,
    args,
    out,
    rules: options.on ?? noRules,
    target: null,
    block: null,
    note: options.note,
    at: options.at === undefined ? block.at : options.at,
    hints: options.hints ?? null,
  });
}

/** clone3: `body` fills the child's own section; it must end in `execve` or `end`. */
export function clone(
  block: Block,
  name: string,
  cloneArgs: Data,
  options: OpOptions,
  body: (child: Block) => void,
): void {
  const child = addBlock(block.build, name, true);
  child.at = block.at;
  append(block, "clone", options, { name: "clone3", args: [cloneArgs, imm(cloneArgs.size)], block: child.section });
  body(child);
}

/** Waits for the process behind a pidfd. `mustBeZero`: any other status is an error. */
export function wait(block: Block, pidfd: Value, mustBeZero: boolean, options: OpOptions): void {
  append(block, "wait", options, { args: [pidfd, imm(mustBeZero ? 1 : 0)] });
}

export function label(name: string): Label {
  return { name, section: null, position: 0 };
}

/** The label stands for the next operation appended to the block. */
export function place(block: Block, target: Label): void {
  target.section = block.section;
  target.position = block.section.ops.length;
}

export type Comparison = "always" | "eq" | "ne" | "lt" | "ge";
const comparisons: Readonly<Record<Comparison, number>> = { always: 0, eq: 1, ne: 2, lt: 3, ge: 4 };

export function jump(
  block: Block,
  target: Label,
  note: string,
  when: Comparison = "always",
  a: Value = imm(0),
  b: Value = imm(0),
): void {
  append(
    block,
    "jump",
    { note },
    {
      nr: comparisons[when],
      name: when === "always" ? "jump" : `jump_${when}`,
      args: when === "always" ? noValues : [a, b],
      target,
    },
  );
}

export type Arithmetic = "set" | "add" | "or" | "and" | "sub" | "shl";
const arithmetic: Readonly<Record<Arithmetic, number>> = { set: 0, add: 1, or: 2, and: 3, sub: 4, shl: 5 };

export function compute(block: Block, out: Slot, how: Arithmetic, a: Value, b: Value | null, note: string): void {
  append(block, "set", { note, out }, { nr: arithmetic[how], name: how, args: b === null ? [a] : [a, b] });
}

/** Writes a value into the data, little-endian. */
export function store(block: Block, value: Value, where: Data, width: 1 | 2 | 4 | 8, note: string): void {
  append(block, "store", { note }, { nr: width, args: [value, where] });
}

export function load(block: Block, out: Slot, where: Data, width: 1 | 2 | 4 | 8, note: string, signed = true): void {
  append(block, "load", { note, out }, { nr: width, args: [where], flags: signed ? flagSigned : 0 });
}

/** Fills `to` with the template; each % is replaced by the next value in decimal. */
export function format(
  block: Block,
  to: Data,
  template: string,
  values: readonly Value[],
  note: string,
  out?: Slot,
): void {
  const options: OpOptions = out === undefined ? { note } : { note, out };
  append(block, "format", options, { args: [to, imm(to.size), str(block.build, template), ...values] });
}

/** Registers operations that undo something: they run, last registered first, on failure and at the end. */
export function defer(block: Block, name: string, note: string, body: (undo: Block) => void): void {
  const undo = addBlock(block.build, name, false);
  undo.at = block.at;
  body(undo);
  end(undo, 0, "done");
  append(block, "defer", { note }, { block: undo.section });
}

export function end(block: Block, result: number | Value, note: string): void {
  append(block, "end", { note }, { args: [typeof result === "number" ? imm(result) : result] });
}

export function tell(
  block: Block,
  code: number,
  name: string,
  value: Value,
  note: string,
  more: { readonly bytes: Data; readonly length: number } | null = null,
): void {
  const args = more === null ? [value] : [value, more.bytes, imm(more.length)];
  append(block, "tell", { note }, { nr: code, name: `tell_${name}`, args });
}

/** A value that is an error if it lies in -4095..-1. */
export function check(block: Block, value: Value, options: OpOptions): void {
  append(block, "check", options, { args: [value] });
}

export function fail(block: Block, errno: number, options: OpOptions): void {
  append(block, "fail", options, { args: [imm(errno)] });
}

/** Rules for errors that do not matter. */
export function ignore(...errnos: readonly (number | "any")[]): readonly Rule[] {
  return errnos.map((on) => ({ on, to: "next" as const }));
}

export function goOn(to: Label, ...errnos: readonly (number | "any")[]): readonly Rule[] {
  return errnos.map((on) => ({ on, to }));
}
