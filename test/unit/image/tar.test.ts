import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { IsletError } from "../../../src/base/errors.js";
import { checkedTar } from "../../../src/image/tar-check.js";
import { readHeader, readRecords, writeHeader } from "../../../src/image/tar-header.js";
import { canonicalName, createPathGuard } from "../../../src/image/tar-paths.js";
import type { ArchiveEntry } from "../../../src/image/unpack.js";
import { archive, type Member, member } from "../../support/tar.js";

async function collect(
  bytes: Uint8Array,
  pieces: number,
): Promise<{ readonly entries: readonly ArchiveEntry[]; readonly out: Buffer }> {
  const entries: ArchiveEntry[] = [];
  const chunks = (async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieces) yield await Promise.resolve(bytes.subarray(at, at + pieces));
  })();
  const out: Uint8Array[] = [];
  const checked = checkedTar(chunks, {
    archive: "a",
    guard: createPathGuard("a", null),
    below: "",
    devices: "keep",
    entry: (entry) => {
      entries.push(entry);
      return true;
    },
    makeWay: () => Promise.resolve(),
    file: null,
    output: null,
  });
  for await (const chunk of checked) out.push(Buffer.from(chunk));
  return { entries, out: Buffer.concat(out) };
}

const letter = fc.constantFrom(...Array.from("abcdefghij-_.é "));
const name = fc.array(fc.string({ unit: letter, minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 5 });

describe("tar headers", () => {
  it("written anew mean what they meant", () => {
    fc.assert(
      fc.property(
        fc.record({
          name: fc.string({ unit: fc.constantFrom(...Array.from("abc/é")), minLength: 1, maxLength: 300 }),
          linkname: fc.string({ unit: fc.constantFrom(...Array.from("abc/é")), maxLength: 300 }),
          mode: fc.nat(0o7777),
          uid: fc.nat(0xfffffffe),
          gid: fc.nat(0xfffffffe),
          size: fc.nat(Number.MAX_SAFE_INTEGER),
          mtime: fc.integer({ min: -(2 ** 31), max: 2 ** 40 }),
        }),
        (given) => {
          const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
          const wanted = { ...given, name: latin1(given.name), linkname: latin1(given.linkname) };
          const bytes = writeHeader({
            ...wanted,
            type: "0",
            major: 0,
            minor: 0,
            sparse: null,
            records: new Map([["SCHILY.xattr.user.x", "\0\n= "]]),
          });
          const extension = readHeader(bytes.subarray(0, 512), "a");
          assert.equal(extension?.type, "x");
          const records = readRecords(bytes.subarray(512, 512 + (extension?.size ?? 0)), "a");
          const header = readHeader(bytes.subarray(-512), "a");
          assert.ok(header !== null);
          const number = (key: "uid" | "gid" | "size" | "mtime"): number => Number(records.get(key) ?? header[key]);
          assert.deepEqual(
            {
              name: records.get("path") ?? header.name,
              linkname: records.get("linkpath") ?? header.linkname,
              mode: header.mode,
              uid: number("uid"),
              gid: number("gid"),
              size: number("size"),
              mtime: number("mtime"),
            },
            wanted,
          );
          assert.equal(records.get("SCHILY.xattr.user.x"), "\0\n= ");
        },
      ),
    );
  });

  it("of garbage are refused, never anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 512, maxLength: 512 }), (bytes) => {
        try {
          readHeader(bytes, "a");
        } catch (error) {
          assert.ok(error instanceof IsletError);
        }
      }),
    );
  });
});

describe("an archive that is checked", () => {
  it("means the same however it comes in pieces, and checked again is the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ name, data: fc.string({ maxLength: 2000 }) }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 3000 }),
        async (files, pieces) => {
          const members = files.map(({ name: parts, data }, index): Member => {
            const path = `${index}/${parts.join("/")}`;
            return { name: `./${path}`.slice(0, 90), data, records: [`path=${path}`] };
          });
          fc.pre(!members.some(({ records }) => /(^|[=/])\.\.?(\/|$)/.test(records?.[0] ?? "")));
          const once = await collect(archive(...members), pieces);
          assert.equal(once.entries.length, files.length);
          const again = await collect(once.out, 4096);
          assert.deepEqual(again, once);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("never gets through with a name that leads outside", async () => {
    const part = fc.constantFrom("..", ".", "", "a", "b", "...", "..a");
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            parts: fc.array(part, { minLength: 1, maxLength: 5 }),
            type: fc.constantFrom("0", "1", "2", "5"),
          }),
          {
            minLength: 1,
            maxLength: 6,
          },
        ),
        async (entries) => {
          const members = entries.map(({ parts, type }): Member => ({ name: parts.join("/"), type, linkname: "a/b" }));
          let out: Buffer;
          try {
            ({ out } = await collect(archive(...members), 100_000));
          } catch (error) {
            assert.ok(error instanceof IsletError, String(error));
            return;
          }
          const links = new Set<string>();
          for (let at = 0; at < out.length; at += 512) {
            const header = readHeader(out.subarray(at, at + 512), "a");
            if (header === null) break;
            const names = header.name.split("/").filter((each) => each !== "." && each !== "");
            assert.ok(!names.includes("..") && header.name.startsWith("./"), header.name);
            for (let count = 1; count < names.length; count += 1)
              assert.ok(!links.has(names.slice(0, count).join("/")), `${header.name} goes through a link`);
            if (header.type === "2") links.add(names.join("/"));
          }
        },
      ),
    );
  });

  it("has no more entries than it says", async () => {
    const bytes = Buffer.concat([archive({ name: "a" }), member({ name: "after the end" })]);
    assert.deepEqual(
      (await collect(bytes, 700)).entries.map((entry) => entry.name),
      ["a"],
    );
  });
});

describe("names of entries", () => {
  it("lose dots and doubled slashes, and nothing else", () => {
    assert.equal(canonicalName("./a//b/./c/", "x"), "a/b/c");
    assert.equal(canonicalName("./", "x"), "");
    assert.equal(canonicalName("...", "x"), "...");
    for (const bad of ["/a", "..", "a/..", "../a", "a/../b", "a\0b"])
      assert.throws(() => canonicalName(bad, "x"), IsletError, bad);
  });
});
