import type { Source } from "../base/source.js";
import type { Arch } from "../sys/arch.js";

/**
 * Launch programs as data: what the assembler builds, the encoder writes (docs/protocol/program.md) and the explainer prints.
 */

/** Text for the explainer, made only when somebody reads the program: a start does not pay for it. */
export type Show = string | (() => string);

export function shown(show: Show): string {
  return typeof show === "string" ? show : show();
}

/** A register of the program: holds a result for later operations. */
export interface Slot {
  readonly kind: "slot";
  readonly index: number;
  readonly name: string;
}

/** A place in the program's data. `show` is how the explainer prints what is there. */
export interface Data {
  readonly kind: "data";
  readonly offset: number;
  readonly size: number;
  readonly show: Show;
}

/** A number as it is; `show` where a name says more than the number. */
export interface Imm {
  readonly kind: "imm";
  readonly value: number | bigint;
  readonly show: Show | null;
}

export type Value = Slot | Data | Imm;

/** A place in the program's list of operations, known once the program is linked. */
export interface Label {
  readonly name: string;
  /** Filled by the assembler. */
  section: Section | null;
  position: number;
}

/** What to do about an error: which errno ("any" for all), and where to go on ("next": the following operation). */
export interface Rule {
  readonly on: number | "any";
  readonly to: Label | "next";
}

export const codes = {
  call: 1,
  clone: 2,
  wait: 3,
  jump: 4,
  set: 5,
  store: 6,
  load: 7,
  format: 8,
  defer: 9,
  end: 10,
  tell: 11,
  check: 12,
  fail: 13,
} as const;
export type Code = keyof typeof codes;

export const flagWaitIn = 1;
export const flagFull = 2;
export const flagSigned = 4;

/** Pseudo-errnos of the interpreter. */
export const errShort = 4096;
export const errStatus = 8192;

export interface Op {
  readonly code: Code;
  readonly flags: number;
  /** System call number, or what the operation says. */
  readonly nr: number;
  /** System call name, or the operation's own. */
  readonly name: string;
  readonly args: readonly Value[];
  readonly out: Slot | null;
  readonly rules: readonly Rule[];
  /** Of jumps. */
  readonly target: Label | null;
  /** Of clone and defer: the block that runs there. */
  readonly block: Section | null;
  /** In words, for error messages: "mount proc on proc/". */
  readonly note: string;
  /** The value of the specification that it serves. */
  readonly at: Source | null;
  /** Help for whoever meets an error here, by errno or "any". */
  readonly hints: Readonly<Record<string, string>> | null;
}

/** A run of operations that only structural operations lead into. */
export interface Section {
  /** What runs it: "monitor", "init", "hook pre-start". */
  readonly name: string;
  readonly ops: Op[];
  /** Index of its first operation in the linked program. */
  start: number;
}

export interface LaunchProgram {
  readonly arch: Arch;
  /** In the order of the image; the first one is where execution begins. */
  readonly sections: readonly Section[];
  readonly data: Uint8Array;
  readonly relocations: readonly { readonly where: number; readonly what: number }[];
  readonly slots: readonly string[];
  /** How many of the slots are given from outside. */
  readonly preset: number;
}

/** The operation with that index in the image, with its section; null beyond the end. */
export function opAt(program: LaunchProgram, index: number): { readonly op: Op; readonly section: Section } | null {
  for (const section of program.sections) {
    const op = section.ops[index - section.start];
    if (index >= section.start && op !== undefined) return { op, section };
  }
  return null;
}

export function opCount(program: LaunchProgram): number {
  let count = 0;
  for (const section of program.sections) count += section.ops.length;
  return count;
}
