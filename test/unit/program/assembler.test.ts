import assert from "node:assert/strict";
import { test } from "node:test";

import {
  beginProgram,
  blob,
  buffer,
  clone,
  constant,
  data,
  defer,
  end,
  fail,
  finishProgram,
  imm,
  jump,
  label,
  place,
  point,
  presetSlot,
  slot,
  str,
  stringArray,
  textBytes,
  within,
  call,
} from "../../../src/program/assembler.js";
import { cloneArguments, close } from "../../../src/program/calls.js";
import { opAt, opCount } from "../../../src/program/ops.js";
import { putText } from "../../../src/program/text.js";
import { sendMessage } from "../../../src/sys/structs.js";

const begin = (): ReturnType<typeof beginProgram> => beginProgram("x86_64", "first");
const text = (bytes: Uint8Array, from: number, to: number): string => Buffer.from(bytes.subarray(from, to)).toString();

test("equal strings are stored once, with a NUL behind them", () => {
  const first = begin();
  const [a, b, c] = [str(first.build, "/etc"), str(first.build, "/etc/"), str(first.build, "/etc")];
  assert.equal(a, c);
  assert.notEqual(a.offset, b.offset);
  end(first, 0, "done");
  const made = finishProgram(first.build);
  assert.equal(text(made.data, 0, made.data.length), "/etc\0/etc/\0");
});

test("a string with a NUL inside is refused: the kernel would see less of it", () => {
  assert.throws(() => str(begin().build, "a\0b"), /a NUL inside the string "a\\u0000b"/);
});

test("what a program may write to is never shared", () => {
  const { build } = begin();
  assert.notEqual(buffer(build, 8, "a").offset, buffer(build, 8, "a").offset);
  assert.notEqual(textBytes(build, "x").offset, textBytes(build, "x").offset);
  assert.notEqual(data(build, Uint8Array.of(1), "a").offset, data(build, Uint8Array.of(1), "a").offset);
});

test("a constant is made once for its key", () => {
  const { build } = begin();
  let made = 0;
  const make = (): Uint8Array => Uint8Array.of((made += 1));
  assert.equal(constant(build, "one", make, "a"), constant(build, "one", make, "a"));
  assert.notEqual(constant(build, "two", make, "b").offset, constant(build, "one", make, "a").offset);
  assert.equal(made, 2);
});

test("data grow as far as they must and keep what is in them; structures stay aligned", () => {
  const first = begin();
  const texts = Array.from({ length: 3000 }, (_, index) => `/a/rather/long/path/with/the/number/${index}`);
  const places = texts.map((each) => str(first.build, each));
  const large = data(first.build, new Uint8Array(300_000).fill(7), "large");
  const aligned = data(first.build, Uint8Array.of(1), "one", 16);
  end(first, 0, "done");
  const made = finishProgram(first.build);
  places.forEach((found, index) => {
    assert.equal(text(made.data, found.offset, found.offset + found.size), `${texts[index]}\0`);
  });
  assert.deepEqual([large.offset % 8, aligned.offset % 16], [0, 0]);
  assert.ok(made.data.subarray(large.offset, large.offset + 300_000).every((byte) => byte === 7));
  assert.equal(made.data.length, aligned.offset + 1);
});

test("texts are written as UTF-8, whatever they are made of", () => {
  for (const each of ["", "plain", "Größe", "日本", "🙂 mixed", "half \ud800"]) {
    const bytes = new Uint8Array(64);
    const written = putText(bytes, 3, each);
    assert.deepEqual(bytes.subarray(3, 3 + written), new TextEncoder().encode(each));
  }
});

test("a pointer must be aligned, and leads where it was told to", () => {
  const first = begin();
  const array = buffer(first.build, 24, "[]");
  const target = str(first.build, "x");
  assert.throws(() => point(first.build, array, 4, target), /aligned/);
  point(first.build, array, 8, target);
  assert.deepEqual(first.build.relocations, [{ where: array.offset + 8, what: target.offset }]);
});

