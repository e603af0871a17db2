/** eBPF, as far as device programs need it: instructions, an assembler with labels, a disassembler and an emulator. */
import { pack, view } from "./bytes.js";

/** struct bpf_insn: u8 code, 4 bits each of destination and source register, s16 offset, s32 immediate; 8 bytes. */
export interface EbpfInsn {
  readonly code: number;
  readonly dst: number;
  readonly src: number;
  readonly off: number;
  readonly imm: number;
}

// Codes (linux/bpf.h, linux/bpf_common.h).
export const LDX_MEM_W = 0x61;
export const MOV64_IMM = 0xb7;
export const MOV32_IMM = 0xb4;
export const MOV64_REG = 0xbf;
export const MOV32_REG = 0xbc;
export const AND32_IMM = 0x54;
export const RSH32_IMM = 0x74;
export const JA = 0x05;
export const JEQ_IMM = 0x15;
export const JNE_IMM = 0x55;
export const JNE_REG = 0x5d;
export const JSET_IMM = 0x45;
export const EXIT = 0x95;

export type EbpfLabel = symbol;

/** Statements: an instruction as it is, or one whose offset is a label further on. */
export type EbpfStatement =
  | { readonly kind: "label"; readonly label: EbpfLabel }
  | { readonly kind: "insn"; readonly insn: EbpfInsn }
  | { readonly kind: "jump"; readonly insn: Omit<EbpfInsn, "off">; readonly to: EbpfLabel };

export function ebpfLabel(text: string): EbpfLabel {
  return Symbol(text);
}

/** An instruction with what is not given zero. */
export function insn(code: number, fields: Partial<Omit<EbpfInsn, "code">> = {}): EbpfStatement {
  return { kind: "insn", insn: { code, dst: 0, src: 0, off: 0, imm: 0, ...fields } };
}

/** A jump to a label. */
export function jump(code: number, to: EbpfLabel, fields: Partial<Omit<EbpfInsn, "code" | "off">> = {}): EbpfStatement {
  return { kind: "jump", insn: { code, dst: 0, src: 0, imm: 0, ...fields }, to };
}

/** Forward jumps only. Throws TypeError for a missing label, RangeError for a distance beyond 32767. */
export function assembleEbpf(statements: readonly EbpfStatement[]): readonly EbpfInsn[] {
  const places = new Map<EbpfLabel, number>();
  let count = 0;
  for (const statement of statements) {
    if (statement.kind === "label") places.set(statement.label, count);
    else count += 1;
  }
  const out: EbpfInsn[] = [];
  for (const statement of statements) {
    if (statement.kind === "label") continue;
    if (statement.kind === "insn") {
      out.push(statement.insn);
      continue;
    }
    const place = places.get(statement.to);
    const off = place === undefined ? -1 : place - out.length - 1;
    if (off < 0) throw new TypeError(`label ${String(statement.to)} is missing or lies behind the jump`);
    if (off > 0x7fff) throw new RangeError(`a jump over ${off} instructions`);
    out.push({ ...statement.insn, off });
  }
  return out;
}

export function encodeEbpf(program: readonly EbpfInsn[]): Uint8Array {
  const out = pack(8 * program.length);
  program.forEach((one, i) => {
    out
      .u8(8 * i, one.code)
      .u8(8 * i + 1, one.dst | (one.src << 4))
      .u16(8 * i + 2, one.off)
      .u32(8 * i + 4, one.imm);
  });
  return out.bytes;
}

export function decodeEbpf(bytes: Uint8Array): readonly EbpfInsn[] {
  if (bytes.length % 8 !== 0) throw new RangeError(`an eBPF program of ${bytes.length} bytes`);
  const data = view(bytes);
  return Array.from({ length: bytes.length / 8 }, (_, i) => ({
    code: data.getUint8(8 * i),
    dst: data.getUint8(8 * i + 1) & 15,
    src: data.getUint8(8 * i + 1) >> 4,
    off: data.getInt16(8 * i + 2, true),
    imm: data.getInt32(8 * i + 4, true),
  }));
}

