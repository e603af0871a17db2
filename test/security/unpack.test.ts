import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { IsletError } from "../../src/base/errors.js";
import { unpack, type UnpackOptions, type Unpacked } from "../../src/image/unpack.js";
import { makeContext } from "../support/make-context.js";
import { archive, type Member, member } from "../support/tar.js";

/** Archives of strangers: what they try ends with the entry's name in an error, and nothing is anywhere but in the new root. */

const place = mkdtempSync(join(tmpdir(), "islt-unpack-"));
after(() => {
  rmSync(place, { recursive: true, force: true });
});
let count = 0;
const context = makeContext(place);

interface Attempt {
  /** A directory beside the root that nothing may come into. */
  readonly outside: string;
  readonly root: string;
  readonly file: string;
}

function attempt(bytes: Uint8Array): Attempt {
  const directory = join(place, String((count += 1)));
  const made = { outside: join(directory, "outside"), root: join(directory, "root"), file: join(directory, "a.tar") };
  mkdirSync(made.outside, { recursive: true });
  mkdirSync(made.root);
  writeFileSync(made.file, bytes);
  writeFileSync(join(made.outside, "precious"), "precious");
  return made;
}

const into = async ({ file, root }: Attempt, options: UnpackOptions = {}): Promise<Unpacked> =>
  await unpack(file, root, options, context);

/** Refused with this in the message, and nothing has come outside. */
async function isRefused(
  bytes: Uint8Array,
  wanted: RegExp,
  code = "ISLET_UNTRUSTED",
  options: UnpackOptions = {},
): Promise<void> {
  const made = attempt(bytes);
  await assert.rejects(into(made, options), (error) => {
    assert.ok(error instanceof IsletError, String(error));
    assert.match(error.message, wanted);
    assert.equal(error.code, code);
    return true;
  });
  isUntouched(made);
}

function isUntouched({ outside, root }: Attempt): void {
  assert.deepEqual(readdirSync(outside), ["precious"]);
  assert.equal(readFileSync(join(outside, "precious"), "utf8"), "precious");
  assert.deepEqual(readdirSync(join(root, "..")).sort(), ["a.tar", "outside", "root"]);
}

const fine: Member = { name: "fine", data: "fine" };

