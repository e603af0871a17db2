/** Classic BPF over packets: the instructions that loads from a frame need beyond those of cbpf.ts, and an emulator. */
import { view } from "./bytes.js";
import { jumpOf, ALU_AND_K, LD_IMM, LD_W_ABS, RET_K, type ClassicInsn, type Statement } from "./cbpf.js";

// Codes (linux/filter.h, linux/bpf_common.h). Loads are big-endian, as the network is.
const LD_H_ABS = 0x28;
const LD_B_ABS = 0x30;
const LD_W_IND = 0x40;
const LD_H_IND = 0x48;
const LD_B_IND = 0x50;
const LD_MEM = 0x60;
const LDX_IMM = 0x01;
const LDX_B_MSH = 0xb1;
const ST = 0x02;
const ALU_ADD_K = 0x04;
const ALU_ADD_X = 0x0c;
const ALU_LSH_K = 0x64;
const TAX = 0x07;
const TXA = 0x87;

const insn = (code: number, k = 0): Statement => ({ kind: "insn", code, k });

/** A = 1, 2 or 4 bytes of the frame at that offset; with `x` the offset counts from X. The program returns 0 when they are not there. */
export function loadFrame(size: 1 | 2 | 4, offset: number, from: "start" | "x" = "start"): Statement {
  const codes = from === "start" ? [LD_B_ABS, LD_H_ABS, LD_W_ABS] : [LD_B_IND, LD_H_IND, LD_W_IND];
  return insn(codes[Math.log2(size)] ?? LD_W_ABS, offset);
}

/** X = a number. */
export function setX(value: number): Statement {
  return insn(LDX_IMM, value);
}

/** X = the length of the IPv4 header at that offset. */
export function setXToHeaderLength(offset: number): Statement {
  return insn(LDX_B_MSH, offset);
}

/** X += a number; A is lost. */
export function addToX(value: number): readonly Statement[] {
  return [insn(TXA), insn(ALU_ADD_K, value), insn(TAX)];
}

/** X += (A + 1) * 8: over an extension header of IPv6 whose length A is (RFC 8200 4.2). A is lost. */
export const addExtensionToX: readonly Statement[] = [
  insn(ALU_ADD_K, 1),
  insn(ALU_LSH_K, 3),
  insn(ALU_ADD_X),
  insn(TAX),
];

/** Keeps A in one of the sixteen words of memory, which is all there is. */
export function keepA(slot: number): Statement {
  return insn(ST, slot);
}

/** A = what was kept. */
export function takeA(slot: number): Statement {
  return insn(LD_MEM, slot);
}

/** Runs a program on a frame as the kernel would: its result, 0 after a load from beyond the frame. Throws RangeError for what the kernel refuses to load. */
export function runOnFrame(program: readonly ClassicInsn[], frame: Uint8Array): number {
  const bytes = view(frame);
  const memory: (number | undefined)[] = [];
  let a = 0;
  let x = 0;
  const load = (size: 1 | 2 | 4, at: number): number | null => {
    if (at + size > frame.length) return null;
    return size === 1 ? bytes.getUint8(at) : size === 2 ? bytes.getUint16(at) : bytes.getUint32(at);
  };
  for (let pc = 0; ; pc += 1) {
    const one = program[pc];
    if (one === undefined) throw new RangeError(`the filter runs off its end at ${pc}`);
    const jump = jumpOf(one, a);
    if (jump !== null) {
      pc += jump;
      continue;
    }
    const { code, k } = one;
    let loaded: number | null = a;
    switch (code) {
      case LD_W_ABS:
      case LD_W_IND:
        loaded = load(4, code === LD_W_IND ? x + k : k);
        break;
      case LD_H_ABS:
      case LD_H_IND:
        loaded = load(2, code === LD_H_IND ? x + k : k);
        break;
      case LD_B_ABS:
      case LD_B_IND:
        loaded = load(1, code === LD_B_IND ? x + k : k);
        break;
      case LD_IMM:
        loaded = k;
        break;
      case LD_MEM: {
        const kept = memory[k];
        if (kept === undefined) throw new RangeError(`word ${k} is read at ${pc} before it was written`);
        loaded = kept;
        break;
      }
      case LDX_IMM:
        x = k;
        break;
      case LDX_B_MSH: {
        const first = load(1, k);
        if (first === null) return 0;
        x = 4 * (first & 15);
        break;
      }
      case ST:
        memory[k] = a;
        break;
      case TAX:
        x = a;
        break;
      case TXA:
        loaded = x;
        break;
      case ALU_ADD_K:
        loaded = (a + k) >>> 0;
        break;
      case ALU_ADD_X:
        loaded = (a + x) >>> 0;
        break;
      case ALU_AND_K:
        loaded = (a & k) >>> 0;
        break;
      case ALU_LSH_K:
        loaded = (a << k) >>> 0;
        break;
      case RET_K:
        return k;
      default:
        throw new RangeError(`instruction ${code.toString(16)} at ${pc} is not for packet filters`);
    }
    if (loaded === null) return 0;
    a = loaded;
  }
}
