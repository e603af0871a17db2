import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { command } from "../support/command.js";
import { lacks } from "../support/skip.js";

const child = fileURLToPath(new URL("bytes-child.js", import.meta.url));

async function ask(before: readonly string[], ...args: readonly string[]): Promise<unknown> {
  const result = await command([...before, process.execPath, child, ...args]);
  assert.equal(result.status, 0, result.stderr);
  const value: unknown = JSON.parse(result.stdout);
  return value;
}

test("the kernel loads a compiled seccomp policy and does what it says", async (t) => {
  if (lacks(t, "root") || lacks(t, "seccomp")) return;
  const policy =
    "2\ndenylist\nreject_force_umount\n[all]\nkexec_load errno 71\npersonality errno 74 [0,0x20008,SCMP_CMP_EQ]\n";
  assert.deepEqual(await ask([], "seccomp", policy), {
    kexec: "EPROTO",
    forced: "EACCES",
    gentle: "ENOENT",
    personality: "EBADMSG",
    personalityRead: "number",
    pid: true,
  });
});

test("the kernel's verifier takes a device program, and the cgroup obeys it", async (t) => {
  if (lacks(t, "root") || lacks(t, "cgroup2")) return;
  const hierarchy = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(readFileSync("/proc/self/mountinfo", "utf8"))?.[1] ?? "";
  assert.deepEqual(await ask([], "devices", hierarchy), { attached: 0, null: 0, zero: "EPERM", full: 0, tty: "EPERM" });
});

test("the kernel takes the netlink requests, and its dumps are read back", async (t) => {
  if (lacks(t, "root") || lacks(t, "veth")) return;
  assert.deepEqual(await ask(["unshare", "--net"], "netlink"), {
    results: ["ok", "ok", "ok", "ok", "ok", "EEXIST", "ok", "ok", "ENODEV"],
    links: [
      { name: "lo", mtu: 65536, kind: null },
      { name: "islt-c", mtu: 1300, kind: "veth" },
      { name: "islt-a", mtu: 1400, kind: "veth" },
    ],
    addresses: [{ address: "10.9.0.2", prefix: 24, broadcast: "10.9.0.255" }],
  });
});

test("the kernel understands the structures of single calls", async () => {
  assert.deepEqual(await ask([], "calls"), {
    limit: 0,
    limitAfter: true,
    openat2: "number",
    escape: "EXDEV",
    action: 0,
    nap: 0,
  });
});
