import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { cleanup } from "../support/cleanup.js";
import type { CommandResult } from "../support/command.js";
import { instance } from "../support/instance.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { archive, type Member, member } from "../support/tar.js";
import { differencesOf, makeNasty, sh } from "../support/tree.js";
import { waitFor } from "../support/wait.js";
import { copiesOf, type Copies, fill, realDifferences } from "./copies.js";

interface Place extends Copies {
  /** A directory for archives. */
  readonly out: string;
  readonly islet: (...words: readonly string[]) => Promise<CommandResult>;
  readonly must: (...words: readonly string[]) => Promise<string>;
}

async function place(t: TestContext): Promise<Place> {
  const copies = copiesOf(await instance(t));
  const { own } = copies;
  const out = join(own.store.path, "..", "out");
  mkdirSync(out);
  const words = ([verb = "", ...rest]: readonly string[]): readonly string[] => [
    "islet",
    verb,
    "-P",
    own.store.path,
    ...rest,
  ];
  return {
    ...copies,
    out,
    islet: (...given) => own.command(words(given), { timeout: 60_000 }),
    must: (...given) => own.ok(words(given), { timeout: 60_000 }),
  };
}

/** All that a tar archive can hold: no flags of inodes, and no sockets, which nobody listens to any more. */
function fillNasty(path: string): void {
  makeNasty(path);
  sh('chattr -R -f -i -a -d "$1" 2>&1 || true; rm "$1/socket"', path);
}

const pathWithBin = `${join(root, "bin")}:${process.env["PATH"] ?? ""}`;

test("a container that was exported and imported is the same by rsync, and starts", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, path, config, picture, must, ok, out, names } = await place(t);
  make("a", `lxc.hook.pre-start = ${path("a", "hooks/up")} now\nlxc.net.0.hwaddr = 00:16:3e:01:02:03\n`);
  mkdirSync(path("a", "hooks"));
  writeFileSync(path("a", "hooks/up"), "#!/bin/sh\nexit 0\n");
  chmodSync(path("a", "hooks/up"), 0o755);
  fillNasty(join(rootfs("a"), "nasty"));
  sh(
    'cp /bin/true "$1/bin/capped"; setcap cap_net_raw+ep "$1/bin/capped"; mknod "$1/null" c 1 3; setfacl -m u:1234:rw "$1/etc/passwd"; echo a > "$1/etc/hostname"',
    rootfs("a"),
  );
  const before = picture("a");
  const file = join(out, "a.archive");
  await must("export", "a", file);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(picture("a"), before);
  await must("import", file, "b");
  assert.equal(realDifferences(rootfs("a"), rootfs("b")), "");
  assert.equal(readFileSync(join(rootfs("b"), "etc/hostname"), "utf8"), "b\n");
  assert.match(sh('getcap "$1/bin/capped"', rootfs("b")), /cap_net_raw=ep/);
  assert.equal(statSync(path("b", "hooks/up")).mode & 0o777, 0o755);
  assert.ok(config("b").includes(`lxc.hook.pre-start = ${path("b", "hooks/up")} now\n`), config("b"));
  assert.doesNotMatch(config("b"), /01:02:03|@container@/);
  assert.deepEqual(names(), ["a", "b"]);
  await ok("lxc-start", "-n", "b");
  await ok("lxc-stop", "-n", "b", "-k");
  assert.match(await must("export", "b", "--running"), /^\/.*\/b\.tar\.zst\n$/);
  sh('rm -f "$1"', join(process.cwd(), "b.tar.zst"));
  void own;
});

