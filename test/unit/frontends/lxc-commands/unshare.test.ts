import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Engine, UnshareOptions } from "../../../../src/engine/engine.js";
import { firstRange, parseMap, withSelf } from "../../../../src/frontends/lxc/commands/usernsexec.js";
import { type Outcome, tool } from "./canned.js";

function keep(kept: UnshareOptions[]): Partial<Engine> {
  return {
    unshare: (options) => {
      kept.push(options);
      return Promise.resolve({ image: new Uint8Array(), fds: [], explainFailure: () => new Error("never") });
    },
  };
}

async function run(
  argv: readonly string[],
  status = 0,
): Promise<Outcome & { readonly kept: UnshareOptions | undefined }> {
  const kept: UnshareOptions[] = [];
  const outcome = await tool(argv, { engine: keep(kept), run: () => Promise.resolve(status * 2 ** 22 + 4711) });
  return { ...outcome, kept: kept[0] };
}

describe("lxc-unshare", () => {
  it("takes LXC's names of namespaces and passes the rest of the line on", async () => {
    const { status, kept } = await run([
      "lxc-unshare",
      "-s",
      "MOUNT|UTSNAME|net",
      "-H",
      "box",
      "-i",
      "e0",
      "-M",
      "ls",
      "-d",
      "-l",
    ]);
    assert.equal(status, 0);
    assert.deepEqual(kept?.namespaces, ["mount", "uts", "net"]);
    assert.deepEqual(kept.command, ["ls", "-d", "-l"]);
    assert.deepEqual([kept.hostname, kept.interfaces, kept.remount, kept.detach], ["box", ["e0"], true, false]);
    assert.deepEqual([kept.user, kept.idMap], [null, []]);
  });

  it("maps the caller to the user of -u in a new user namespace only", async () => {
    const mapped = await run(["lxc-unshare", "-s", "USER", "-u", "root", "id"]);
    assert.deepEqual(mapped.kept?.user, { uid: 0, gid: null });
    assert.deepEqual(mapped.kept.idMap, [{ type: "uid", inside: 0, outside: 0, count: 1, at: null }]);
    const plain = await run(["lxc-unshare", "-s", "IPC", "-u", "0", "id"]);
    assert.deepEqual(plain.kept?.idMap, []);
  });

  it("loses the status of a command that failed, as LXC does", async () => {
    const failed = await run(["lxc-unshare", "-s", "IPC", "x"], 4);
    assert.deepEqual([failed.status, failed.stderr], [1, "lxc-unshare: Failed to wait for '4711'\n"]);
    assert.equal((await run(["lxc-unshare", "-s", "IPC", "-d", "x"])).status, 0);
  });

  it("says what is missing in LXC's words", async () => {
    for (const [words, text] of [
      [[], "A command to execute in the new namespace is required"],
      [["x"], "A namespace to execute command is required"],
      [["-s", "", "x"], "A namespace to execute command is required"],
      [["-s", "IPC", "-i", "e0", "x"], "-i <interfacename> needs -s NETWORK option"],
      [["-s", "IPC", "-H", "h", "x"], "-H <hostname> needs -s UTSNAME option"],
      [["-s", "IPC", "-M", "x"], "-M needs -s MOUNT option"],
    ] as const) {
      const { status, stderr, kept } = await run(["lxc-unshare", ...words]);
      assert.deepEqual([status, stderr, kept], [1, `lxc-unshare: ${text}\n`, undefined]);
    }
    for (const words of [
      ["-s", "BOGUS", "x"],
      ["-s", "|", "x"],
      ["-s", "IPC", "-u", "no-such-user", "x"],
    ]) {
      const { status, stderr } = await run(["lxc-unshare", ...words]);
      assert.equal(status, 1);
      assert.match(stderr, /lxc-unshare: could not parse command line\n$/);
    }
  });
});

describe("lxc-usernsexec", () => {
  it("maps what -m says, users, groups or both", () => {
    const entry = { inside: 0, outside: 100000, count: 65536, at: null };
    assert.deepEqual(parseMap("u:0:100000:65536"), [{ type: "uid", ...entry }]);
    assert.deepEqual(parseMap("b:0:100000:65536"), [
      { type: "uid", ...entry },
      { type: "gid", ...entry },
    ]);
    for (const bad of [
      "x:0:1:1",
      "u:0:1",
      "u:0:1:0",
      "u:0:4294967295:1",
      "u:0:4294967290:9",
      "u:-1:0:1",
      "b:0:1:1:1",
      "",
    ]) {
      assert.equal(parseMap(bad), null, bad);
    }
  });

  it("finds a user's first range in /etc/subuid", () => {
    const text = "annex:1:2\nann:100000:65536\nann:300000:5\n";
    assert.deepEqual(firstRange(text, "ann"), { outside: 100000, count: 65536 });
    assert.equal(firstRange(text, "bob"), null);
    assert.equal(firstRange("ann:x:1\nann:5:5\n", "ann"), null);
  });

  it("puts the caller's own ids behind what is mapped from 0 with -s", () => {
    const map = withSelf(parseMap("u:0:100000:10") ?? [], { uid: 1000, gid: 50 });
    assert.deepEqual(
      map.map(({ type, inside, outside, count }) => [type, inside, outside, count]),
      [
        ["uid", 0, 100000, 10],
        ["gid", 0, 50, 1],
        ["uid", 10, 1000, 1],
      ],
    );
  });

  it("runs a command, or a shell, as root of the namespace and has its status", async () => {
    const { status, kept } = await run(["lxc-usernsexec", "-m", "b:0:1000:1", "--", "x", "-s"], 7);
    assert.equal(status, 7);
    assert.deepEqual(kept?.command, ["x", "-s"]);
    assert.deepEqual([kept.namespaces, kept.user], [["user", "mount"], { uid: 0, gid: 0 }]);
    assert.deepEqual((await run(["lxc-usernsexec", "-m", "b:0:1000:1"])).kept?.command, ["/bin/sh"]);
  });

  it("prints its usage on standard output, status 1 where it makes no sense", async () => {
    const bare = async (...words: readonly string[]): Promise<Outcome> => await tool(["lxc-usernsexec", ...words]);
    const help = await bare("-h");
    assert.equal(help.status, 0);
    assert.match(help.stdout, /^usage: lxc-usernsexec /);
    for (const words of [["-x"], ["--foo"], ["-m", "x:1:1:1", "true"]]) {
      const { status, stdout } = await bare(...words);
      assert.equal(status, 1);
      assert.match(stdout, /^usage: lxc-usernsexec /);
    }
    assert.equal((await bare("-x")).stderr, "lxc-usernsexec: invalid option -- 'x'\n");
  });
});
