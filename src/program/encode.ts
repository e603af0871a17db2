import { codes, opCount, type Label, type LaunchProgram, type Rule, type Value } from "./ops.js";

const headerSize = 64;
const opSize = 80;
const ruleSize = 8;
const relocationSize = 8;
const magic = 0x504c5349;
const version = 1;
const noSlot = 0xffff;

const text = new TextEncoder();

/** The image of a program, as docs/protocol/program.md lays it out. */
export function encodeProgram(program: LaunchProgram): Uint8Array {
  const ops = opCount(program);
  let rules = 0;
  const notes = new Map<string, number>();
  let noteBytes = 0;
  const noteList: Uint8Array[] = [];
  const noteBase = program.data.length;
  for (const section of program.sections) {
    for (const op of section.ops) {
      rules += op.rules.length;
      if (!notes.has(op.note)) {
        notes.set(op.note, noteBase + noteBytes);
        const encoded = text.encode(op.note);
        noteList.push(encoded);
        noteBytes += encoded.length + 1;
      }
    }
  }
  const opOffset = headerSize;
  const ruleOffset = opOffset + ops * opSize;
  const relocationOffset = ruleOffset + rules * ruleSize;
  const dataOffset = Math.ceil((relocationOffset + program.relocations.length * relocationSize) / 16) * 16;
  const dataSize = program.data.length + noteBytes;
  const size = dataOffset + dataSize;
  const image = new Uint8Array(size);
  const view = new DataView(image.buffer);
  const header = [magic, version, size, opOffset, ops, ruleOffset, rules, relocationOffset, program.relocations.length, dataOffset, dataSize, program.slots.length, program.preset, program.arch === "x86_64" ? 1 : 2];
  header.forEach((word, index) => {
    view.setUint32(index * 4, word, true);
  });
  let at = opOffset;
  let ruleIndex = 0;
  let opIndex = 0;
  for (const section of program.sections) {
    for (const op of section.ops) {
      view.setUint16(at, codes[op.code], true);
      view.setUint16(at + 2, op.flags, true);
      view.setUint32(at + 4, op.nr, true);
      view.setUint32(at + 8, notes.get(op.note) ?? 0, true);
      const target = op.block !== null ? op.block.start : op.target !== null ? resolve(op.target) : 0;
      view.setUint32(at + 12, target, true);
      view.setUint16(at + 16, op.out === null ? noSlot : op.out.index, true);
      view.setUint16(at + 18, op.rules.length, true);
      view.setUint32(at + 20, ruleIndex, true);
      op.args.forEach((value, index) => {
        putValue(view, at + 24 + index * 8, at + 72 + index, value);
      });
      for (const rule of op.rules) {
        putRule(view, ruleOffset + ruleIndex * ruleSize, rule, opIndex);
        ruleIndex += 1;
      }
      at += opSize;
      opIndex += 1;
    }
  }
  program.relocations.forEach((relocation, index) => {
    view.setUint32(relocationOffset + index * relocationSize, relocation.where, true);
    view.setUint32(relocationOffset + index * relocationSize + 4, relocation.what, true);
  });
  image.set(program.data, dataOffset);
  let noteAt = dataOffset + noteBase;
  for (const note of noteList) {
    image.set(note, noteAt);
    noteAt += note.length + 1;
  }
  return image;
}

function resolve(target: Label): number {
  if (target.section === null) throw new Error(`the label ${target.name} was never placed`);
  return target.section.start + target.position;
}

function putRule(view: DataView, at: number, rule: Rule, opIndex: number): void {
  view.setInt32(at, rule.on === "any" ? 0 : rule.on, true);
  view.setUint32(at + 4, rule.to === "next" ? opIndex + 1 : resolve(rule.to), true);
}

function putValue(view: DataView, at: number, tagAt: number, value: Value): void {
  switch (value.kind) {
    case "imm":
      if (typeof value.value === "bigint") {
        view.setBigUint64(at, BigInt.asUintN(64, value.value), true);
      } else {
        view.setUint32(at, value.value >>> 0, true);
        view.setInt32(at + 4, Math.floor(value.value / 4294967296), true);
      }
      return;
    case "data":
      view.setUint32(at, value.offset, true);
      view.setUint8(tagAt, 1);
      return;
    case "slot":
      view.setUint32(at, value.index, true);
      view.setUint8(tagAt, 2);
      return;
    default: {
      const impossible: never = value;
      throw new Error(String(impossible));
    }
  }
}
