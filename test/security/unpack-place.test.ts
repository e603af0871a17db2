import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cleanup } from "../support/cleanup.js";
import { instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { archive } from "../support/tar.js";

/** A program in tar's place that does its worst, as a tar with a fault might when it meets the right archive. */
const evil = `#!/bin/sh
for word; do case $word in --directory=*) root=\${word#--directory=};; esac; done
{
  touch "CONTROL/outside" "$root/../../outside" /etc/islt-outside /tmp/islt-outside /run/islt-outside
  sleep 987654 >/dev/null &
  echo done
} >"$root/said" 2>&1
cat >/dev/null
`;

describe("whatever unpacks an archive", () => {
  it("can write to the new root only, and leaves no process behind", async (t) => {
    const control = mkdtempSync(join(testDir, "islt-evil-"));
    chmodSync(control, 0o755);
    cleanup(t)(() => {
      rmSync(control, { recursive: true, force: true });
    });
    writeFileSync(join(control, "tar"), evil.replaceAll("CONTROL", control), { mode: 0o755 });
    writeFileSync(join(control, "image.tar"), archive({ name: "fine", data: "x" }));
    const islet = await instance(t, { env: { ISLET_IMAGE_CACHE: join(control, "cache") } });
    const env = { PATH: `${control}:${process.env["PATH"] ?? ""}` };
    await islet.ok(["lxc-create", ...islet.store.at("x"), "-t", "local", "--", "-f", join(control, "image.tar")], {
      env,
    });
    const root = join(islet.store.path, "x/rootfs");
    const said = readFileSync(join(root, "said"), "utf8");
    assert.ok(said.split("\n").filter((line) => line.includes("Read-only file system")).length >= 5, said);
    assert.match(said, /^done$/m);
    const places = [join(control, "outside"), "/etc/islt-outside", "/tmp/islt-outside", "/run/islt-outside"];
    for (const path of places) assert.ok(!existsSync(path), path);
    assert.ok(!existsSync(join(islet.store.path, "outside")));
    const sleeping = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes("987654"));
    assert.deepEqual(sleeping, []);
  });
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return ""; // it has ended
  }
}
