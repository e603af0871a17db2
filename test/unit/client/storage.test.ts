import assert from "node:assert/strict";
import { test } from "node:test";
import { IsletError } from "../../../src/base/errors.js";
import { type CopyStorage, copyStorage, type Storage, storageRequests } from "../../../src/client/storage.js";
import { fromJson, toJson } from "../../../src/host/wire.js";
import { storageRequest } from "../../../src/spec/storage.js";

const says =
  (message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof IsletError && error.code === "ISLET_BAD_REQUEST", String(error));
    assert.match(error.message, message);
    return true;
  };

test("what a program says of storage becomes the engine's requests, and passes the socket as it is", () => {
  const cases: readonly (readonly [Storage, object])[] = [
    [{ kind: "dir" }, { kind: "dir", path: null, size: null }],
    [
      { kind: "dir", path: "/srv/x", size: 4096 },
      { kind: "dir", path: "/srv/x", size: 4096n },
    ],
    [
      { kind: "btrfs", size: 1n << 40n },
      { kind: "btrfs", size: 1n << 40n },
    ],
    [{ kind: "overlay" }, { kind: "overlay", lowers: null }],
    [
      { kind: "overlay", lowers: ["/a", "/b"] },
      { kind: "overlay", lowers: ["/a", "/b"] },
    ],
    [
      { kind: "loop", fstype: "xfs", size: 5e9 },
      { kind: "loop", fstype: "xfs", size: 5_000_000_000n },
    ],
    [
      { kind: "lvm", group: "vg" },
      { kind: "lvm", volume: null, group: "vg", thinPool: null, fstype: null, size: null },
    ],
    [{ kind: "zfs" }, { kind: "zfs", root: null, size: null }],
    [
      { kind: "block", device: "/dev/sdx" },
      { kind: "block", device: "/dev/sdx", fstype: null },
    ],
  ];
  for (const [given, wanted] of cases) {
    const requests = storageRequests(given);
    assert.deepEqual(requests, [wanted]);
    assert.deepEqual(storageRequest(fromJson(toJson(requests[0])), "storage"), wanted);
  }
  assert.deepEqual(
    storageRequests({ kind: "best" }).map(({ kind }) => kind),
    ["btrfs", "zfs", "lvm", "dir"],
  );
});

test("storage that makes no sense is one clear error", () => {
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    ["loop", /^storage\.kind is none of best, dir, btrfs, overlay, loop, lvm, zfs, block$/],
    [{ kind: "rbd" }, /^storage\.kind is none of/],
    [{ kind: "toString" }, /^storage\.kind is none of/],
    [{ kind: "dir", path: "srv" }, /^storage\.path is not an absolute path$/],
    [{ kind: "dir", fstype: "ext4" }, /^storage\.fstype is not known$/],
    [{ kind: "overlay", lowers: ["/a", "b"] }, /^storage\.lowers\[1\] is not an absolute path$/],
    [{ kind: "overlay", lowers: "/a" }, /^storage\.lowers is not a list$/],
    [{ kind: "loop", fstype: 4 }, /^storage\.fstype is not a string$/],
    [{ kind: "block" }, /^storage\.device is not a string$/],
    [{ kind: "loop", size: "1G" }, /^storage\.size is not a whole number/],
    [{ kind: "loop", size: 1n << 63n }, /^storage\.size is not a whole number/],
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, 0n].map(
      (size) => [{ kind: "loop", size }, /^storage\.size is not a number of bytes, at least 1$/] as const,
    ),
  ];
  for (const [given, message] of wrong) assert.throws(() => storageRequests(given as Storage), says(message));
});

test("a copy's storage is the original's, or a kind with what that kind has", () => {
  const none = { storage: null, size: null, fstype: null, volumeGroup: null };
  assert.deepEqual(copyStorage(undefined), none);
  assert.deepEqual(copyStorage({ kind: "same", size: 1 }), { ...none, size: 1n });
  assert.deepEqual(copyStorage({ kind: "overlay" }), { ...none, storage: "overlay" });
  assert.deepEqual(copyStorage({ kind: "lvm", group: "vg", fstype: "xfs", size: 7n }), {
    storage: "lvm",
    size: 7n,
    fstype: "xfs",
    volumeGroup: "vg",
  });
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [{ kind: "block" }, /^storage\.kind is none of same, dir, btrfs, overlay, zfs, loop, lvm$/],
    [{ kind: "__proto__" }, /^storage\.kind is none of/],
    [{ kind: "dir", size: 1 }, /^storage\.size is not known$/],
    [{ kind: "zfs", fstype: "ext4" }, /^storage\.fstype is not known$/],
    [{ kind: "same", size: 0 }, /^storage\.size is not a number of bytes/],
  ];
  for (const [given, message] of wrong) assert.throws(() => copyStorage(given as CopyStorage), says(message));
});