test("ids in an archive are those that the container sees, and fit another id map", async (t) => {
  if (lacks(t, "root")) return;
  const { make, rootfs, must, islet, out, names, ok } = await place(t);
  make("a");
  sh(
    'cp /bin/true "$1/bin/capped"; setcap cap_net_raw+ep "$1/bin/capped"; chown 7:8 "$1/etc/group"; chmod 4755 "$1/bin/capped"; setcap cap_net_raw+ep "$1/bin/capped"; setfacl -m u:5:r,g:6:w "$1/etc/passwd"; setfacl -d -m u:9:r "$1/etc"',
    rootfs("a"),
  );
  await ok("lxc-copy", "-n", "a", "-N", "mapped", "--idmap", "u 0 200000 65536", "--idmap", "g 0 300000 65536");
  const file = join(out, "mapped");
  await must("export", "mapped", file, "--compress", "none");
  await must("import", file, "again");
  assert.equal(realDifferences(rootfs("mapped"), rootfs("again")), "");
  assert.equal(statSync(join(rootfs("again"), "etc/group")).gid, 300_008);
  assert.match(sh('getfacl -n "$1/etc/passwd" 2>&1', rootfs("again")), /^user:200005:r--/m);
  assert.match(sh('getcap -n "$1/bin/capped"', rootfs("again")), /rootid=200000/);
  // As the container sees them: the archive is that of the original.
  sh(
    'mkdir "$2/seen"; tar -xf "$1" -C "$2/seen" --numeric-owner --same-owner -p --xattrs --xattrs-include="*" --acls',
    file,
    out,
  );
  assert.equal(realDifferences(rootfs("a"), join(out, "seen/rootfs")), "");
  // What is no id of the container's is not given to anybody else.
  sh('chown 0:0 "$1/etc/inittab"', rootfs("mapped"));
  const foreign = await islet("export", "mapped", join(out, "foreign"));
  assert.equal(foreign.status, 1);
  assert.match(foreign.stderr, /^islet export: mapped: .*etc\/inittab has the uid 0, which is in no id map; .*\n$/);
  assert.ok(!existsSync(join(out, "foreign")));
  assert.deepEqual(names(), ["a", "again", "mapped"]);
});

test("an archive goes through a pipe from one store to another", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs } = await place(t);
  make("a");
  const piped = await own.command(
    ["sh", "-c", 'islet export -P "$1" a - | islet import -P "$1" - b', "sh", own.store.path],
    { env: { PATH: pathWithBin }, timeout: 60_000 },
  );
  assert.equal(piped.status, 0, piped.stderr);
  assert.equal(realDifferences(rootfs("a"), rootfs("b")), "");
});

test("a running container is exported only when that is asked for, and runs on", async (t) => {
  if (lacks(t, "root")) return;
  const { make, rootfs, ok, islet, must, out } = await place(t);
  make("a");
  await ok("lxc-start", "-n", "a");
  const refused = await islet("export", "a", join(out, "x"));
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^islet export: a: it is running: .*--running.*\n$/);
  assert.deepEqual(readdirSync(out), []);
  await must("export", "a", join(out, "x"), "--running");
  assert.match(await ok("lxc-info", "-n", "a", "-s"), /RUNNING/);
  await must("import", join(out, "x"), "b");
  await ok("lxc-stop", "-n", "a", "-k");
  assert.equal(differencesOf(join(rootfs("a"), "bin"), join(rootfs("b"), "bin")), "");
});

/** As much at once as a small guest can: files appear, grow, change places and go, and so do directories. */
const restless = `lxc.init.cmd = /bin/sh -c "i=0; while :; do i=$((i+1)); echo $i >> /log; echo $i > /f$((i%50)); mv /f$((i%50)) /g; mkdir -p /d$((i%9))/e; rm -rf /d$((i%5)); done"\n`;

test("a guest that writes all the time is exported right after its start, since it stands still meanwhile", async (t) => {
  if (lacks(t, "root")) return;
  const { make, must, ok, own, out } = await place(t);
  make("a", restless);
  for (let round = 0; round < 8; round += 1) {
    await ok("lxc-start", "-n", "a");
    await must("export", "a", join(out, `a${round}`), "--running");
    await ok("lxc-stop", "-n", "a", "-k");
  }
  await own.ok(["islet", "import", "-P", own.store.path, join(out, "a7"), "b"], { timeout: 60_000 });
});

