import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { createRootEditor } from "../../src/image/root-editor.js";
import type { IdMapEntry } from "../../src/spec/idmap.js";
import type { RootEditor } from "../../src/spec/image.js";
import { archFromUname } from "../../src/sys/arch.js";

/** A root file system of a stranger's is edited, and whatever its links and files are, nothing of the host is read, written or waited for. */

const place = mkdtempSync(join(tmpdir(), "islt-editor-"));
const open: number[] = [];
after(() => {
  for (const fd of open) closeSync(fd);
  rmSync(place, { recursive: true, force: true });
});
const outside = join(place, "outside");
mkdirSync(outside);
writeFileSync(join(outside, "precious"), "precious");
let count = 0;

function fresh(map: readonly IdMapEntry[] = []): { readonly root: string; readonly edit: RootEditor } {
  const root = join(place, `root${(count += 1)}`);
  mkdirSync(join(root, "etc"), { recursive: true });
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  open.push(fd);
  return { root, edit: createRootEditor(archFromUname(process.arch) ?? "x86_64", fd, map) };
}

function nothingOutside(): void {
  assert.deepEqual(readdirSync(outside), ["precious"]);
  assert.equal(readFileSync(join(outside, "precious"), "utf8"), "precious");
  assert.ok(readdirSync(place).every((name) => /^(outside|root\d+)$/.test(name)));
}

const shift: readonly IdMapEntry[] = (["uid", "gid"] as const).map((type) => ({
  type,
  inside: 0,
  outside: 100_000,
  count: 65_536,
  at: null,
}));