/**
 * Runs a program on a context, r1 pointing at it; the result is r0. Throws RangeError for instructions outside the subset,
 * loads outside the context, registers read before they were written: what the kernel's verifier refuses.
 */
export function runEbpf(program: readonly EbpfInsn[], context: Uint8Array): bigint {
  const memory = view(context);
  const registers: (bigint | "context" | undefined)[] = Array.from({ length: 11 }, () => undefined);
  registers[1] = "context";
  const read = (register: number, pc: number): bigint => {
    const value = registers[register];
    if (typeof value !== "bigint") throw new RangeError(`r${register} is no number at ${pc}`);
    return value;
  };
  for (let pc = 0; ; pc += 1) {
    const one = program[pc];
    if (one === undefined) throw new RangeError(`the program runs off its end at ${pc}`);
    const { code, dst, src, off, imm } = one;
    const imm64 = BigInt.asUintN(64, BigInt(imm));
    const imm32 = BigInt.asUintN(32, BigInt(imm));
    switch (code) {
      case LDX_MEM_W:
        if (registers[src] !== "context" || off < 0 || off + 4 > context.length)
          throw new RangeError(`bad load at ${pc}`);
        registers[dst] = BigInt(memory.getUint32(off, true));
        break;
      case MOV64_IMM:
        registers[dst] = imm64;
        break;
      case MOV32_IMM:
        registers[dst] = imm32;
        break;
      case MOV64_REG:
        registers[dst] = registers[src] === "context" ? "context" : read(src, pc);
        break;
      case MOV32_REG:
        registers[dst] = BigInt.asUintN(32, read(src, pc));
        break;
      case AND32_IMM:
        registers[dst] = BigInt.asUintN(32, read(dst, pc)) & imm32;
        break;
      case RSH32_IMM:
        registers[dst] = BigInt.asUintN(32, read(dst, pc)) >> imm32;
        break;
      case JA:
        pc += off;
        break;
      case JEQ_IMM:
        if (read(dst, pc) === imm64) pc += off;
        break;
      case JNE_IMM:
        if (read(dst, pc) !== imm64) pc += off;
        break;
      case JNE_REG:
        if (read(dst, pc) !== read(src, pc)) pc += off;
        break;
      case JSET_IMM:
        if ((read(dst, pc) & imm64) !== 0n) pc += off;
        break;
      case EXIT:
        return read(0, pc);
      default:
        throw new RangeError(`instruction 0x${code.toString(16)} at ${pc} is outside the subset`);
    }
  }
}

/** A line for each instruction: `4: if r2 != 2 goto 9`. */
export function disassembleEbpf(program: readonly EbpfInsn[]): readonly string[] {
  return program.map(({ code, dst, src, off, imm }, pc) => {
    const to = pc + 1 + off;
    switch (code) {
      case LDX_MEM_W:
        return `${pc}: r${dst} = u32 [r${src} + ${off}]`;
      case MOV64_IMM:
      case MOV32_IMM:
        return `${pc}: r${dst} = ${imm}`;
      case MOV64_REG:
      case MOV32_REG:
        return `${pc}: r${dst} = r${src}`;
      case AND32_IMM:
        return `${pc}: r${dst} &= ${imm}`;
      case RSH32_IMM:
        return `${pc}: r${dst} >>= ${imm}`;
      case JA:
        return `${pc}: goto ${to}`;
      case JEQ_IMM:
        return `${pc}: if r${dst} == ${imm} goto ${to}`;
      case JNE_IMM:
        return `${pc}: if r${dst} != ${imm} goto ${to}`;
      case JNE_REG:
        return `${pc}: if r${dst} != r${src} goto ${to}`;
      case JSET_IMM:
        return `${pc}: if r${dst} & ${imm} goto ${to}`;
      case EXIT:
        return `${pc}: return r0`;
      default:
        return `${pc}: 0x${code.toString(16)} r${dst} r${src} ${off} ${imm}`;
    }
  });
}
