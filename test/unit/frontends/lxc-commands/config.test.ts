import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { type Canned, type Outcome, tool } from "./canned.js";

const home = mkdtempSync(join(tmpdir(), "islt-home-"));
after(() => rmSync(home, { recursive: true }));
const user: Canned = { uid: 1000, environment: { HOME: home } };

const config = (words: readonly string[], canned: Canned = {}): Promise<Outcome> =>
  tool(["lxc-config", ...words], { ...canned, plain: true });
const said = async (words: readonly string[], canned: Canned = {}): Promise<readonly [number, string, string]> => {
  const { status, stdout, stderr } = await config(words, canned);
  return [status, stdout, stderr];
};

const names =
  "lxc.default_config\nlxc.lxcpath\nlxc.bdev.lvm.vg\nlxc.bdev.lvm.thin_pool\nlxc.bdev.zfs.root\nlxc.cgroup.use\nlxc.cgroup.pattern\n";
const usage =
  "Usage: lxc-config -l: list all available configuration items\n       lxc-config item: print configuration item\n";

describe("lxc-config", () => {
  it("lists the names in LXC's order", async () => {
    for (const words of [["-l"], ["-l", "more"]]) assert.deepEqual(await said(words), [0, names, ""]);
  });
  it("--format json: an object of all settings, or of the one asked for", async () => {
    for (const words of [
      ["-l", "--format", "json"],
      ["--format=json", "-l"],
    ]) {
      const [status, stdout] = await said(words, user);
      assert.equal(status, 0);
      const all = JSON.parse(stdout) as Readonly<Record<string, unknown>>;
      assert.deepEqual(Object.keys(all), names.trim().split("\n"));
      assert.deepEqual([all["lxc.bdev.lvm.vg"], all["lxc.cgroup.use"]], ["lxc", null]);
    }
    assert.deepEqual(await said(["lxc.bdev.lvm.vg", "--format=json"], user), [
      0,
      '{\n  "lxc.bdev.lvm.vg": "lxc"\n}\n',
      "",
    ]);
    assert.deepEqual(await said(["-l", "--format=xml"]), [
      1,
      "",
      'lxc-config: "xml" is no output format; text and json are\n',
    ]);
  });
  it("prints its usage on standard output, status 0, for help and for nothing", async () => {
    for (const words of [[], [""], ["-"], ["-h"], ["--"], ["--he"], ["--help"]])
      assert.deepEqual(await said(words), [0, usage, ""], words.join());
  });
  it("prints a value, the default where the user's file has none", async () => {
    assert.deepEqual(await said(["lxc.bdev.lvm.vg"], user), [0, "lxc\n", ""]);
    assert.deepEqual(await said(["lxc.lxcpath"], user), [0, `${home}/.local/share/lxc\n`, ""]);
  });
  it("prints what the user's file says", async () => {
    mkdirSync(join(home, ".config/lxc"), { recursive: true });
    writeFileSync(join(home, ".config/lxc/lxc.conf"), "lxc.lxcpath = /srv/mine//\nlxc.cgroup.use = @all\n");
    assert.deepEqual(await said(["lxc.lxcpath"], user), [0, "/srv/mine\n", ""]);
    assert.deepEqual(await said(["lxc.cgroup.use"], user), [0, "@all\n", ""]);
  });
  it("says of a setting without a value that it is not set, status 0, in the caller's words", async () => {
    assert.deepEqual(await said(["lxc.cgroup.pattern"], user), [0, "lxc.cgroup.pattern is not set.\n", ""]);
    assert.deepEqual(await said(["lxc.cgroup.p"], user), [0, "lxc.cgroup.p is not set.\n", ""]);
  });
  it("takes the first name that begins with the word", async () => {
    assert.deepEqual(await said(["lxc.b"], user), [0, "lxc\n", ""]);
    assert.deepEqual(await said(["lxc"], user), [0, `${home}/.config/lxc/default.conf\n`, ""]);
  });
  it("says of an unknown name so on standard output, with status 1", async () => {
    for (const word of ["lxc.bogus", "--version", "-lx", "lxc.bdev.rbd.rbdpool", "lxc.lxcpath.more"])
      assert.deepEqual(await said([word]), [1, `Unknown configuration item: ${word}\n`, ""]);
  });
  it("asks the engine for nothing", async () => {
    assert.deepEqual((await config(["-l"])).calls, []);
  });
});

describe("lxc-version", () => {
  it("prints one line in the form of LXC 0.7, whatever it is given", async () => {
    for (const words of [[], ["--bogus"]]) {
      const { status, stdout, stderr } = await tool(["lxc-version", ...words], { plain: true });
      assert.deepEqual([status, stdout, stderr], [0, "lxc version: 5.0.2\n", ""]);
    }
  });
});