for (const [what, script] of [
  ["that grows", 'while :; do echo x >> "$1/many/large"; done'],
  ["that appears", 'while :; do : > "$1/appears"; rm "$1/appears"; done'],
] as const)
  test(`a file ${what} by the hand of the host is told, and nothing is left of the archive`, async (t) => {
    if (lacks(t, "root")) return;
    const { make, rootfs, islet, ok, out } = await place(t);
    make("a");
    fill(join(rootfs("a"), "many"), 3000);
    await ok("lxc-start", "-n", "a");
    const writer = spawn("sh", ["-c", script, "sh", rootfs("a")], { stdio: "ignore" });
    const ended = once(writer, "close");
    let result: CommandResult;
    try {
      result = await islet("export", "a", join(out, "x"), "--running");
    } finally {
      writer.kill("SIGKILL");
      await ended;
    }
    const { status, stderr } = result;
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^islet export: a: a was changed while it was exported: \S+: .*(changed as|removed before) we read it; it is frozen: somebody else writes/,
    );
    assert.deepEqual(readdirSync(out), []);
    assert.match(await ok("lxc-info", "-n", "a", "-s"), /RUNNING/);
  });

test("a container is imported onto another kind of storage, and exported from there", async (t) => {
  if (lacks(t, "root")) return;
  const { make, rootfs, config, must, out } = await place(t);
  make("a");
  fillNasty(join(rootfs("a"), "nasty"));
  await must("export", "a", join(out, "a"));
  await must("import", join(out, "a"), "b", "-B", "loop", "--fssize", "200M");
  assert.match(config("b"), /lxc\.rootfs\.path = loop:/);
  await must("export", "b", join(out, "b"), "--compress", "gzip");
  await must("import", join(out, "b"), "c");
  assert.equal(realDifferences(join(rootfs("a"), "etc"), join(rootfs("c"), "etc")), "");
  assert.equal(realDifferences(join(rootfs("a"), "bin"), join(rootfs("c"), "bin")), "");
});

test("what is cut off, changed, or no export at all leaves nothing", async (t) => {
  if (lacks(t, "root")) return;
  const { make, must, islet, out, names } = await place(t);
  make("a");
  const file = join(out, "a.tar");
  await must("export", "a", file, "--compress", "none");
  const whole = readFileSync(file);
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["in the middle", whole.subarray(0, whole.length / 2), /cut off/],
    ["before its sum", whole.subarray(0, whole.length - 2048 - 8192), /cut off/],
    ["in its first file", whole.subarray(0, 700), /cut off/],
    ["to nothing", whole.subarray(0, 0), /too short/],
    [
      "by one bit",
      Buffer.concat([
        whole.subarray(0, 1_000_000),
        Buffer.from([(whole[1_000_000] ?? 0) ^ 4]),
        whole.subarray(1_000_001),
      ]),
      /SHA-256 differs|damaged/,
    ],
    ["by more at its end", Buffer.concat([whole, Buffer.from("more")]), /something follows|damaged/],
    [
      "by being something else",
      archive({ name: "metadata.yaml", data: "x" }),
      /no container that islet has exported; .*-t local/,
    ],
  ];
  for (const [what, bytes, wanted] of cases) {
    const path = join(out, "bad");
    writeFileSync(path, bytes);
    const { status, stderr } = await islet("import", "-q", path, "b");
    assert.equal(status, 1, what);
    const shown = await islet("import", path, "b");
    assert.match(shown.stderr, wanted, what);
    assert.equal(stderr, "", what);
    assert.deepEqual(names(), ["a"], what);
  }
  const taken = await islet("import", file);
  assert.equal(taken.status, 1);
  assert.match(taken.stderr, /a exists already/);
  await must("import", file, "b");
});

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

interface Forged {
  readonly config?: string;
  readonly manifest?: object;
  readonly head?: readonly Member[];
  readonly files?: readonly object[];
  readonly entries?: readonly (Member | Uint8Array)[];
}

