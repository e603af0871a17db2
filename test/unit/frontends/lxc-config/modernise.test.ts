import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { showFault } from "../../../../src/base/source.js";
import { moderniseConfig } from "../../../../src/frontends/lxc/config/config.js";
import { legacyNames } from "../../../../src/frontends/lxc/config/legacy.js";
import { configPath, memoryFiles, parse } from "./helper.js";

const modernise = (text: string, files: Readonly<Record<string, string>> = {}): string => {
  const result = moderniseConfig({ file: configPath, text, files: memoryFiles(files) });
  assert.equal(result.kind, "done");
  assert.equal(result.kind === "done" && result.isChanged, result.kind === "done" && result.text !== text);
  return result.kind === "done" ? result.text : "";
};

test("every old key becomes today's, every key without effect goes", () => {
  for (const [old, name] of Object.entries(legacyNames)) {
    if (old === "lxc.rootfs") continue;
    const now = name === null ? "" : `${name} = x\n`;
    assert.equal(modernise(`${old} = x\nlxc.arch = x86\n`), `${now}lxc.arch = x86\n`, old);
  }
  assert.equal(modernise("lxc.limit.nofile = 5\n"), "lxc.prlimit.nofile = 5\n");
});

test("present keys, comments, blank and foreign lines, blanks and line ends stay as they are", () => {
  const text = "# a\r\n\r\n  lxc.mount.entry = a b none bind 0 0\r\nforeign\r\rlxc.tty.max=1\n\n\nlxc.cap.drop =";
  assert.equal(modernise(text), text);
  assert.equal(
    modernise("\tlxc.tty\t=4\r\nlxc.kmsg = 0\r\n lxc.utsname= a = b"),
    "\tlxc.tty.max\t=4\r\n lxc.uts.name= a = b",
  );
});

test("a root file system gets its type: of lxc.rootfs.backend wherever that stands, else a directory", () => {
  const path = (lines: string): string => modernise(lines).trimEnd();
  assert.equal(path("lxc.rootfs = /srv/web\n"), "lxc.rootfs.path = dir:/srv/web");
  assert.equal(path('lxc.rootfs = "/srv/my web"\n'), 'lxc.rootfs.path = "dir:/srv/my web"');
  for (const lines of [
    "lxc.rootfs.backend = lvm\nlxc.rootfs=/dev/vg/web\n",
    "lxc.rootfs=/dev/vg/web\nlxc.rootfs.backend=lvm\n",
  ])
    assert.equal(path(lines), "lxc.rootfs.path=lvm:/dev/vg/web");
  assert.equal(path("lxc.rootfs = /dev/vg/web\n"), "lxc.rootfs.path = /dev/vg/web");
  assert.equal(path("lxc.rootfs = overlayfs:/a:/b\n"), "lxc.rootfs.path = overlayfs:/a:/b");
  assert.equal(path("lxc.rootfs =\n"), "lxc.rootfs.path =");
});

test("network devices are numbered in order, and behind those that have a number", () => {
  assert.equal(
    modernise(
      "lxc.network.type = veth\nlxc.network.link = br0\nlxc.network.ipv4 = 10.0.0.1\nlxc.network.ipv4.gateway = 10.0.0.9\n" +
        "lxc.network.type = veth\nlxc.network.lxcscript.up = /up\n",
    ),
    "lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.ipv4.address = 10.0.0.1\nlxc.net.0.ipv4.gateway = 10.0.0.9\n" +
      "lxc.net.1.type = veth\nlxc.net.1.script.up = /up\n",
  );
  assert.equal(
    modernise("lxc.net.3.type = empty\nlxc.network.type = veth\nlxc.network.7.type = veth\nlxc.network.flags = up\n"),
    "lxc.net.3.type = empty\nlxc.net.4.type = veth\nlxc.net.7.type = veth\nlxc.net.4.flags = up\n",
  );
  assert.equal(
    modernise("lxc.include = /i\nlxc.network.type = veth\n", { "/i": "lxc.net.0.type = empty\n" }),
    "lxc.include = /i\nlxc.net.1.type = veth\n",
  );
  assert.equal(modernise("lxc.network =\nlxc.network.2 =\n"), "lxc.net =\nlxc.net.2 =\n");
});

test("a setting that was commented out is renamed where its meaning hangs on no other line", () => {
  assert.equal(
    modernise(
      "#lxc.utsname = a\n # lxc.rootfs = /b\n## lxc.limit.core=1\n#lxc.network.type = veth\n# lxc.tty is old\n",
    ),
    "#lxc.uts.name = a\n # lxc.rootfs.path = dir:/b\n## lxc.prlimit.core=1\n#lxc.network.type = veth\n# lxc.tty is old\n",
  );
});

test("a network line before any type is unclear, with its place", () => {
  const result = moderniseConfig({
    file: configPath,
    text: "lxc.tty = 1\nlxc.network.link = br0\n",
    files: memoryFiles(),
  });
  assert.equal(result.kind, "unclear");
  assert.match(
    result.kind === "unclear" ? result.faults.map(showFault).join("\n") : "",
    /^lxc\.network\.link comes before any lxc\.network\.type: .* \(\/var\/lib\/lxc\/web1\/config:2 lxc\.network\.link\)$/,
  );
});

test("faulty lines and includes that are missing hinder nothing", () => {
  assert.equal(
    modernise("lxc.bogus = 1\nlxc.tty = many\nlxc.include = /nosuch\n"),
    "lxc.bogus = 1\nlxc.tty.max = many\nlxc.include = /nosuch\n",
  );
});

const golden = join(import.meta.dirname, "../../../../../test/golden/lxc");
for (const name of readdirSync(golden).filter((each) => each.endsWith(".conf"))) {
  test(`${name} means the same afterwards, has no old key left, and is left alone the second time`, () => {
    const text = readFileSync(join(golden, name), "utf8");
    const once = modernise(text);
    const typed = (expanded: string): string => expanded.replace(/^(lxc\.rootfs\.path = )dir:/m, "$1");
    assert.equal(typed(parse(once).expanded), typed(parse(text).expanded));
    assert.deepEqual(
      parse(once).notices.filter((notice) => notice.kind === "legacy"),
      [],
    );
    assert.equal(modernise(once), once);
  });
}
