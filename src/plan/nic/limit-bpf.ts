/**
 * A limit of what comes in by a link, as an eBPF program of its hook. The number that lasts is the time until which all that has passed is
 * paid for at the rate. It may lie behind the clock by the burst at most; while it lies ahead of the clock, packets are dropped.
 *
 * A packet that comes in time passes whatever its size, and its cost is added: so a GSO packet passes a small burst, too. Processors that
 * send at the same moment may each pass one packet too many, but no cost is forgotten: the addition is atomic, and the assignment after a
 * pause writes what every other processor would.
 */
import {
  assembleEbpf,
  ebpfLabel,
  encodeEbpf,
  EXIT,
  insn,
  jump,
  LDX_MEM_W,
  MOV64_IMM,
  MOV64_REG,
} from "../../sys/ebpf.js";
import {
  ATOMIC_ADD_DW,
  DIV64_REG,
  IMM_AT,
  JSGE_REG,
  JSGT_REG,
  LDX_MEM_DW,
  MUL64_REG,
  readClock,
  setNumber,
  setToMapValue,
  SKB_LEN_AT,
  STX_MEM_DW,
  SUB64_REG,
} from "../../sys/ebpf-packet.js";
import { TC_ACT_SHOT, TC_ACT_UNSPEC } from "../../sys/flags.js";

export interface LimitRules {
  /** Bits a second. */
  readonly rate: number;
  /** Bytes that pass at once after a pause. */
  readonly burst: number;
}

/** Where the descriptor of the map with the number is stored. */
export const LIMIT_MAP_AT: number = IMM_AT;

const NANOSECONDS_PER_BYTE = 8_000_000_000n;

/** Instructions of 8 bytes. */
export function compileLimit(rules: LimitRules): Uint8Array {
  const rate = BigInt(rules.rate);
  const [counted, drop] = [ebpfLabel("counted"), ebpfLabel("drop")];
  return encodeEbpf(
    assembleEbpf([
      // r9: the number, r6: the packet, r0: the clock, r1: paid until
      ...setToMapValue(9),
      insn(MOV64_REG, { dst: 6, src: 1 }),
      readClock,
      insn(LDX_MEM_DW, { dst: 1, src: 9 }),
      insn(MOV64_REG, { dst: 2, src: 0 }),
      ...setNumber(3, (BigInt(rules.burst) * NANOSECONDS_PER_BYTE) / rate),
      insn(SUB64_REG, { dst: 2, src: 3 }),
      jump(JSGE_REG, counted, { dst: 1, src: 2 }),
      insn(STX_MEM_DW, { dst: 9, src: 2 }),
      insn(MOV64_REG, { dst: 1, src: 2 }),
      { kind: "label", label: counted },
      jump(JSGT_REG, drop, { dst: 1, src: 0 }),
      insn(LDX_MEM_W, { dst: 2, src: 6, off: SKB_LEN_AT }),
      ...setNumber(3, NANOSECONDS_PER_BYTE),
      insn(MUL64_REG, { dst: 2, src: 3 }),
      ...setNumber(3, rate),
      insn(DIV64_REG, { dst: 2, src: 3 }),
      insn(ATOMIC_ADD_DW, { dst: 9, src: 2 }),
      insn(MOV64_IMM, { dst: 0, imm: TC_ACT_UNSPEC }),
      insn(EXIT),
      { kind: "label", label: drop },
      insn(MOV64_IMM, { dst: 0, imm: TC_ACT_SHOT }),
      insn(EXIT),
    ]),
  );
}
