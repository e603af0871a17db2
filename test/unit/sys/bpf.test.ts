import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import {
  assembleClassic,
  decodeClassic,
  disassembleClassic,
  encodeClassic,
  label,
  runClassic,
  type Statement,
} from "../../../src/sys/cbpf.js";
import {
  assembleEbpf,
  decodeEbpf,
  disassembleEbpf,
  ebpfLabel,
  encodeEbpf,
  EXIT,
  insn,
  JEQ_IMM,
  jump,
  LDX_MEM_W,
  MOV64_IMM,
  runEbpf,
} from "../../../src/sys/ebpf.js";

const filler = (count: number): Statement[] => Array.from({ length: count }, () => ({ kind: "load", offset: 0 }));

test("conditional jumps reach any distance on either side", () => {
  fc.assert(
    fc.property(
      fc.nat(600),
      fc.nat(600),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (first, second, nextYes, nextNo, holds) => {
        const yes = label("yes");
        const no = label("no");
        const program = assembleClassic([
          { kind: "load", offset: 0 },
          { kind: "jump", test: "eq", value: 7, yes: nextYes ? "next" : yes, no: nextNo ? "next" : no },
          { kind: "return", value: 3 },
          ...filler(first),
          { kind: "label", label: yes },
          { kind: "return", value: 1 },
          ...filler(second),
          { kind: "label", label: no },
          { kind: "return", value: 2 },
        ]);
        const expected = (holds ? nextYes : nextNo) ? 3 : holds ? 1 : 2;
        assert.equal(runClassic(program, { nr: holds ? 7 : 8, arch: 0 }), expected);
        assert.deepEqual(decodeClassic(encodeClassic(program)), program);
      },
    ),
  );
});

test("a far target that both sides share is reached from both", () => {
  const far = label("far");
  const program = assembleClassic([
    { kind: "load", offset: 0 },
    { kind: "jump", test: "ge", value: 5, yes: far, no: far },
    ...filler(300),
    { kind: "return", value: 1 },
    { kind: "label", label: far },
    { kind: "return", value: 2 },
  ]);
  for (const nr of [0, 5, 9]) assert.equal(runClassic(program, { nr, arch: 0 }), 2);
});

test("what the kernel would refuse is refused by the assembler", () => {
  const loop = label("loop");
  assert.throws(
    () =>
      assembleClassic([
        { kind: "label", label: loop },
        { kind: "goto", to: loop },
      ]),
    /lies behind/,
  );
  assert.throws(() => assembleClassic([{ kind: "goto", to: label("nowhere") }]), TypeError);
  assert.throws(() => assembleClassic([...filler(4096), { kind: "return", value: 0 }]), RangeError);
  assert.throws(() => runClassic(assembleClassic(filler(2)), { nr: 0, arch: 0 }), /runs off its end/);
  assert.throws(() => runClassic(assembleClassic([{ kind: "load", offset: 62 }]), { nr: 0, arch: 0 }), RangeError);
});

test("a filter reads the halves of every argument", () => {
  for (const index of [0, 5]) {
    const program = assembleClassic([
      { kind: "load", offset: 16 + 8 * index + 4 },
      { kind: "and", value: 0xffff0000 },
      { kind: "jump", test: "set", value: 0x80000000, yes: "next", no: "next" },
      { kind: "return", value: index },
    ]);
    assert.equal(runClassic(program, { nr: 0, arch: 0, args: [1n << 63n] }), index);
  }
});

test("programs can be read back as text", () => {
  const out = label("out");
  const program = assembleClassic([
    { kind: "load", offset: 4 },
    { kind: "jump", test: "eq", value: 0xc000003e, yes: "next", no: out },
    { kind: "return", value: 0x7fff0000 },
    { kind: "label", label: out },
    { kind: "return", value: 0x00050001 },
  ]);
  assert.deepEqual(disassembleClassic(program), [
    "0: load [4]",
    "1: jeq 0xc000003e ? 2 : 3",
    "2: return SECCOMP_RET_ALLOW",
    "3: return SECCOMP_RET_ERRNO|1",
  ]);
});

test("eBPF is encoded as the kernel's struct bpf_insn and runs", () => {
  const hit = ebpfLabel("hit");
  const program = assembleEbpf([
    insn(LDX_MEM_W, { dst: 2, src: 1, off: 4 }),
    jump(JEQ_IMM, hit, { dst: 2, imm: -1 }),
    insn(MOV64_IMM, { dst: 0, imm: 0 }),
    insn(EXIT),
    { kind: "label", label: hit },
    insn(MOV64_IMM, { dst: 0, imm: 1 }),
    insn(EXIT),
  ]);
  assert.equal(
    Buffer.from(encodeEbpf(program)).toString("hex"),
    "6112040000000000 15020200ffffffff b700000000000000 9500000000000000 b700000001000000 9500000000000000".replaceAll(
      " ",
      "",
    ),
  );
  assert.deepEqual(decodeEbpf(encodeEbpf(program)), program);
  assert.equal(runEbpf(program, new Uint8Array(12)), 0n);
  // A 32-bit load is zero-extended, an immediate sign-extended: they are different numbers.
  assert.equal(runEbpf(program, new Uint8Array(12).fill(0xff)), 0n);
  assert.equal(disassembleEbpf(program)[1], "1: if r2 == -1 goto 4");
  assert.throws(() => runEbpf(program, new Uint8Array(4)), RangeError);
  assert.throws(() => runEbpf(assembleEbpf([insn(EXIT)]), new Uint8Array(4)), /r0 is no number/);
  assert.throws(() => assembleEbpf([jump(JEQ_IMM, ebpfLabel("nowhere"))]), TypeError);
});
