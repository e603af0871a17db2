/** Classic BPF, the language of seccomp filters and of packet filters (cbpf-packet.ts): instructions, an assembler with labels, a disassembler and an emulator. */
import { pack, view } from "./bytes.js";
import { SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, SECCOMP_RET, showFlags } from "./flags.js";
import { SECCOMP_DATA_SIZE } from "./structs.js";

/** struct sock_filter: 8 bytes. */
export interface ClassicInsn {
  readonly code: number;
  /** Instructions to skip when the comparison holds, or does not; 0 to 255. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

// Codes that seccomp filters need (linux/bpf_common.h): class | size | mode or class | operation | source.
export const LD_W_ABS = 0x20;
export const LD_IMM = 0x00;
export const ALU_AND_K = 0x54;
export const JMP_JA = 0x05;
export const JMP_JEQ_K = 0x15;
export const JMP_JGT_K = 0x25;
export const JMP_JGE_K = 0x35;
export const JMP_JSET_K = 0x45;
export const RET_K = 0x06;

export const MAX_INSTRUCTIONS = 4096;

export function encodeClassic(program: readonly ClassicInsn[]): Uint8Array {
  const out = pack(8 * program.length);
  program.forEach((insn, i) => {
    out
      .u16(8 * i, insn.code)
      .u8(8 * i + 2, insn.jt)
      .u8(8 * i + 3, insn.jf)
      .u32(8 * i + 4, insn.k);
  });
  return out.bytes;
}

export function decodeClassic(bytes: Uint8Array): readonly ClassicInsn[] {
  if (bytes.length % 8 !== 0) throw new RangeError(`a classic BPF program of ${bytes.length} bytes`);
  const data = view(bytes);
  return Array.from({ length: bytes.length / 8 }, (_, i) => ({
    code: data.getUint16(8 * i, true),
    jt: data.getUint8(8 * i + 2),
    jf: data.getUint8(8 * i + 3),
    k: data.getUint32(8 * i + 4, true),
  }));
}

/** A place in a program; made by `label()`, defined where the statement of kind `label` stands. */
export type Label = symbol;

export type Comparison = "eq" | "gt" | "ge" | "set";

/** Statements of the assembler. `next` means the statement that follows. */
export type Statement =
  | { readonly kind: "label"; readonly label: Label }
  /** A = the 32-bit word at that offset of seccomp_data. */
  | { readonly kind: "load"; readonly offset: number }
  | { readonly kind: "and"; readonly value: number }
  /** Any instruction that does not jump, by its code (cbpf-packet.ts). */
  | { readonly kind: "insn"; readonly code: number; readonly k: number }
  /** A compared with a value, unsigned; `set`: A & value is not 0. */
  | {
      readonly kind: "jump";
      readonly test: Comparison;
      readonly value: number;
      readonly yes: Label | "next";
      readonly no: Label | "next";
    }
  | { readonly kind: "goto"; readonly to: Label }
  | { readonly kind: "return"; readonly value: number };

/** A new label; the text shows up in error messages only. */
export function label(text: string): Label {
  return Symbol(text);
}

const COMPARISON_CODE: Readonly<Record<Comparison, number>> = {
  eq: JMP_JEQ_K,
  gt: JMP_JGT_K,
  ge: JMP_JGE_K,
  set: JMP_JSET_K,
};

/**
 * Instructions for a list of statements. Jumps go forward only (the kernel's checker); a conditional jump further than 255
 * instructions goes by way of an unconditional one put right behind it. Throws RangeError when the program is longer than
 * the kernel takes, TypeError for a label that is missing or lies behind.
 */
export function assembleClassic(statements: readonly Statement[]): readonly ClassicInsn[] {
  // Built from the end: then the distance to every target is known.
  const reversed: ClassicInsn[] = [];
  const places = new Map<Label, number>();
  const distance = (target: Label): number => {
    const place = places.get(target);
    if (place === undefined) throw new TypeError(`label ${String(target)} is missing or lies behind the jump`);
    return reversed.length - place;
  };
  for (const statement of [...statements].reverse()) {
    switch (statement.kind) {
      case "label":
        if (places.has(statement.label)) throw new TypeError(`label ${String(statement.label)} is defined twice`);
        places.set(statement.label, reversed.length);
        break;
      case "load":
        reversed.push({ code: LD_W_ABS, jt: 0, jf: 0, k: statement.offset });
        break;
      case "and":
        reversed.push({ code: ALU_AND_K, jt: 0, jf: 0, k: statement.value >>> 0 });
        break;
      case "insn":
        reversed.push({ code: statement.code, jt: 0, jf: 0, k: statement.k >>> 0 });
        break;
      case "return":
        reversed.push({ code: RET_K, jt: 0, jf: 0, k: statement.value >>> 0 });
        break;
      case "goto":
        reversed.push({ code: JMP_JA, jt: 0, jf: 0, k: distance(statement.to) });
        break;
      case "jump":
        pushJump(statement, reversed, distance);
        break;
      default:
        throw new TypeError(`unknown statement ${String(statement satisfies never)}`);
    }
  }
  if (reversed.length > MAX_INSTRUCTIONS)
    throw new RangeError(`a filter of ${reversed.length} instructions; the kernel takes ${MAX_INSTRUCTIONS}`);
  return reversed.reverse();
}

function pushJump(
  jump: Extract<Statement, { readonly kind: "jump" }>,
  reversed: ClassicInsn[],
  distance: (target: Label) => number,
): void {
  const far = (target: Label | "next", before: number): boolean => target !== "next" && distance(target) + before > 255;
  // Up to two instructions may come between the jump and what follows it.
  const farYes = far(jump.yes, 2);
  const farNo = far(jump.no, 2);
  // `next` with a detour behind the jump skips it; the detour itself is one instruction at most per side.
  let detours = 0;
  const detour = (target: Label): number => {
    reversed.push({ code: JMP_JA, jt: 0, jf: 0, k: distance(target) });
    detours += 1;
    return detours;
  };
  const noAt = farNo && jump.no !== "next" ? detour(jump.no) : 0;
  const yesAt = farYes && jump.yes !== "next" ? detour(jump.yes) : 0;
  const offset = (target: Label | "next", at: number): number =>
    at > 0 ? detours - at : target === "next" ? detours : distance(target);
  reversed.push({
    code: COMPARISON_CODE[jump.test],
    jt: offset(jump.yes, yesAt),
    jf: offset(jump.no, noAt),
    k: jump.value >>> 0,
  });
}

/** What a system call looks like to a filter. */
export interface SeccompData {
  readonly nr: number;
  /** AUDIT_ARCH_*. */
  readonly arch: number;
  readonly args?: readonly bigint[];
  readonly instructionPointer?: bigint;
}

/** struct seccomp_data, 64 bytes. */
export function encodeSeccompData(data: SeccompData): Uint8Array {
  const out = pack(SECCOMP_DATA_SIZE)
    .u32(0, data.nr)
    .u32(4, data.arch)
    .u64(8, data.instructionPointer ?? 0n);
  for (let i = 0; i < 6; i += 1) out.u64(16 + 8 * i, data.args?.[i] ?? 0n);
  return out.bytes;
}

/** How many instructions a jump leaves out, with `a` in the accumulator; null: it is no jump. */
export function jumpOf({ code, jt, jf, k }: ClassicInsn, a: number): number | null {
  switch (code) {
    case JMP_JA:
      return k;
    case JMP_JEQ_K:
      return a === k ? jt : jf;
    case JMP_JGT_K:
      return a > k ? jt : jf;
    case JMP_JGE_K:
      return a >= k ? jt : jf;
    case JMP_JSET_K:
      return (a & k) !== 0 ? jt : jf;
    default:
      return null;
  }
}

/** Runs a filter as the kernel would; the result is its 32-bit return value. Throws RangeError for what the kernel refuses to load. */
export function runClassic(program: readonly ClassicInsn[], data: SeccompData): number {
  const memory = view(encodeSeccompData(data));
  let a = 0;
  for (let pc = 0; ; pc += 1) {
    const insn = program[pc];
    if (insn === undefined) throw new RangeError(`the filter runs off its end at ${pc}`);
    const jump = jumpOf(insn, a);
    if (jump !== null) {
      pc += jump;
      continue;
    }
    const { code, k } = insn;
    switch (code) {
      case LD_W_ABS:
        if (k % 4 !== 0 || k + 4 > SECCOMP_DATA_SIZE) throw new RangeError(`bad load offset ${k} at ${pc}`);
        a = memory.getUint32(k, true);
        break;
      case LD_IMM:
        a = k;
        break;
      case ALU_AND_K:
        a = (a & k) >>> 0;
        break;
      case RET_K:
        return k;
      default:
        throw new RangeError(`instruction ${code.toString(16)} at ${pc} is not for seccomp filters`);
    }
  }
}

/** `SECCOMP_RET_ERRNO|1`: a filter's return value in words. */
export function showSeccompReturn(value: number): string {
  if (value === SECCOMP_RET_ALLOW) return "SECCOMP_RET_ALLOW";
  const data = value & SECCOMP_RET_DATA;
  const action = showFlags(SECCOMP_RET, (value & ~SECCOMP_RET_DATA) >>> 0);
  return data === 0 && (value & ~SECCOMP_RET_DATA) >>> 0 !== SECCOMP_RET_ERRNO ? action : `${action}|${data}`;
}

/** A line for each instruction, with absolute jump targets: `3: jeq 0xc000003e ? 4 : 9`. */
export function disassembleClassic(program: readonly ClassicInsn[]): readonly string[] {
  return program.map(({ code, jt, jf, k }, pc) => {
    const hex = `0x${k.toString(16)}`;
    const branch = (op: string): string => `${pc}: ${op} ${hex} ? ${pc + 1 + jt} : ${pc + 1 + jf}`;
    switch (code) {
      case LD_W_ABS:
        return `${pc}: load [${k}]`;
      case LD_IMM:
        return `${pc}: load ${hex}`;
      case ALU_AND_K:
        return `${pc}: and ${hex}`;
      case JMP_JA:
        return `${pc}: goto ${pc + 1 + k}`;
      case JMP_JEQ_K:
        return branch("jeq");
      case JMP_JGT_K:
        return branch("jgt");
      case JMP_JGE_K:
        return branch("jge");
      case JMP_JSET_K:
        return branch("jset");
      case RET_K:
        return `${pc}: return ${showSeccompReturn(k)}`;
      default:
        return `${pc}: 0x${code.toString(16)} ${jt} ${jf} ${hex}`;
    }
  });
}