/** With a sum that is right: made by somebody who knows how. */
function forged({ config = "lxc.uts.name = x\n", manifest = {}, head = [], files = [], entries }: Forged): Buffer {
  const text = Buffer.from(config);
  const said = {
    format: "islet",
    version: 1,
    name: "x",
    architecture: "x86_64",
    made: 1,
    ...manifest,
    files: [{ entry: "config", path: "config", size: text.length, sha256: digest(text) }, ...files],
  };
  const members: readonly (Member | Uint8Array)[] = [
    { name: "islet.json", data: JSON.stringify(said) },
    { name: "config", data: text },
    ...head,
    ...(entries ?? [{ name: "rootfs/", type: "5" }]),
  ];
  const before = Buffer.concat(members.map((each) => (each instanceof Uint8Array ? each : member(each))));
  return archive(before, { name: "islet.sum", data: `${digest(before)}\n` });
}

test("an archive by somebody who means ill is refused whole", async (t) => {
  if (lacks(t, "root")) return;
  const { islet, must, out, names, own } = await place(t);
  const beside = { size: 1, sha256: digest(Buffer.from("x")) };
  const file = (path: string, entry: string = "files/0"): Forged => ({
    head: [{ name: entry, data: "x" }],
    files: [{ entry, path, ...beside }],
  });
  const top: Member = { name: "rootfs/", type: "5" };
  const cases: readonly (readonly [string, Forged, RegExp])[] = [
    ["a path that leads outside", { entries: [top, { name: "rootfs/../../etc/x", data: "x" }] }, /leads outside/],
    ["an absolute path", { entries: [top, { name: "/etc/x", data: "x" }] }, /absolute/],
    [
      "a way through a link",
      { entries: [top, { name: "rootfs/l", type: "2", linkname: "/etc" }, { name: "rootfs/l/x", data: "x" }] },
      /symbolic link/,
    ],
    [
      "a hard link to something outside",
      { entries: [top, { name: "rootfs/h", type: "1", linkname: "config" }] },
      /hard link to something outside/,
    ],
    ["a file beside the container", file("../x"), /no place for a file/],
    ["a file that islet has itself", file("partial"), /no place for a file/],
    ["a file in the root file system", file("rootfs/x"), /no place for a file/],
    ["another configuration than it says", { files: [{ entry: "files/0", path: "x", ...beside }] }, /not there as its/],
    ["a file it says nothing of", { head: [{ name: "files/3", data: "x" }] }, /knows nothing of files\/3/],
    [
      "a lie about a file",
      { head: [{ name: "files/0", data: "y" }], files: [{ entry: "files/0", path: "x", ...beside }] },
      /SHA-256 differs/,
    ],
    ["a name that is none", { manifest: { name: "../x" } }, /no good name/],
    ["a later format", { manifest: { version: 2 } }, /newer islet/],
    [
      "a configuration that is none",
      { config: "lxc.nothing.like.it = 1\n" },
      /Unsupported config key "lxc.nothing.like.it"/,
    ],
    ["no root file system", { entries: [] }, /no root file system/],
    [
      "an owner outside of the id map",
      {
        config: "lxc.idmap = u 0 100000 1000\nlxc.idmap = g 0 100000 1000\n",
        entries: [top, { name: "rootfs/x", data: "x", uid: 5000 }],
      },
      /uid 5000, which is in no id map/,
    ],
    [
      "settings that are none",
      {
        head: [{ name: "settings.json", data: "x" }],
        files: [{ entry: "settings.json", path: "settings.json", ...beside }],
      },
      /settings of the archive/,
    ],
  ];
  const above = readdirSync(join(own.store.path, ".."));
  for (const [what, wanted, line] of cases) {
    const path = join(out, "bad");
    writeFileSync(path, forged(wanted));
    const { status, stderr } = await islet("import", path, "b");
    assert.equal(status, 1, what);
    assert.match(stderr, line, what);
    assert.deepEqual(names(), [], what);
    assert.deepEqual(readdirSync(join(own.store.path, "..")), above, what);
  }
  const bomb = join(out, "bomb.gz");
  const large = forged({ entries: [top, { name: "rootfs/x", data: Buffer.alloc(300 << 20) }] });
  writeFileSync(join(out, "bomb"), large);
  sh('gzip "$1"', join(out, "bomb"));
  const exploded = await islet("import", bomb, "b");
  assert.equal(exploded.status, 1);
  assert.match(exploded.stderr, /decompression bomb/);
  assert.deepEqual(names(), []);
  // The owner of such a container can say so.
  await must("import", bomb, "b", "--large");
  assert.equal(statSync(join(own.store.path, "b/rootfs/x")).size, 300 << 20);
});

