/** eBPF over packets with a clock and one 64-bit number that lasts: what such programs need beyond ebpf.ts, and an emulator. */
import { JA, EXIT, insn, MOV64_IMM, MOV64_REG, LDX_MEM_W, type EbpfInsn, type EbpfStatement } from "./ebpf.js";
import { BPF_FUNC_ktime_get_ns, BPF_PSEUDO_MAP_VALUE } from "./flags.js";

// Codes (linux/bpf.h, linux/bpf_common.h); JS: signed comparison.
export const LDX_MEM_DW = 0x79;
export const STX_MEM_DW = 0x7b;
/** `lock *(u64 *)(dst + off) += src`; imm 0 is BPF_ADD without the old value. */
export const ATOMIC_ADD_DW = 0xdb;
export const SUB64_REG = 0x1f;
export const MUL64_REG = 0x2f;
export const DIV64_REG = 0x3f;
export const JSGE_REG = 0x7d;
export const JSGT_REG = 0x6d;
export const CALL = 0x85;
const LD_IMM64 = 0x18;

/** Offset of the packet's length in struct __sk_buff. */
export const SKB_LEN_AT = 0;

/** A register takes a 64-bit number: two instructions. */
export function setNumber(dst: number, value: bigint): readonly EbpfStatement[] {
  return [
    insn(LD_IMM64, { dst, imm: Number(BigInt.asIntN(32, value)) }),
    insn(0, { imm: Number(BigInt.asIntN(32, value >> 32n)) }),
  ];
}

/** A register takes the address of the value of a map (linux/bpf.h, BPF_PSEUDO_MAP_VALUE); the map's descriptor is its first instruction's imm. */
export function setToMapValue(dst: number): readonly EbpfStatement[] {
  return [insn(LD_IMM64, { dst, src: BPF_PSEUDO_MAP_VALUE }), insn(0)];
}

/** Offset of imm in an instruction. */
export const IMM_AT = 4;

/** r0 = nanoseconds since the host's start; r1 to r5 are lost. */
export const readClock: EbpfStatement = insn(CALL, { imm: BPF_FUNC_ktime_get_ns });

/** What a program finds. */
export interface PacketState {
  readonly length: number;
  /** Nanoseconds. */
  readonly now: bigint;
  /** The number that lasts. */
  readonly value: bigint;
}

/** Runs a program on a packet: its result as a signed number, and what the number that lasts has become. Throws RangeError for instructions outside the subset. */
export function runOnPacket(
  program: readonly EbpfInsn[],
  packet: PacketState,
): { readonly result: number; readonly value: bigint } {
  const registers: bigint[] = Array.from({ length: 11 }, () => 0n);
  const signed = (register: number): bigint => BigInt.asIntN(64, registers[register] ?? 0n);
  const unsigned = (register: number): bigint => BigInt.asUintN(64, registers[register] ?? 0n);
  let value = packet.value;
  for (let pc = 0; ; pc += 1) {
    const one = program[pc];
    if (one === undefined) throw new RangeError(`the program runs off its end at ${pc}`);
    const { code, dst, src, off, imm } = one;
    switch (code) {
      case LD_IMM64:
        registers[dst] = (BigInt(program[pc + 1]?.imm ?? 0) << 32n) | BigInt.asUintN(32, BigInt(imm));
        pc += 1;
        break;
      case MOV64_IMM:
        registers[dst] = BigInt(imm);
        break;
      case MOV64_REG:
        registers[dst] = signed(src);
        break;
      case LDX_MEM_W:
        registers[dst] = BigInt(packet.length);
        break;
      case LDX_MEM_DW:
        registers[dst] = value;
        break;
      case STX_MEM_DW:
        value = signed(src);
        break;
      case ATOMIC_ADD_DW:
        value = BigInt.asIntN(64, value + signed(src));
        break;
      case SUB64_REG:
        registers[dst] = signed(dst) - signed(src);
        break;
      case MUL64_REG:
        registers[dst] = BigInt.asUintN(64, unsigned(dst) * unsigned(src));
        break;
      case DIV64_REG:
        registers[dst] = unsigned(dst) / unsigned(src);
        break;
      case CALL:
        registers[0] = packet.now;
        break;
      case JA:
        pc += off;
        break;
      case JSGE_REG:
        if (signed(dst) >= signed(src)) pc += off;
        break;
      case JSGT_REG:
        if (signed(dst) > signed(src)) pc += off;
        break;
      case EXIT:
        return { result: Number(BigInt.asIntN(32, signed(0))), value };
      default:
        throw new RangeError(`instruction 0x${code.toString(16)} at ${pc} is outside the subset`);
    }
  }
}