describe("an editor of a hostile root", () => {
  it("follows a link to a file of the host's inside the root only", () => {
    const { root, edit } = fresh();
    symlinkSync(join(outside, "precious"), join(root, "etc/hostname"));
    assert.equal(edit.read("/etc/hostname"), null);
    edit.write("/etc/hostname", "web\n");
    assert.equal(readFileSync(join(root, "etc/hostname"), "utf8"), "web\n");
    mkdirSync(join(root, outside), { recursive: true });
    writeFileSync(join(root, outside, "precious"), "of the guest");
    symlinkSync(join(outside, "precious"), join(root, "etc/hosts"));
    assert.equal(edit.read("etc/hosts"), "of the guest");
    edit.write("/etc/hosts", "new");
    assert.equal(readFileSync(join(root, outside, "precious"), "utf8"), "new");
    nothingOutside();
  });

  it("does not leave the root by a directory that is a link upwards", () => {
    const { root, edit } = fresh();
    rmSync(join(root, "etc"), { recursive: true });
    symlinkSync("../../../../..", join(root, "etc"));
    symlinkSync(`../../../../../..${outside}`, join(root, "up"));
    mkdirSync(join(root, outside), { recursive: true });
    edit.write("/etc/hosts", "x");
    edit.write("/up/new", "x");
    edit.remove("/up/precious");
    edit.chmod("/etc/hosts", 0o600);
    edit.link("/up/precious", "x");
    edit.node("/up/null", "char", 1, 3, 0o666);
    edit.append("/up/log", "line\n");
    assert.equal(readFileSync(join(root, "hosts"), "utf8"), "x");
    assert.deepEqual(readdirSync(join(root, outside)).sort(), ["log", "new", "null", "precious"]);
    nothingOutside();
  });

  it("removes links, not what they stand for", () => {
    const { root, edit } = fresh();
    mkdirSync(join(root, "tree/deep"), { recursive: true });
    symlinkSync(outside, join(root, "tree/deep/link"));
    symlinkSync(outside, join(root, "link"));
    edit.remove("link");
    edit.remove("/tree/");
    assert.deepEqual(readdirSync(root), ["etc"]);
    for (const path of ["..", "/..", "etc/..", ".", "/", ""])
      assert.throws(() => {
        edit.remove(path);
      }, path);
    nothingOutside();
  });

  it("does not wait for pipes, and opens no devices", () => {
    const { root, edit } = fresh();
    execFileSync("mkfifo", [join(root, "etc/passwd")]);
    execFileSync("mknod", [join(root, "etc/group"), "c", "1", "5"]);
    assert.equal(edit.read("/etc/passwd"), null);
    assert.equal(edit.read("/etc/group"), null);
    assert.equal(
      edit.change("/etc/group", () => "x"),
      false,
    );
    edit.append("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    assert.equal(readFileSync(join(root, "etc/passwd"), "utf8"), "root:x:0:0::/root:/bin/sh\n");
    edit.write("/etc/group", "root:x:0:\n");
    assert.ok(lstatSync(join(root, "etc/group")).isFile());
  });

  it("does not read files of any size", () => {
    const { root, edit } = fresh();
    writeFileSync(join(root, "etc/hosts"), "");
    truncateSync(join(root, "etc/hosts"), 1024 ** 4);
    assert.throws(() => edit.read("/etc/hosts"), /larger than 16 MiB/);
  });

  it("gets out of loops of links", () => {
    const { root, edit } = fresh();
    symlinkSync("b", join(root, "a"));
    symlinkSync("a", join(root, "b"));
    symlinkSync(".", join(root, "self"));
    assert.equal(edit.read("/a/x"), null);
    assert.equal(edit.exists("/a/x"), false);
    assert.deepEqual(edit.list("/a"), []);
    assert.throws(() => {
      edit.write("/a", "x");
    }, /Too many/);
    assert.throws(() => {
      edit.write("/a/x", "x");
    });
    edit.write("/self/self/self/etc/x", "x");
    assert.equal(edit.read("/etc/x"), "x");
  });

  it("takes no magic link of /proc", () => {
    const { root, edit } = fresh();
    symlinkSync("/proc/self/root", join(root, "host"));
    assert.equal(edit.read(`/host${outside}/precious`), null);
    nothingOutside();
  });
});

describe("what an editor writes", () => {
  it("belongs to the container's root, directories on the way too, or to whom it was said", () => {
    const { root, edit } = fresh(shift);
    edit.write("/a/b/c", "x", { mode: 0o4755 });
    edit.link("/a/l", "b");
    edit.directory("/home/u", { uid: 1000, gid: 1001, mode: 0o700 });
    edit.node("/dev/null", "char", 1, 3, 0o666);
    const look = (path: string): string => {
      const { uid, gid, mode } = lstatSync(join(root, path));
      return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
    };
    assert.equal(look("a"), "100000:100000 755");
    assert.equal(look("a/b/c"), "100000:100000 4755");
    assert.equal(look("a/l"), "100000:100000 777");
    assert.equal(look("home/u"), "101000:101001 700");
    assert.equal(look("dev/null"), "100000:100000 666");
    assert.equal(statSync(join(root, "dev/null")).rdev, 0x103);
    assert.throws(() => {
      edit.write("/x", "x", { uid: 70_000 });
    }, /has no uid 70000/);
  });

  it("keeps mode and owner of what was there", () => {
    const { root, edit } = fresh(shift);
    writeFileSync(join(root, "etc/shadow"), "old", { mode: 0o640 });
    chownSync(join(root, "etc/shadow"), 100_000, 100_042);
    assert.equal(
      edit.change("/etc/shadow", (text) => `${text}+`),
      true,
    );
    edit.append("/etc/shadow", "!");
    const { uid, gid, mode } = statSync(join(root, "etc/shadow"));
    assert.deepEqual([uid, gid, mode & 0o7777, edit.read("/etc/shadow")], [100_000, 100_042, 0o640, "old+!"]);
    assert.equal(
      edit.change("/etc/none", () => "x"),
      false,
    );
  });

  it("is the old file or the new one, and leaves nothing beside it", () => {
    const { root, edit } = fresh();
    symlinkSync("../run/resolv.conf", join(root, "etc/resolv.conf"));
    symlinkSync("real", join(root, "etc/link"));
    writeFileSync(join(root, "etc/real"), "old");
    edit.write("/etc/link", "new");
    assert.deepEqual([readlinkSync(join(root, "etc/link")), edit.read("/etc/real")], ["real", "new"]);
    // Where it leads to there is nothing: it makes way.
    edit.write("/etc/resolv.conf", "nameserver 1.1.1.1\n");
    assert.equal(readFileSync(join(root, "etc/resolv.conf"), "utf8"), "nameserver 1.1.1.1\n");
    mkdirSync(join(root, "etc/dir"));
    assert.throws(() => {
      edit.write("/etc/dir", "x");
    }, /directory/);
    assert.throws(() => {
      edit.link("/etc/dir", "x");
    }, /directory/);
    assert.deepEqual(readdirSync(join(root, "etc")).sort(), ["dir", "link", "real", "resolv.conf"]);
  });

  it("keeps bytes that are no text", () => {
    const { root, edit } = fresh();
    writeFileSync(join(root, "etc/odd"), Buffer.from([0xff, 0xfe, 10, 0x61]));
    edit.change("/etc/odd", (text) => `${text}b`);
    assert.deepEqual([...readFileSync(join(root, "etc/odd"))], [0xff, 0xfe, 10, 0x61, 0x62]);
  });

  it("is copied from the host as it is there", async () => {
    const { root, edit } = fresh(shift);
    await edit.copyIn(outside, "/srv/copy");
    assert.deepEqual(edit.list("/srv/copy"), ["precious"]);
    assert.equal(edit.read("/srv/copy/precious"), "precious");
    assert.equal(statSync(join(root, "srv/copy/precious")).uid, 100_000);
  });
});