test("a full disk stops an export and an import, and nothing is left", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, islet, must, out, names } = await place(t);
  make("a");
  sh('head -c 40M /dev/urandom > "$1/large"', rootfs("a"));
  const small = join(out, "small");
  await own.ok(["mkdir", small]);
  await own.ok(["mount", "-t", "tmpfs", "-o", "size=20m", "islt-small", small]);
  cleanup(t)(async () => {
    await own.command(["umount", "-l", small]);
  });
  const full = await islet("export", "a", join(small, "a"));
  assert.equal(full.status, 1);
  assert.match(full.stderr, /^islet export: a: cannot write .*: the disk is full; .*\n$/);
  assert.deepEqual(readdirSync(small), []);
  // The one of before stays.
  writeFileSync(join(small, "a"), "before");
  assert.equal((await islet("export", "a", join(small, "a"))).status, 1);
  assert.equal(readFileSync(join(small, "a"), "utf8"), "before");
  await must("export", "a", join(out, "a"));
  mkdirSync(join(small, "store"));
  const imported = await own.command(["islet", "import", "-P", join(small, "store"), join(out, "a"), "b"]);
  assert.equal(imported.status, 1);
  assert.match(imported.stderr, /the disk is full/);
  assert.deepEqual(readdirSync(join(small, "store")), []);
  assert.deepEqual(names(), ["a"]);
  await own.ok(["umount", small]);
});

test("a user who goes away, or a daemon that is killed, leaves nothing of an export or an import", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, rootfs, picture, must, islet, out, names } = await place(t);
  make("a");
  fill(join(rootfs("a"), "many"), 4000);
  sh('head -c 100M /dev/urandom > "$1/large"', rootfs("a"));
  const before = picture("a");
  const gone = (seconds: string, ...words: readonly string[]): Promise<CommandResult> =>
    own.command(["timeout", "-s", "INT", "-k", "5", seconds, "islet", ...words], { env: { PATH: pathWithBin } });
  assert.notEqual((await gone("0.3", "export", "-P", own.store.path, "a", join(out, "x"))).status, 0);
  assert.deepEqual(readdirSync(out), []);
  const exporting = islet("export", "a", join(out, "x"));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await own.restart();
  assert.notEqual((await exporting).status, 0);
  assert.deepEqual(readdirSync(out), []);
  assert.equal(picture("a"), before);
  await must("export", "a", join(out, "x"), "--compress", "none");
  assert.notEqual((await gone("0.2", "import", "-P", own.store.path, join(out, "x"), "b")).status, 0);
  await waitFor("what was imported to be gone", () => !existsSync(path("b")), { timeout: 20_000 });
  const importing = islet("import", join(out, "x"), "b");
  await waitFor("the import to be under way", () => existsSync(path("b", "rootfs/bin")));
  await own.restart();
  assert.notEqual((await importing).status, 0);
  await waitFor("what was imported to be gone", () => !existsSync(path("b")), { timeout: 20_000 });
  assert.deepEqual(names(), ["a"]);
  await must("import", join(out, "x"), "b");
  assert.equal(realDifferences(rootfs("a"), rootfs("b")), "");
});
