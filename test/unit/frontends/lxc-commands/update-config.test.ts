import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Outcome, tool } from "./canned.js";

describe("lxc-update-config", () => {
  let directory = "";
  beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "islt-update-"))));
  afterEach(() => rmSync(directory, { recursive: true }));
  const run = (...words: readonly string[]): Promise<Outcome> =>
    tool(["lxc-update-config", ...words], { plain: true, cwd: directory });
  const put = (name: string, text: string | Uint8Array): void => writeFileSync(join(directory, name), text);
  const get = (name: string): string => readFileSync(join(directory, name), "latin1");
  const silent = { status: 0, stdout: "", stderr: "", calls: [] };

  it("rewrites the file, keeps its mode, and keeps what it was beside it, silently", async () => {
    put("config", "lxc.tty = 4\n");
    chmodSync(join(directory, "config"), 0o640);
    for (const words of [["-c", "config"], ["--config=config"], ["--conf", join(directory, "config"), "operand"]]) {
      put("config", "lxc.tty = 4\n");
      assert.deepEqual(await run(...words), silent);
      assert.deepEqual([get("config"), get("config.backup")], ["lxc.tty.max = 4\n", "lxc.tty = 4\n"]);
    }
    for (const name of ["config", "config.backup"]) assert.equal(statSync(join(directory, name)).mode & 0o7777, 0o640);
    assert.deepEqual(readdirSync(directory).sort(), ["config", "config.backup"]);
  });
  it("makes the copy of a file that needs no change, too, and never overwrites an older one with it", async () => {
    put("config", "lxc.tty.max = 4\n");
    assert.deepEqual(await run("-c", "config"), silent);
    assert.equal(get("config.backup"), "lxc.tty.max = 4\n");
    put("config.backup", "lxc.tty = 4\n");
    assert.deepEqual(await run("-c", "config"), silent);
    assert.equal(get("config.backup"), "lxc.tty = 4\n");
  });
  it("changes the file that a link leads to, and writes through no link that lies where the copy goes", async () => {
    put("real", "lxc.tty = 4\n");
    put("victim", "precious");
    symlinkSync("real", join(directory, "web.conf"));
    symlinkSync("victim", join(directory, "web.conf.backup"));
    assert.deepEqual(await run("-c", "web.conf"), silent);
    assert.ok(lstatSync(join(directory, "web.conf")).isSymbolicLink());
    assert.deepEqual(
      [get("real"), get("web.conf.backup"), get("victim")],
      ["lxc.tty.max = 4\n", "lxc.tty = 4\n", "precious"],
    );
  });
  it("leaves bytes alone that are no UTF-8, and text that is", async () => {
    for (const bytes of [Buffer.from([0x23, 0xe4, 0xff, 0x0a]), Buffer.from("# ä€\n")]) {
      put("config", Buffer.concat([bytes, Buffer.from("lxc.kmsg = 0\n")]));
      assert.deepEqual(await run("-c", "config"), silent);
      assert.deepEqual(readFileSync(join(directory, "config")), bytes);
    }
  });
  it("prints its usage on standard output for help, and for nothing at all", async () => {
    const usage = "lxc-update-config -h|--help [-c|--config]\nconfig: the container configuration to update\n";
    for (const words of [[], ["-h"], ["--help"], ["-c", "nosuch", "-h"]])
      assert.deepEqual(await run(...words), { ...silent, stdout: usage });
  });
  it("refuses what it cannot read in one line, status 1, and leaves nothing", async () => {
    const { status, stderr } = await run("-c", "nosuch");
    assert.deepEqual([status, stderr], [1, "lxc-update-config: cannot update nosuch: No such file or directory\n"]);
    for (const words of [["-c", "."], ["-c", "/dev/zero"], ["foo"], ["-c", ""], ["-x"], ["-c"]]) {
      const outcome = await run(...words);
      assert.equal(outcome.status, 1, words.join(" "));
      assert.match(outcome.stderr, /^lxc-update-config: .+\n$/);
    }
    assert.deepEqual(readdirSync(directory), []);
  });
  it("writes nothing when a line cannot be understood, and says which", async () => {
    put("config", "lxc.tty = 4\nlxc.network.link = br0\n");
    const { status, stderr } = await run("-c", "config");
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^lxc-update-config: lxc\.network\.link .*config:2 lxc\.network\.link\)\n.*: config was left as it is\n$/,
    );
    assert.equal(get("config"), "lxc.tty = 4\nlxc.network.link = br0\n");
    assert.ok(!existsSync(join(directory, "config.backup")));
  });
});
