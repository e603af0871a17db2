import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { command, fails, ok } from "../support/command.js";
import { netns } from "../support/netns.js";
import { lacks } from "../support/skip.js";
import { bin } from "../support/paths.js";

describe("lxc-unshare", () => {
  it("gives a command the namespaces it asks for and no other", async () => {
    const links = (
      await ok([
        "lxc-unshare",
        "-s",
        "UTSNAME|IPC",
        "readlink",
        "/proc/self/ns/uts",
        "/proc/self/ns/ipc",
        "/proc/self/ns/net",
      ])
    )
      .trim()
      .split("\n");
    const own = ["uts", "ipc", "net"].map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
    assert.deepEqual(
      links.map((link, index) => link === own[index]),
      [false, false, true],
    );
  });

  it("sets the host name inside alone", async () => {
    const before = hostname();
    assert.equal(await ok(["lxc-unshare", "-s", "UTSNAME", "-H", "islt-box", "uname", "-n"]), "islt-box\n");
    assert.equal(hostname(), before);
  });

  it("makes a first process whose mounts do not reach the host, with a /proc of its own", async () => {
    const script =
      "mount -t tmpfs islt-mark /mnt && grep -c islt-mark /proc/mounts; readlink /proc/self; ls -d /proc/[0-9]* | wc -l";
    const out = (await ok(["lxc-unshare", "-s", "MOUNT|PID", "-M", "sh", "-c", script])).split("\n");
    assert.equal(out[0], "1");
    assert.ok(Number(out[1]) < 10 && Number(out[2]) < 10, out.join(" "));
    assert.equal((await command(["grep", "-c", "islt-mark", "/proc/mounts"])).stdout, "0\n");
  });

  it("becomes the user of -u, in a user namespace or without one", async () => {
    assert.equal(
      await ok(["lxc-unshare", "-s", "USER", "-u", "5", "sh", "-c", "id -u; cat /proc/self/uid_map | tr -s ' '"]),
      "5\n 5 0 1\n",
    );
    assert.equal(await ok(["lxc-unshare", "-s", "UTSNAME", "-u", "65534", "id", "-u"]), "65534\n");
  });

  it("fails when the command fails or is not there", async () => {
    assert.match(
      (await fails(["lxc-unshare", "-s", "IPC", "sh", "-c", "exit 4"], 1)).stderr,
      /Failed to wait for '\d+'\n$/,
    );
    assert.match(
      (await fails(["lxc-unshare", "-s", "IPC", "islt-none"], 1)).stderr,
      /ENOENT.*\n.*Failed to exec: 'islt-none'\n$/,
    );
    assert.match((await fails(["lxc-unshare", "-d", "-s", "IPC", "islt-none"], 1)).stderr, /ENOENT/);
  });

  it("with -d returns while the command runs, which goes on", async () => {
    const pipe = await command([
      "sh",
      "-c",
      `${bin("lxc-unshare")} -d -s IPC sh -c 'sleep 0.3; echo late'; echo returned`,
    ]);
    assert.equal(pipe.stdout, "returned\nlate\n");
  });

  it("moves interfaces into a new network namespace, and runs nothing when one cannot move", async (t) => {
    if (lacks(t, "veth")) return;
    const net = await netns(t);
    await net.ok(["ip", "link", "add", "islt-d0", "type", "veth", "peer", "name", "islt-d1"]);
    const unshare = [bin("lxc-unshare"), "-s", "NETWORK", "-i"];
    assert.match(await net.ok([...unshare, "islt-d0", "ip", "link"]), /islt-d0/);
    const result = await net.command([...unshare, "islt-none", "echo", "ran"]);
    assert.deepEqual([result.status, result.stdout], [1, ""]);
    assert.match(result.stderr, /there is no interface islt-none/);
  });
});

describe("lxc-usernsexec", () => {
  const map = ["-m", "b:0:100000:65536"] as const;

  it("runs a command as root of a user namespace with the ids given", async () => {
    const out = await ok([
      "lxc-usernsexec",
      ...map,
      "--",
      "sh",
      "-c",
      "id -u; id -g; cat /proc/self/gid_map | tr -s ' '",
    ]);
    assert.equal(out, "0\n0\n 0 100000 65536\n");
    const self = await ok(["lxc-usernsexec", "-s", ...map, "--", "sh", "-c", "cat /proc/self/uid_map | tr -s ' '"]);
    assert.equal(self, " 0 100000 65536\n 65536 0 1\n");
  });

  it("has its exit status, 128 + signal, and 1 for what cannot be executed", async () => {
    assert.equal((await command(["lxc-usernsexec", ...map, "--", "sh", "-c", "exit 7"])).status, 7);
    assert.equal((await command(["lxc-usernsexec", ...map, "--", "sh", "-c", "kill -9 $$"])).status, 137);
    assert.match(
      (await fails(["lxc-usernsexec", ...map, "--", "islt-none"], 1)).stderr,
      /Failed to execute "islt-none"\n$/,
    );
  });

  it("takes standard input as it is and runs a shell when no command is given", async () => {
    assert.equal(await ok(["lxc-usernsexec", ...map], { input: "echo $((6*7))\n" }), "42\n");
  });

  it("says why a map cannot be used", async () => {
    assert.match(
      (await fails(["lxc-usernsexec", "-m", "u:0:100000:10", "true"], 1)).stderr,
      /the map has no group 0\n$/,
    );
    assert.match((await fails(["lxc-usernsexec", ...map, "-m", "u:5:0:1", "true"], 1)).stderr, /the ranges overlap/);
  });

  it("ends with its command when it is told to end", async () => {
    const script = `${bin("lxc-usernsexec")} ${map.join(" ")} -- sh -c 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done' & pid=$!; sleep 1; kill -TERM $pid; wait $pid; echo $?`;
    assert.equal(await ok(["sh", "-c", script]), "up\ntold\n3\n");
  });
});
