import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type ErrorCode, type ErrorDomain, LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { createFramer, encodeFrame, type Frame, maxFrame } from "../../../../src/frontends/libvirt/rpc/frame.js";
import { wireError, type WireError } from "../../../../src/frontends/libvirt/rpc/messages.js";
import {
  type EventName,
  findEvent,
  findProcedure,
  programs,
} from "../../../../src/frontends/libvirt/rpc/procedures.js";
import { toWireError } from "../../../../src/frontends/libvirt/rpc/wire-errors.js";
import { type Codec, encode, xdrReader } from "../../../../src/frontends/libvirt/rpc/xdr.js";
import { root } from "../../../support/paths.js";

/** Frames that Debian's libvirt 9.0 and its clients exchanged (README there). */
interface Vector {
  readonly label: string;
  readonly program: string;
  readonly procedure: number;
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly hex: string;
  readonly decoded: unknown;
  readonly nfds?: number;
  readonly bytes_after_frame?: string;
}

const directory = join(root, "test/golden/libvirt/vectors");
const files = readdirSync(directory).filter((name) => /^[0-8].*json$|^9[0-5].*json$/.test(name));
const vectorsOf = (file: string): readonly Vector[] =>
  JSON.parse(readFileSync(join(directory, file), "utf8")) as readonly Vector[];

const types = ["call", "reply", "message", "stream", "call_with_fds", "reply_with_fds"];
const statuses = ["ok", "error", "continue"];
const parameterArms = ["i", "ui", "l", "ul", "d", "b", "s"];
const parameterKinds = ["int", "uint", "llong", "ullong", "double", "boolean", "string"];

/** A value as the vectors write it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("kind" in value && "field" in value && "value" in value) {
    const index = parameterKinds.indexOf(String(value.kind));
    return { field: value.field, value: { type: index + 1, [parameterArms[index] ?? ""]: plain(value.value) } };
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}

function frameOf({ hex, nfds = 0, bytes_after_frame: after = "" }: Vector): Frame {
  const framer = createFramer(() => maxFrame);
  framer.push(
    Buffer.from(hex + after, "hex"),
    Array.from({ length: nfds }, (_, index) => index),
  );
  const frame = framer.next();
  assert.ok(frame !== null && frame !== "broken");
  assert.equal(framer.next(), null);
  return frame;
}

function codecOf({ procedure, type, status, name }: Vector, program: number): Codec<unknown> | null {
  if (type === "stream" || program === programs.keepalive) return null;
  if (status === "error") return wireError;
  if (type === "message") return findEvent(name.replace("REMOTE_PROC_", "") as EventName).message;
  const known = findProcedure(program, procedure);
  return type.startsWith("call") ? (known?.args ?? null) : (known?.ret ?? null);
}

describe("frames of libvirt 9.0", () => {
  for (const file of files)
    it(`${file}: every frame is read as what it says, and written as it was`, () => {
      for (const vector of vectorsOf(file)) {
        const frame = frameOf(vector);
        const at = `${vector.label} ${vector.name} ${vector.type}`;
        assert.equal(frame.program, Number(vector.program), at);
        assert.equal(frame.procedure, vector.procedure, at);
        assert.equal(types[frame.type], vector.type, at);
        assert.equal(statuses[frame.status], vector.status, at);
        assert.equal(frame.fds.length, vector.nfds ?? 0, at);
        // Somebody's else program, which has nothing for containers.
        if (frame.program === programs.qemu && vector.type === "call") continue;
        const codec = codecOf(vector, frame.program);
        let payload = frame.payload;
        if (vector.type === "stream") {
          const data = (vector.decoded as { readonly data: string } | null)?.data ?? "";
          assert.equal(Buffer.from(frame.payload).toString("latin1"), data, at);
        } else if (codec === null) assert.equal(frame.payload.length, 0, at);
        else {
          const reader = xdrReader(frame.payload);
          const value = codec.read(reader);
          assert.equal(reader.left, 0, at);
          const expected = vector.decoded ?? {};
          assert.deepEqual(plain(value), expected, at);
          payload = encode(codec, value);
        }
        const fds = vector.nfds === undefined ? null : frame.fds.length;
        assert.equal(Buffer.from(encodeFrame(frame, payload, fds)).toString("hex"), vector.hex, at);
      }
    });

  it("every error is written as libvirt writes it", () => {
    const seen = new Set<string>();
    for (const vector of files.flatMap(vectorsOf)) {
      if (vector.status !== "error" || vector.type !== "reply") continue;
      const expected = vector.decoded as WireError;
      const isFlags = expected.str2 === "flags";
      const detail = isFlags ? (expected.message ?? "") : (expected.str2 ?? "");
      const options = isFlags ? { bare: true } : {};
      const error = new LibvirtError(expected.code as ErrorCode, expected.domain as ErrorDomain, detail, options);
      assert.deepEqual(toWireError(error), expected);
      seen.add(`${expected.code}/${expected.domain}`);
    }
    assert.ok(seen.size >= 12, [...seen].join(" "));
  });
});