describe("an entry that leads outside", () => {
  const names: readonly (readonly [string, Member])[] = [
    ["by ..", { name: "../evil", data: "x" }],
    ["by .. in the middle", { name: "a/../../evil", data: "x" }],
    ["by an absolute name", { name: "/tmp/islt-evil", data: "x" }],
    ["by a recorded path", { name: "good", records: ["path=../evil"], data: "x" }],
    [
      "by the name of a sparse file",
      { name: "good", records: ["GNU.sparse.name=../evil", "GNU.sparse.major=1"], data: "x" },
    ],
    ["as a directory", { name: "../evil/", type: "5" }],
    ["as a hard link", { name: "../evil", type: "1", linkname: "fine" }],
  ];
  for (const [how, evil] of names)
    it(`${how} is refused`, async () => {
      await isRefused(archive(fine, evil), /the entry \S*(evil|good)\S* (leads outside|has an absolute name)/);
    });

  it("by a GNU long name is refused", async () => {
    const long = member({ name: "././@LongLink", type: "L", data: `${"a/".repeat(80)}../../evil\0` });
    await isRefused(archive(fine, long, { name: "good", data: "x" }), /leads outside/);
  });

  it("by a record for all that follow is refused", async () => {
    const all = member({ name: "g", type: "g", data: "16 path=../evil\n" });
    await isRefused(archive(all, fine), /gives all others the same name/);
  });

  it("through a link of the archive's is refused", async () => {
    await isRefused(
      archive({ name: "a", type: "2", linkname: "../outside" }, { name: "a/evil", data: "x" }),
      /the entry a\/evil goes through a symbolic link/,
    );
    await isRefused(
      archive(
        { name: "d/", type: "5" },
        { name: "d/a", type: "2", linkname: "/" },
        { name: "d/a/tmp/evil", data: "x" },
      ),
      /goes through a symbolic link/,
    );
  });

  it("through a link that replaces a directory is refused", async () => {
    await isRefused(
      archive({ name: "a/", type: "5", mode: 0o777 }, { name: "a", type: "2", linkname: "../outside" }),
      /the entry a is there twice/,
    );
    await isRefused(
      archive({ name: "a/b", data: "x" }, { name: "./a/", type: "2", linkname: "../outside" }, { name: "a/precious" }),
      /the entry a is there twice/,
    );
  });

  it("through a hard link to a link is refused", async () => {
    await isRefused(
      archive(
        { name: "a", type: "2", linkname: "../outside" },
        { name: "b", type: "1", linkname: "a" },
        { name: "b/evil", data: "x" },
      ),
      /the entry b\/evil goes through a symbolic link/,
    );
  });

  it("by a hard link to a file outside is refused", async () => {
    await isRefused(archive({ name: "b", type: "1", linkname: "../outside/precious" }), /leads outside/);
    await isRefused(
      archive(
        { name: "a", type: "2", linkname: "../outside" },
        { name: "b", type: "1", linkname: "a/precious" },
        { name: "b", data: "changed" },
      ),
      /is a hard link through a symbolic link/,
    );
  });

  it("through a link of an earlier layer is refused", async () => {
    const made = attempt(archive({ name: "a/evil", data: "x" }));
    symlinkSync("../outside", join(made.root, "a"));
    await assert.rejects(into(made), /the entry a\/evil goes through a symbolic link/);
    isUntouched(made);
    writeFileSync(made.file, archive({ name: "b", type: "1", linkname: "a/precious" }));
    await assert.rejects(into(made), /is a hard link through a symbolic link/);
    isUntouched(made);
  });

  it("is not followed where an earlier layer has a link of that name", async () => {
    const made = attempt(archive({ name: "a", data: "new" }, { name: "d/", type: "5", mode: 0o700 }, { name: "d/x" }));
    symlinkSync("../outside/precious", join(made.root, "a"));
    symlinkSync("../outside", join(made.root, "d"));
    await into(made);
    isUntouched(made);
    assert.equal(readFileSync(join(made.root, "a"), "utf8"), "new");
    assert.deepEqual(readdirSync(join(made.root, "d")), ["x"]);
  });

  it("takes the place of a directory of an earlier layer", async () => {
    const made = attempt(archive({ name: "a", type: "2", linkname: "fine" }));
    mkdirSync(join(made.root, "a/b"), { recursive: true });
    symlinkSync("../../../outside", join(made.root, "a/b/c"));
    await into(made);
    isUntouched(made);
    assert.deepEqual(readdirSync(made.root), ["a"]);
  });

  it("beside the wanted directory is not unpacked, nor linked to", async () => {
    const bytes = archive(
      { name: "metadata.yaml", data: "architecture: x\n" },
      { name: "rootfs/", type: "5" },
      { name: "rootfs/etc/", type: "5" },
      { name: "rootfs/etc/a", data: "a" },
      { name: "rootfsevil", data: "x" },
    );
    const made = attempt(bytes);
    const files: string[] = [];
    await into(made, { below: "rootfs", onFile: (name, text) => files.push(`${name}: ${text}`) });
    assert.deepEqual(files, ["metadata.yaml: architecture: x\n", "rootfsevil: x"]);
    assert.deepEqual(readdirSync(made.root), ["etc"]);
    assert.equal(readFileSync(join(made.root, "etc/a"), "utf8"), "a");
    const linked = archive({ name: "rootfs/a", type: "1", linkname: "metadata.yaml" });
    await isRefused(linked, /is a hard link to something outside/, "ISLET_UNTRUSTED", { below: "rootfs" });
  });
});

describe("an archive that is too much", () => {
  it("is stopped early: a bomb", async () => {
    const one = member({ name: "zeros", size: 1 << 30 });
    const bytes = gzipSync(Buffer.concat([one, Buffer.alloc(200 << 20)]));
    await isRefused(bytes, /a multiple of its size/);
  });

  it("is refused by its number of entries, and by its bytes", async () => {
    await isRefused(archive(fine, { name: "b" }, { name: "c" }), /more than 2 entries/, undefined, {
      limits: { entries: 2 },
    });
    await isRefused(archive(fine, { name: "b", data: "12345" }), /more than 8 bytes/, undefined, {
      limits: { bytes: 8 },
    });
  });

  it("is refused when it says that it is larger than the disk, before anything is written", async () => {
    const made = attempt(member({ name: "big", size: 0o77777777777 }));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "islt", made.root]);
    try {
      await assert.rejects(into(made), /the disk is full/);
      assert.deepEqual(readdirSync(made.root), []);
    } finally {
      execFileSync("umount", [made.root]);
    }
  });
});

describe("an archive that is broken", () => {
  it("is told from a good one", async () => {
    const good = archive({ name: "a", data: "x".repeat(5000) });
    await isRefused(good.subarray(0, 2000), /is cut off/, "ISLET_IO");
    await isRefused(gzipSync(good).subarray(0, 60), /unexpected end|is damaged/, "ISLET_IO");
    await isRefused(archive({ name: "a", wrongBy: 1 }), /wrong checksum|is no archive/, "ISLET_IO");
    await isRefused(archive(fine, { name: "a", wrongBy: 1 }), /wrong checksum/, "ISLET_IO");
    await isRefused(Buffer.from("<html>404</html>"), /is no archive/, "ISLET_IO");
    await isRefused(Buffer.alloc(4000, "<html>404</html>"), /is no archive/, "ISLET_IO");
    await isRefused(
      archive(member({ name: "x", type: "x", data: "999 path=a\n" }), fine),
      /cannot be read/,
      "ISLET_IO",
    );
    await isRefused(archive({ name: "odd", type: "Q" }), /unknown type/);
  });

  it("is no fifo that nobody writes to", async () => {
    const made = attempt(new Uint8Array(0));
    rmSync(made.file);
    execFileSync("mkfifo", [made.file]);
    await assert.rejects(into(made), /is not a file/);
  });
});

