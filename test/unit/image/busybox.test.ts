import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fillWithBusybox } from "../../../src/image/busybox.js";

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "islt-image-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}
const mode = (path: string): number => statSync(path).mode & 0o7777;

describe("the busybox image", () => {
  it("has init, shell and applets as links to one busybox, and the files that init needs", async (t) => {
    const rootfs = directory(t);
    await fillWithBusybox({ rootfs, program: null, searchPath: "/usr/bin:/bin", owner: null });
    const inside = (path: string): string => join(rootfs, path);
    assert.equal(readlinkSync(inside("bin/sh")), "busybox");
    assert.equal(statSync(inside("sbin/init")).ino, statSync(inside("bin/busybox")).ino);
    assert.equal(mode(inside("bin/busybox")), 0o6755);
    assert.equal(mode(inside("tmp")), 0o1777);
    assert.equal(mode(inside("etc/init.d/rcS")), 0o744);
    assert.equal(
      readFileSync(inside("etc/init.d/rcS"), "utf8"),
      "#!/bin/sh\n/bin/syslogd\n/bin/mount -a\n/bin/udhcpc\n",
    );
    assert.match(readFileSync(inside("etc/inittab"), "utf8"), /^::sysinit:\/etc\/init.d\/rcS$/m);
    for (const path of ["dev/pts", "proc", "sys", "usr/lib64", "var/run"]) {
      assert.ok(lstatSync(inside(path)).isDirectory(), path);
      assert.equal(mode(inside(path)), 0o755, path);
    }
  });
  it("names the package when there is no busybox", async (t) => {
    const rootfs = directory(t);
    await assert.rejects(fillWithBusybox({ rootfs, program: null, searchPath: rootfs, owner: null }), {
      code: "ISLET_UNSUPPORTED",
      hint: /busybox-static/,
    });
    await assert.rejects(fillWithBusybox({ rootfs, program: "/nonexistent", searchPath: "", owner: null }), {
      code: "ISLET_BAD_REQUEST",
      message: /\/nonexistent/,
    });
    assert.ok(!existsSync(join(rootfs, "bin")));
  });
  it("refuses a program that is no busybox", async (t) => {
    const request = { rootfs: directory(t), program: "/bin/false", searchPath: "", owner: null };
    await assert.rejects(fillWithBusybox(request), { code: "ISLET_BAD_REQUEST" });
  });
});
