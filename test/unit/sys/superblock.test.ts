import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { loopConfig, LOOP_CONFIG_AT, LOOP_CONFIG_SIZE } from "../../../src/sys/loop.js";
import { deviceFilesystems, diskContent, superblockBytes } from "../../../src/sys/superblock.js";
import { lacks } from "../../support/skip.js";
import { numbers, runC } from "./c.js";

function disk(...marks: readonly (readonly [at: number, text: string])[]): Uint8Array {
  const bytes = new Uint8Array(superblockBytes);
  for (const [at, text] of marks) bytes.set(Buffer.from(text, "latin1"), at);
  return bytes;
}

test("a file system is known by its mark", () => {
  const types: Readonly<Record<string, readonly [number, string]>> = {
    xfs: [0, "XFSB"],
    btrfs: [0x10040, "_BHRfS_M"],
    squashfs: [0, "hsqs"],
    erofs: [1024, "\xe2\xe1\xf5\xe0"],
    f2fs: [1024, "\x10\x20\xf5\xf2"],
    iso9660: [0x8001, "CD001"],
  };
  for (const [type, mark] of Object.entries(types))
    assert.deepEqual(diskContent(disk(mark)), { kind: "filesystem", type });
});

test("the features of ext tell its three types apart, and a journal of another is none", () => {
  const type = (compat: string, incompat: string, readOnly: string): unknown =>
    diskContent(disk([1024 + 56, "\x53\xef"], [1024 + 92, compat], [1024 + 96, incompat], [1024 + 100, readOnly]));
  assert.deepEqual(type("", "\x02", "\x01"), { kind: "filesystem", type: "ext2" });
  assert.deepEqual(type("\x04", "\x02", "\x03"), { kind: "filesystem", type: "ext3" });
  assert.deepEqual(type("\x04", "\xc2\x02", "\x6b\x04"), { kind: "filesystem", type: "ext4" });
  assert.deepEqual(type("\x04", "\x02", "\x08"), { kind: "filesystem", type: "ext4" });
  assert.equal(type("\x04", "\x08", ""), null);
});

test("what mkfs makes is known", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "islt-superblock-"));
  try {
    for (const [type, size] of [
      ["ext4", 8 << 20],
      ["xfs", 300 << 20],
      ["btrfs", 128 << 20],
    ] as const) {
      if (lacks(t, type)) return;
      const path = join(directory, type);
      writeFileSync(path, "");
      truncateSync(path, size);
      execFileSync(`mkfs.${type}`, ["-q", path], { stdio: "ignore" });
      const bytes = new Uint8Array(readFileSync(path).subarray(0, superblockBytes));
      assert.deepEqual(diskContent(bytes), { kind: "filesystem", type });
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("what has no directories is named, and what is unknown, empty or cut off is nothing", () => {
  assert.deepEqual(diskContent(disk([512, "EFI PART"])), {
    kind: "other",
    what: "a partition table: name the partition",
  });
  for (const bytes of [disk(), new Uint8Array(0), new Uint8Array(1082), disk([1, "XFSB"])])
    assert.equal(diskContent(bytes), null);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      diskContent(bytes);
    }),
  );
});

test("types that need a device are those without nodev", () => {
  assert.deepEqual(deviceFilesystems("nodev\tsysfs\n\text3\n\text4\nnodev\toverlay\n\tfuseblk\n"), [
    "ext3",
    "ext4",
    "fuseblk",
  ]);
});

test("the configuration of a loop device is laid out as the headers have it", () => {
  const theirs = numbers(
    runC(`#include <stdio.h>
#include <stddef.h>
#include <linux/loop.h>
int main(void) {
  printf("size %zu\\n", sizeof(struct loop_config));
  printf("fd %zu\\n", offsetof(struct loop_config, fd));
  printf("lo_flags %zu\\n", offsetof(struct loop_config, info.lo_flags));
  printf("lo_file_name %zu\\n", offsetof(struct loop_config, info.lo_file_name));
}`),
  );
  assert.deepEqual(
    { size: LOOP_CONFIG_SIZE, ...LOOP_CONFIG_AT },
    Object.fromEntries([...theirs].map(([name, value]) => [name, Number(value)])),
  );
  assert.equal(loopConfig(4, "/x".repeat(100)).length, LOOP_CONFIG_SIZE);
});