describe("what is kept", () => {
  it("is what tar itself makes of an archive: owners, times, links, holes, attributes, ACLs, capabilities, devices, long names", async () => {
    const made = attempt(new Uint8Array(0));
    const source = join(place, "source");
    const script = `
      mkdir -p "$1/d/e" "$1/${"long/".repeat(40)}" && cd "$1"
      echo text >d/file; ln d/file d/e/hard; ln -s /etc/passwd d/absolute; ln -s ../file d/e/relative
      ln -s "/${"target/".repeat(30)}" d/longlink
      echo long >"${"long/".repeat(40)}${"n".repeat(120)}"
      truncate -s 10M sparse; echo end >>sparse
      mknod null c 1 3; mknod loop b 7 0; mkfifo pipe
      touch -d '1999-12-31 23:59:59.123456789' d/file; touch -h -d '2001-01-01' d/absolute
      chown 1234:5678 d/file; chown -h 3000000:3000001 d/absolute; chmod 4751 d/file; chmod 1777 d/e
      setfattr -n user.comment -v hello d/file; setfacl -m u:77:rwx,d:u:78:r d
      cp /bin/true cap; setcap cap_net_raw+ep cap
      printf '%s' odd >"$(printf 'new\\nline \\303\\244 \\377')"
    `;
    execFileSync("sh", ["-ec", script, "sh", (mkdirSync(source), source)]);
    for (const format of ["pax", "gnu"]) {
      const extra = format === "pax" ? ["--xattrs", "--acls", "--xattrs-include=*"] : [];
      for (const [letter, filter] of [
        ["", ""],
        ["", "gzip"],
        ["", "xz"],
        ["", "zstd"],
        ["", "bzip2"],
      ] as const) {
        const root = join(made.root, `${format}${letter}${filter}`);
        const plain = join(made.outside, `${format}${filter}`);
        mkdirSync(root);
        mkdirSync(plain);
        const compress = filter === "" ? [] : [`--use-compress-program=${filter}`];
        execFileSync("tar", [
          "-c",
          `--format=${format}`,
          "--sparse",
          ...extra,
          ...compress,
          "-f",
          made.file,
          "-C",
          source,
          ".",
        ]);
        await unpack(made.file, root, {}, context);
        execFileSync("tar", ["-xp", "--numeric-owner", ...extra, ...compress, "-f", made.file, "-C", plain]);
        assert.equal(tree(root), tree(plain), `${format} ${filter}`);
        rmSync(plain, { recursive: true });
      }
    }
  });

  it("of a squashfs is the same", async () => {
    const made = attempt(new Uint8Array(0));
    const source = join(place, "source");
    rmSync(made.file);
    execFileSync("mksquashfs", [source, made.file, "-quiet", "-no-progress"], { stdio: "ignore" });
    const { bytes } = await into(made);
    assert.ok(bytes > 10 << 20, String(bytes));
    assert.equal(readFileSync(join(made.root, "d/file"), "utf8"), "text\n");
    await assert.rejects(
      unpack(made.file, made.root, { limits: { bytes: 1 << 20 } }, context),
      /more than 1048576 bytes/,
    );
  });

  it("is nothing of the labels and marks that mean something to the host", async () => {
    const records = [
      "SCHILY.xattr.trusted.overlay.redirect=/etc",
      "SCHILY.xattr.user.kept=yes",
      "SCHILY.xattr.security.ima=x",
    ];
    const made = attempt(archive({ name: "a", records, data: "x" }));
    await into(made);
    const found = execFileSync("getfattr", ["-d", "-m", "-", "--absolute-names", join(made.root, "a")], {
      encoding: "utf8",
    });
    assert.match(found, /user\.kept="yes"/);
    assert.doesNotMatch(found, /overlay|ima/);
  });

  it("is no device when none are wanted", async () => {
    const made = attempt(archive({ name: "null", type: "3", major: 1, minor: 3 }, fine));
    await into(made, { devices: "skip" });
    assert.ok(!existsSync(join(made.root, "null")) && existsSync(join(made.root, "fine")));
  });
});

/** Everything that can be seen of a tree. */
function tree(directory: string): string {
  const script = `
    find . -printf '%p %y %m %U %G %s %T@ %l %n\\n' | sed -E '/ d /s/ [0-9]+ ([0-9.]+) /  \\1 /' | LC_ALL=C sort
    find . -type b -o -type c | xargs -d '\\n' stat -c '%n %t:%T'
    find . -type f -printf '%b %p\\n' | LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    getfattr -R -h -d -m - . | LC_ALL=C sort; getfacl -R -n .`;
  return execFileSync("sh", ["-c", script], { cwd: directory, encoding: "latin1" });
}
