import { IsletError } from "../base/errors.js";
import { type Label, type LaunchProgram, type Op, type Section, type Value, codes } from "./ops.js";
import { putText } from "./text.js";

const headerSize = 64;
const opSize = 80;
const ruleSize = 8;
const relocationSize = 8;
const magic = 0x504c5349;
const version = 1;
const noSlot = 0xffff;
/** The runner's limits (docs/protocol/program.md). */
const maxOps = 16384;
const maxSlots = 1024;

/**
 * Whether the image carries the notes. Whoever made the program has the words for a failure; a runner does not need them, and they are a third of
 * the image, which is written while somebody waits.
 */
export type Notes = "with notes" | "without notes";

/** Room for an image of that many bytes, zeroed. */
export type Allocate = (size: number) => Uint8Array;

/** The image of a program, as docs/protocol/program.md lays it out; written where `allocate` says. */
export function encodeProgram(
  program: LaunchProgram,
  allocate: Allocate = (bytes) => new Uint8Array(bytes),
  notesWanted: Notes = "with notes",
): Uint8Array {
  const { notes, text } = notesWanted === "with notes" ? collectNotes(program) : noNotes();
  let ops = 0;
  let rules = 0;
  for (const section of program.sections) {
    ops += section.ops.length;
    for (const op of section.ops) rules += op.rules.length;
  }
  if (ops > maxOps || program.slots.length > maxSlots) {
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `the launch program is too long: ${ops} operations and ${program.slots.length} slots, at most ${maxOps} and ${maxSlots} are possible`,
      { hint: "fewer mounts, nics, hooks or cgroup settings" },
    );
  }
  const opOffset = headerSize;
  const ruleOffset = opOffset + ops * opSize;
  const relocationOffset = ruleOffset + rules * ruleSize;
  const dataOffset = Math.ceil((relocationOffset + program.relocations.length * relocationSize) / 16) * 16;
  const dataSize = program.data.length + text.length;
  const size = dataOffset + dataSize;
  const image = allocate(size);
  const view = new DataView(image.buffer, image.byteOffset, size);
  const header = [
    magic,
    version,
    size,
    opOffset,
    ops,
    ruleOffset,
    rules,
    relocationOffset,
    program.relocations.length,
    dataOffset,
    dataSize,
    program.slots.length,
    program.preset,
    program.arch === "x86_64" ? 1 : 2,
  ];
  header.forEach((word, index) => {
    view.setUint32(index * 4, word, true);
  });
  let at = opOffset;
  let ruleIndex = 0;
  let opIndex = 0;
  for (const section of program.sections) {
    const sectionEnd = section.start + section.ops.length;
    for (const op of section.ops) {
      putOp(view, at, op, notes.get(op.note) ?? program.data.length, ruleIndex);
      for (const rule of op.rules) {
        const target = rule.to === "next" ? opIndex + 1 : resolve(rule.to);
        if (target === sectionEnd && rule.to === "next") throw leadsNowhere(op, section, "an error that is fine");
        view.setInt32(ruleOffset + ruleIndex * ruleSize, rule.on === "any" ? 0 : rule.on, true);
        view.setUint32(ruleOffset + ruleIndex * ruleSize + 4, target, true);
        ruleIndex += 1;
      }
      at += opSize;
      opIndex += 1;
    }
  }
  let relocationAt = relocationOffset;
  for (const relocation of program.relocations) {
    view.setUint32(relocationAt, relocation.where, true);
    view.setUint32(relocationAt + 4, relocation.what, true);
    relocationAt += relocationSize;
  }
  image.set(program.data, dataOffset);
  image.set(text, dataOffset + program.data.length);
  return image;
}

/** One empty text that every operation refers to. */
function noNotes(): ReturnType<typeof collectNotes> {
  return { notes: new Map(), text: new Uint8Array(1) };
}

/** The notes as they follow the program's own data, each once, and where each one is. */
function collectNotes(program: LaunchProgram): {
  readonly notes: ReadonlyMap<string, number>;
  readonly text: Uint8Array;
} {
  const notes = new Map<string, number>();
  let text = new Uint8Array(16384);
  let used = 0;
  for (const section of program.sections) {
    for (const { note } of section.ops) {
      if (notes.has(note)) continue;
      if (used + note.length * 3 + 1 > text.length) {
        const bigger = new Uint8Array((text.length + note.length * 3) * 2);
        bigger.set(text);
        text = bigger;
      }
      notes.set(note, program.data.length + used);
      used += putText(text, used, note);
      text[used] = 0;
      used += 1;
    }
  }
  return { notes, text: text.subarray(0, used) };
}

function putOp(view: DataView, at: number, op: Op, note: number, firstRule: number): void {
  view.setUint16(at, codes[op.code], true);
  view.setUint16(at + 2, op.flags, true);
  view.setUint32(at + 4, op.nr, true);
  view.setUint32(at + 8, note, true);
  if (op.block !== null) view.setUint32(at + 12, op.block.start, true);
  else if (op.target !== null) view.setUint32(at + 12, resolve(op.target), true);
  view.setUint16(at + 16, op.out === null ? noSlot : op.out.index, true);
  view.setUint16(at + 18, op.rules.length, true);
  view.setUint32(at + 20, firstRule, true);
  const { args } = op;
  for (let index = 0; index < args.length; index += 1) {
    const value = args[index];
    if (value !== undefined) putValue(view, at + 24 + index * 8, at + 72 + index, value);
  }
}

function leadsNowhere(op: Op, section: Section, what: string): Error {
  return new Error(
    `${what} of the last operation of ${section.name}, "${op.note}", leads beyond its end; end the section with END`,
  );
}

function resolve(target: Label): number {
  if (target.section === null) throw new Error(`the label ${target.name} was never placed`);
  // Behind a section's last operation another section begins, which is for another process or another time.
  if (target.position >= target.section.ops.length)
    throw new Error(`the label ${target.name} is behind the last operation of ${target.section.name}`);
  return target.section.start + target.position;
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
