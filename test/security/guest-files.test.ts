import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { root } from "../support/paths.js";
import { busybox, tempStore } from "../support/store.js";

/** What a hostile guest puts into its own files must not move, hold up or fool whoever enters it. */

const store = tempStore({ after });
const name = "islt-hostile1";
const rootfs = busybox(store, name, "lxc.hook.version = 0\n");
const passwd = join(rootfs, "etc/passwd");

/** What `lxc-attach` without a command makes of a passwd: it must run /bin/sh, and at once. */
async function entersAnyway(): Promise<void> {
  const started = Date.now();
  const result = await command(["lxc-attach", ...store.at(name)], {
    input: "echo $0 in $(hostname)\n",
    timeout: 10_000,
  });
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, new RegExp(`in ${name}`));
  assert.ok(Date.now() - started < 3000);
}

describe("a hostile passwd in the guest", () => {
  it("that is a link to the host's files is followed inside the guest only", async () => {
    await ok(["lxc-start", ...store.at(name)]);
    rmSync(passwd);
    symlinkSync(join(root, "package.json"), passwd);
    await entersAnyway();
    rmSync(passwd);
    symlinkSync("/proc/1/root/etc/shadow", passwd);
    await entersAnyway();
  });

  it("that is a pipe holds nobody up", async () => {
    rmSync(passwd);
    execFileSync("mkfifo", [passwd]);
    await entersAnyway();
  });

  it("of a gigabyte is not read whole", async () => {
    rmSync(passwd);
    writeFileSync(passwd, "");
    truncateSync(passwd, 1024 ** 3);
    await entersAnyway();
  });

  it("with a shell that is no path is not believed", async () => {
    rmSync(passwd);
    writeFileSync(passwd, "root:x:0:0:root:/root:../../../../bin/sh\n");
    await entersAnyway();
  });
});

describe("root in a guest without an id map", () => {
  it("cannot write to islet's own program through the processes that enter the guest", async () => {
    const binary = join(root, "build/islet");
    const digest = (): string => createHash("sha256").update(readFileSync(binary)).digest("hex");
    const before = digest();
    // Appends to every program image it can reach, again and again, while others enter.
    const attack =
      "i=0; while [ $i -lt 400 ]; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || echo x >> $p/exe; done; i=$((i+1)); done";
    const attacker = command(["lxc-attach", ...store.at(name), "--", "sh", "-c", `(${attack}) 2>/dev/null; true`], {
      timeout: 60_000,
    });
    for (let round = 0; round < 60; round += 1) await command(["lxc-attach", ...store.at(name), "--", "true"]);
    await attacker;
    assert.equal(digest(), before);
  });

  it("that floods its console makes the monitor neither large nor deaf", async () => {
    const pid = (await ok(["lxc-info", ...store.at(name), "-pH"])).trim();
    const monitor = (/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? ["", ""])[1] ?? "";
    await ok(["lxc-attach", ...store.at(name), "--", "sh", "-c", "timeout 1 yes > /dev/console; true"]);
    assert.match(await ok(["lxc-info", ...store.at(name), "-sH"]), /RUNNING/);
    const rss = Number((/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${monitor}/status`, "utf8")) ?? ["", "0"])[1]);
    assert.ok(rss > 0 && rss < 2048, `the monitor has ${rss} kB`);
  });

  it("cannot put control characters on the caller's terminal through what a hook prints", async () => {
    const other = "islt-hostile2";
    busybox(store, other, "lxc.hook.pre-start = /bin/sh -c 'printf \"\\\\033[2Jgone\\\\007\" >&2; exit 1'\n");
    const result = await command(["lxc-start", ...store.at(other)]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /gone/);
    // oxlint-disable-next-line no-control-regex -- they are what is looked for
    assert.doesNotMatch(result.stderr, /[\u0000-\u0009\u000b-\u001f\u007f]/);
  });
});
