import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lockName } from "../../src/plan/lock.js";
import { cleanup } from "../support/cleanup.js";
import { command } from "../support/command.js";
import { picture, sweepLxc } from "../support/host.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";

test("the lock of a container is the socket that LXC's tools ask, whatever the length of its path", async (t) => {
  if (lacks(t, "lxc") || lacks(t, "strace")) return;
  const store = join(testDir, "islt-lock".padEnd(92 - testDir.length, "-"));
  const before = picture();
  cleanup(t)(() => {
    sweepLxc(before, { names: [], stores: [store] });
    rmSync(store, { recursive: true, force: true });
  });
  for (const name of ["a", "ab", "abc", "abcd", "abcde", "abcdef", "a-much-longer-name", "größe"]) {
    mkdirSync(join(store, name), { recursive: true });
    writeFileSync(join(store, name, "config"), "lxc.net.0.type = empty\n");
    const traced = await command([
      "strace",
      "-f",
      "-xx",
      "-s",
      "200",
      "-e",
      "trace=connect",
      "/usr/bin/lxc-info",
      "-P",
      store,
      "-n",
      name,
    ]);
    const asked = /sun_path=@"((?:\\x[0-9a-f]{2})+)"/.exec(traced.stderr)?.[1] ?? "";
    const text = Buffer.from(asked.replaceAll("\\x", ""), "hex").toString();
    assert.equal(lockName(store, name), text, `${store.length + name.length + 9} bytes`);
  }
});
