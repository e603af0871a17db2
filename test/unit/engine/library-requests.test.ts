import assert from "node:assert/strict";
import { test } from "node:test";
import { type Decoder } from "../../../src/base/decode.js";
import { IsletError } from "../../../src/base/errors.js";
import {
  copyRequest,
  createRequest,
  exportRequest,
  importRequest,
  snapshotRequest,
} from "../../../src/engine/library-requests.js";
import { fromJson, toJson } from "../../../src/host/wire.js";

interface Case {
  readonly title: string;
  readonly decoder: Decoder<object>;
  readonly good: Readonly<Record<string, unknown>>;
  /** A field, what it is not, and where the error says that it is. */
  readonly bad: readonly (readonly [string, unknown, RegExp])[];
}

const dir = { kind: "dir", path: null, size: null };

const cases: readonly Case[] = [
  {
    title: "create",
    decoder: createRequest,
    good: { template: "busybox", templateArguments: ["-x"], rootfs: null, storage: [dir], config: null },
    bad: [
      ["template", 1, /^template is not a string$/],
      ["template", "a\0b", /^template has a NUL in it$/],
      ["templateArguments", ["\0"], /^templateArguments\[0\] has a NUL in it$/],
      ["rootfs", "srv", /^rootfs is not an absolute path$/],
      ["storage", [dir, { kind: "x" }], /^storage\[1\]\.kind is not one of dir, btrfs/],
      ["storage", null, /^storage is not a list$/],
    ],
  },
  {
    title: "copy",
    decoder: copyRequest,
    good: {
      how: "tmpfs",
      storage: "loop",
      size: 1n << 50n,
      fstype: "xfs",
      volumeGroup: "vg",
      allowRunning: true,
      ephemeral: true,
      keepName: false,
      keepMac: false,
      idmap: [{ type: "uid", inside: 0, outside: 100_000, count: 65_536 }],
      hookArguments: ["a", "b c"],
    },
    bad: [
      ["how", "move", /^how is not one of copy, snapshot, quickest, tmpfs$/],
      ["storage", "block", /^storage is not one of dir/],
      ["size", 5, /^size is not a whole number \(bigint\)/],
      ["allowRunning", 1, /^allowRunning is not true or false$/],
      ["idmap", [{ type: "both", inside: 0, outside: 0, count: 1 }], /^idmap\[0\]\.type is not one of uid, gid$/],
      ["idmap", [{ type: "uid", inside: -1, outside: 0, count: 1 }], /^idmap\[0\]\.inside/],
      ["idmap", [{ type: "uid", inside: 0, outside: 2 ** 32, count: 1 }], /^idmap\[0\]\.outside/],
      ["idmap", [{ type: "uid", inside: 0, outside: 0, count: 1, at: null }], /^idmap\[0\]\.at is not known$/],
      ["hookArguments", ["\0"], /^hookArguments\[0\] has a NUL in it$/],
    ],
  },
  {
    title: "snapshot",
    decoder: snapshotRequest,
    good: { name: "before", comment: "é" },
    bad: [
      ["name", 1, /^name is not a string$/],
      ["comment", "é".repeat(600_000), /^comment is longer than 1 MiB$/],
    ],
  },
  {
    title: "export",
    decoder: exportRequest,
    good: { path: "/srv/x.tar", compress: "zstd", allowRunning: false },
    bad: [
      ["path", "x.tar", /^path is not an absolute path$/],
      ["compress", "xz", /^compress is not one of zstd, gzip, none$/],
    ],
  },
  {
    title: "import",
    decoder: importRequest,
    good: { path: "/srv/x.tar", name: null, keep: false, large: true, storage: [dir, dir] },
    bad: [
      ["storage", [], /^storage is empty$/],
      ["large", null, /^large is not true or false$/],
    ],
  },
];

for (const { title, decoder, good, bad } of cases) {
  test(`a request to ${title} is read as it was written, and what is wrong with it is named`, () => {
    assert.deepEqual(decoder(fromJson(toJson(good)), ""), good);
    const refuse = (value: unknown, message: RegExp): void => {
      assert.throws(
        () => decoder(value, ""),
        (error) => error instanceof IsletError && error.code === "ISLET_BAD_REQUEST" && message.test(error.message),
        String(message),
      );
    };
    for (const [field, value, message] of bad) refuse({ ...good, [field]: value }, message);
    for (const field of Object.keys(good)) refuse({ ...good, [field]: undefined }, new RegExp(`^${field} is not `));
    refuse({ ...good, more: 1 }, /^more is not known$/);
    refuse(null, /^the request is not an object$/);
  });
}