test("an array of strings is NULL-terminated: one pointer per string and none for the last word", () => {
  const { build } = begin();
  const array = stringArray(build, ["a", "b", "a"]);
  assert.equal(array.size, 32);
  const [a, b] = [str(build, "a"), str(build, "b")];
  assert.deepEqual(
    build.relocations.map(({ where, what }) => [where - array.offset, what]),
    [
      [0, a.offset],
      [8, b.offset],
      [16, a.offset],
    ],
  );
});

test("a structure with pointers into itself keeps them wherever it comes to lie", () => {
  const { build } = begin();
  str(build, "moves it");
  const message = sendMessage(Uint8Array.of(1), 1);
  const placed = blob(build, message, "{}");
  assert.ok(placed.offset > 0 && message.pointers.length > 0);
  assert.deepEqual(
    build.relocations,
    message.pointers.map(({ at, to }) => ({ where: placed.offset + at, what: placed.offset + to })),
  );
  assert.deepEqual([within(placed, 8, 4, "x").offset, within(placed, 8, 4).size], [placed.offset + 8, 4]);
});

test("preset slots come before all others", () => {
  const { build } = begin();
  assert.deepEqual([presetSlot(build, "a").index, presetSlot(build, "b").index, slot(build, "c").index], [0, 1, 2]);
  assert.equal(build.preset, 2);
  assert.throws(() => presetSlot(build, "late"), /preset slots come first/);
});

test("sections are laid out one after another; an operation is found by its number with the section it is in", () => {
  const first = begin();
  const { build } = first;
  const args = cloneArguments(first, 0n, 17, null, null);
  defer(first, "undo", "later", (undo) => {
    fail(undo, 5, { note: "never" });
  });
  clone(first, "child", args, { note: "start it" }, (child) => {
    end(child, 3, "leave");
  });
  end(first, 0, "done");
  const made = finishProgram(build);
  assert.deepEqual(
    made.sections.map((each) => [each.name, each.start, each.ops.map((op) => op.code)]),
    [
      ["first", 0, ["defer", "clone", "end"]],
      ["undo", 3, ["fail", "end"]],
      ["child", 5, ["end"]],
    ],
  );
  assert.equal(opCount(made), 6);
  assert.deepEqual(
    [0, 2, 3, 5].map((index) => opAt(made, index)?.section.name),
    ["first", "first", "undo", "child"],
  );
  assert.equal(opAt(made, 5)?.op.note, "leave");
  assert.equal(opAt(made, 6), null);
});

test("operations and the sections below them carry the source that was in force when they were written", () => {
  const first = begin();
  const at = { file: "config", line: 3, key: "lxc.x" };
  const other = { file: "config", line: 9, key: "lxc.y" };
  first.at = at;
  call(first, "getpid", [], { note: "a" });
  call(first, "getpid", [], { note: "b", at: other });
  call(first, "getpid", [], { note: "c", at: null });
  clone(first, "child", cloneArguments(first, 0n, 17, null, null), { note: "d" }, (child) => {
    call(child, "getpid", [], { note: "e" });
    end(child, 0, "f");
  });
  const made = finishProgram(first.build);
  assert.deepEqual(
    made.sections.flatMap((each) => each.ops.map((op) => op.at)),
    [at, other, null, at, at, at],
  );
});

test("a label stands for the next operation, before or behind those that go there", () => {
  const first = begin();
  const [back, on] = [label("back"), label("on")];
  place(first, back);
  jump(first, on, "skip", "eq", imm(1), imm(1));
  jump(first, back, "again");
  place(first, on);
  end(first, 0, "done");
  assert.deepEqual([back.position, on.position], [0, 2]);
});

test("in a process that ends in an exec nothing is closed that exec closes anyway", () => {
  const first = begin();
  const fd = slot(first.build, "fd");
  close(first, fd, "close it");
  clone(first, "child", cloneArguments(first, 0n, 17, null, null), { note: "start" }, (child) => {
    close(child, fd, "close it");
    end(child, 0, "done");
  });
  const made = finishProgram(first.build);
  assert.deepEqual(
    made.sections.map((each) => each.ops.map((op) => op.name)),
    [["close", "clone3"], ["end"]],
  );
});
