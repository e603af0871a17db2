import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import {
  bool32,
  charArray,
  chars,
  type Codec,
  double,
  encode,
  i32,
  i64,
  list,
  opaque,
  optional,
  string,
  struct,
  u32,
  u64,
  uuid,
  xdrReader,
} from "../../../../src/frontends/libvirt/rpc/xdr.js";
import { payloadCodec } from "../../../../src/frontends/libvirt/rpc/messages.js";

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex");
const read = <T>(codec: Codec<T>, text: string): T => codec.read(xdrReader(hex(text)));
const refuses = (codec: Codec<unknown>, text: string): void => {
  assert.throws(
    () => read(codec, text),
    (error: unknown) => error instanceof LibvirtError && error.code === 39 && /decode/.test(error.message),
  );
};

const text = fc.string({ unit: "binary" }).map((value) => value.replaceAll("\0", ""));
const values: readonly (readonly [string, Codec<unknown>, fc.Arbitrary<unknown>])[] = [
  ["i32", i32, fc.integer()],
  ["u32", u32, fc.integer({ min: 0, max: 2 ** 32 - 1 })],
  ["i64", i64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
  ["u64", u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
  ["double", double, fc.double()],
  ["bool32", bool32, fc.boolean()],
  ["string", string(4096), text],
  ["opaque", opaque(4096), fc.uint8Array()],
  ["uuid", uuid, fc.uuid()],
  ["chars", chars(4096), fc.string({ unit: "binary-ascii" })],
  ["optional", optional(string(4096)), fc.option(text)],
  [
    "list",
    list(struct({ a: i32, b: optional(u64) }), 4096),
    fc.array(fc.record({ a: fc.integer(), b: fc.option(fc.bigInt({ min: 0n, max: 99n })) }, { noNullPrototype: true })),
  ],
];

describe("XDR", () => {
  for (const [name, codec, value] of values)
    it(`${name}: what is written is read back, whole words, and no shorter than its least`, () => {
      fc.assert(
        fc.property(value, (each) => {
          const bytes = encode(codec, each);
          assert.equal(bytes.length % 4, 0);
          assert.ok(bytes.length >= codec.least);
          const reader = xdrReader(bytes);
          assert.deepEqual(codec.read(reader), each);
          assert.equal(reader.left, 0);
        }),
      );
    });

  it("a message that is cut off anywhere is refused, whatever it is of", () => {
    const codec = payloadCodec({
      dom: "dom",
      params: "param[]",
      names: "str[]",
      what: "str?",
      ifaces: "domainInterface[]",
    });
    const dom = { name: "web", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 };
    const params = [
      { field: "weight", kind: "uint", value: 300 },
      { field: "quota", kind: "llong", value: -1n },
      { field: "devices", kind: "string", value: "/dev/sda,100" },
    ];
    const ifaces = [{ name: "eth0", hwaddr: null, addrs: [{ type: 0, addr: "10.0.3.2", prefix: 24 }] }];
    const value = { dom, params, names: ["a", "bc"], what: "x", ifaces };
    const whole = encode(codec, value);
    assert.deepEqual(codec.read(xdrReader(whole)), value);
    for (let length = 0; length < whole.length; length += 1)
      assert.throws(() => codec.read(xdrReader(whole.subarray(0, length))), LibvirtError);
  });

  it("any bytes are read or refused, never anything else", () => {
    const codec = payloadCodec({
      doms: "dom[]",
      params: "param[]",
      uri: "str?",
      map: "bytes",
      labels: "securityLabel[]",
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          codec.read(xdrReader(bytes));
        } catch (error) {
          assert.ok(error instanceof LibvirtError);
        }
      }),
    );
  });

  it("a length that lies is refused before room is made for it", () => {
    refuses(string(2 ** 30), "3fffffff 61616161");
    refuses(opaque(2 ** 30), "3fffffff 61616161");
    refuses(list(i32, 2 ** 30), "3fffffff 00000001");
    refuses(chars(2 ** 30), "3fffffff 00000001");
    // Two of at least eight bytes each do not come in twelve.
    refuses(list(u64, 4), "00000002 00000000 00000001 00000000");
  });

  it("a length over the limit is refused, even when it is true", () => {
    refuses(string(3), "00000004 61616161");
    refuses(list(i32, 1), "00000002 00000001 00000002");
    assert.throws(() => encode(string(3), "four"), LibvirtError);
    assert.throws(() => encode(list(i32, 1), [1, 2]), LibvirtError);
    assert.throws(() => encode(charArray(2), "abc"), LibvirtError);
  });

  it("text ends before its first NUL, as in C", () => {
    assert.equal(read(string(8), "00000004 610062ff"), "a");
    assert.equal(read(string(8), "00000001 00000000"), "");
  });

  it("bytes that are no UTF-8 are replaced, and the text goes on", () => {
    assert.equal(read(string(8), "00000003 61ff6200"), "a\uFFFDb");
  });

  it("a pointer is there or not; a typed parameter has one of seven types", () => {
    refuses(optional(i32), "00000002 00000001");
    refuses(payloadCodec({ params: "param[]" }), "00000001 00000001 61000000 00000008 00000001");
    refuses(payloadCodec({ params: "param[]" }), "00000001 00000001 61000000 00000000 00000001");
  });

  it("numbers that do not fit are not written as others", () => {
    for (const [codec, value] of [
      [i32, 2 ** 31],
      [i32, 1.5],
      [u32, -1],
      [u64, -1n],
      [i64, 2n ** 63n],
    ] as readonly (readonly [Codec<unknown>, unknown])[])
      assert.throws(() => encode(codec, value), LibvirtError);
    assert.throws(() => encode(uuid, "4de601c5"), LibvirtError);
  });

  it("characters take four bytes each, and an array is filled up with NULs", () => {
    assert.deepEqual(encode(charArray(3), "ab"), new Uint8Array(hex("00000061 00000062 00000000")));
    assert.equal(read(charArray(2), "0000006e 00000000"), "n\0");
    // A char is signed where libvirt runs.
    assert.deepEqual(encode(chars(1), "\xff"), new Uint8Array(hex("00000001 ffffffff")));
    assert.equal(read(chars(1), "00000001 ffffffff"), "\xff");
  });
});
