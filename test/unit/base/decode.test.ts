import assert from "node:assert/strict";
import { test } from "node:test";
import {
  absolutePath,
  bigInteger,
  type Decoder,
  dictionary,
  flag,
  integer,
  list,
  oneOf,
  orNull,
  record,
  text,
  variant,
} from "../../../src/base/decode.js";
import { IsletError } from "../../../src/base/errors.js";

const says =
  (message: string) =>
  (error: unknown): boolean =>
    error instanceof IsletError && error.code === "ISLET_BAD_REQUEST" && error.message === message;

const decoder = record<{ readonly name: string; readonly sizes: readonly number[]; readonly on: boolean | null }>({
  name: text,
  sizes: list(integer(0, 9)),
  on: orNull(flag),
});

test("what is as it should be comes out as it is", () => {
  const value = { name: "x", sizes: [1, 2], on: null };
  assert.deepEqual(decoder(value, ""), value);
  assert.equal(oneOf("a", "b")("b", "p"), "b");
  assert.deepEqual(dictionary(text)({ A: "1" }, "p"), { A: "1" });
});

test("what is not is refused with its place", () => {
  assert.throws(() => decoder(null, ""), says("the request is not an object"));
  assert.throws(() => decoder([], ""), says("the request is not an object"));
  assert.throws(
    () => decoder({ name: "x", sizes: [1, 10], on: true }, ""),
    says("sizes[1] is not a whole number from 0 to 9"),
  );
  assert.throws(
    () => decoder({ name: "x", sizes: [0.5], on: true }, ""),
    says("sizes[0] is not a whole number from 0 to 9"),
  );
  assert.throws(() => decoder({ name: "x", sizes: {}, on: true }, ""), says("sizes is not a list"));
  assert.throws(() => decoder({ name: "x", sizes: [], on: 1 }, "p"), says("p.on is not true or false"));
  assert.throws(() => decoder({ name: "x", sizes: [] }, ""), says("on is not true or false"));
  assert.throws(() => decoder({ name: "x", sizes: [], on: null, more: 1 }, ""), says("more is not known"));
  assert.throws(() => decoder(JSON.parse('{"__proto__": 1}'), ""), says("__proto__ is not known"));
  assert.throws(() => oneOf("a", "b")("c", "p"), says("p is not one of a, b"));
  assert.throws(() => dictionary(text)({ A: 1 }, "p"), says("p.A is not a string"));
});

type Shape = { readonly kind: "circle"; readonly radius: bigint } | { readonly kind: "file"; readonly path: string };
const shape: Decoder<Shape> = variant<Shape>({
  circle: record<Extract<Shape, { readonly kind: "circle" }>>({ kind: oneOf("circle"), radius: bigInteger(1n, 9n) }),
  file: record<Extract<Shape, { readonly kind: "file" }>>({ kind: oneOf("file"), path: absolutePath }),
});

test("one of several objects is taken by its kind, with the fields of that kind alone", () => {
  assert.deepEqual(shape({ kind: "circle", radius: 9n }, "p"), { kind: "circle", radius: 9n });
  assert.deepEqual(shape({ kind: "file", path: "/x" }, ""), { kind: "file", path: "/x" });
  assert.throws(() => shape({ kind: "square" }, "p"), says("p.kind is not one of circle, file"));
  assert.throws(() => shape({}, ""), says("kind is not one of circle, file"));
  assert.throws(() => shape({ kind: "constructor" }, ""), says("kind is not one of circle, file"));
  assert.throws(() => shape("circle", "p"), says("p is not an object"));
  assert.throws(() => shape({ kind: "file", path: "/x", radius: 1n }, "p"), says("p.radius is not known"));
  for (const radius of [10n, 0n, 5, "5", null])
    assert.throws(
      () => shape({ kind: "circle", radius }, "p"),
      says("p.radius is not a whole number (bigint) from 1 to 9"),
    );
  for (const path of ["x", "", "/a\0b"])
    assert.throws(() => shape({ kind: "file", path }, "p"), says("p.path is not an absolute path"));
});
