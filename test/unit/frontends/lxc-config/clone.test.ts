import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cloneConfig, type CloneInput } from "../../../../src/frontends/lxc/config/clone.js";

const copy: CloneInput = {
  text: "",
  from: "/s/a",
  to: "/s/b",
  root: "dir:/s/b/rootfs",
  upper: null,
  isPlain: true,
  hostname: "b",
  nibble: () => 7,
  purpose: "copy",
  idmap: null,
  added: [],
};
const tail = "lxc.rootfs.path = dir:/s/b/rootfs\nlxc.uts.name = b\n";
const clone = (text: string, change: Partial<CloneInput> = {}): string =>
  cloneConfig({ ...copy, ...change, text }).text;

test("a copy has its own root file system and name, and all other lines of the original", () => {
  const text = "# about\n\nlxc.uts.name = a\nlxc.rootfs.path = dir:/s/a/rootfs\n  lxc.tty.max=4\nfoo.bar = 1\n";
  assert.equal(clone(text), `# about\n\n  lxc.tty.max=4\nfoo.bar = 1\n${tail}`);
});

test("comments and unknown lines stay as they are, whatever is in them", () => {
  const line = fc.oneof(
    fc.stringMatching(/^#[ -~]{0,40}$/),
    fc.stringMatching(/^[a-km-z][a-z.]{0,20} = [ -~]{0,20}$/).filter((text) => !text.startsWith("islet.")),
    fc.constant(""),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const text = lines.map((each) => `${each}\n`).join("");
      assert.equal(clone(text), text + tail);
    }),
  );
});

test("MAC addresses are new ones, or kept when that is asked for", () => {
  const text = "lxc.net.0.hwaddr = 00:16:3e:11:22:33\n";
  assert.equal(clone(text), `lxc.net.0.hwaddr = 00:16:3e:77:77:77\n${tail}`);
  assert.equal(clone(text, { nibble: null }), text + tail);
});

test("hooks and the fstab in the container's directory go along; those elsewhere are used by both", () => {
  const text = "lxc.hook.start = /s/a/up.sh now /s/a\nlxc.hook.stop = /usr/bin/down\nlxc.mount.fstab = /s/a/fstab\n";
  const made = cloneConfig({ ...copy, text });
  assert.equal(
    made.text,
    `lxc.hook.start = /s/b/up.sh now /s/a\nlxc.hook.stop = /usr/bin/down\nlxc.mount.fstab = /s/b/fstab\n${tail}`,
  );
  assert.deepEqual(made.files, ["fstab", "up.sh"]);
});

test("a hook within the root file system is the copy's own, without being copied twice", () => {
  const made = cloneConfig({ ...copy, text: "lxc.hook.mount = /s/a/rootfs/hook\n" });
  assert.equal(made.text, `lxc.hook.mount = /s/b/rootfs/hook\n${tail}`);
  assert.deepEqual(made.files, []);
});

test("the console's log is the copy's own", () => {
  assert.equal(clone("lxc.console.logfile = /s/a/log\n"), `lxc.console.logfile = /s/b/log\n${tail}`);
  assert.equal(clone("lxc.console.logfile = /s/ab/log\n"), `lxc.console.logfile = /s/ab/log\n${tail}`);
});

test("a directory beside the root file system is shared, and the user is told", () => {
  const made = cloneConfig({ ...copy, text: "lxc.mount.entry = /s/a/data data none bind 0 0\n" });
  assert.equal(made.text, `lxc.mount.entry = /s/a/data data none bind 0 0\n${tail}`);
  assert.deepEqual(made.notices, ["/s/a/data is not copied: both containers have it (lxc.mount.entry)"]);
});

test("a reserved address is not reserved twice, and a fixed one is told", () => {
  const made = cloneConfig({
    ...copy,
    text: "islet.net.0.reserve = 10.0.3.5\nlxc.net.0.ipv4.address = 10.0.3.6/24\nislet.uuid = 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n",
  });
  assert.equal(made.text, `lxc.net.0.ipv4.address = 10.0.3.6/24\n${tail}`);
  assert.equal(made.notices.length, 2);
});

test("a container that is put aside keeps what makes it itself", () => {
  const text = "islet.net.0.reserve = 10.0.3.5\nlxc.net.0.hwaddr = 00:16:3e:11:22:33\nlxc.uts.name = a\n";
  const kept = cloneConfig({ ...copy, text, purpose: "keep", hostname: null, nibble: null });
  assert.equal(kept.text, `${text}lxc.rootfs.path = dir:/s/b/rootfs\n`);
  assert.deepEqual(kept.notices, []);
});

test("with a new name everything in the directory is found where it is now, and nothing is copied", () => {
  const text =
    "lxc.include = /s/a/more.conf\nlxc.mount.entry = /s/a/data data none bind 0 0\nlxc.hook.start = /s/a/x\n";
  const moved = cloneConfig({ ...copy, text, purpose: "move", nibble: null });
  assert.equal(
    moved.text,
    `lxc.include = /s/b/more.conf\nlxc.mount.entry = /s/b/data data none bind 0 0\nlxc.hook.start = /s/b/x\n${tail}`,
  );
  assert.deepEqual(moved.files, []);
});

test("without a root file system of its own a copy has the original's", () => {
  const text = "lxc.rootfs.path = dir:/srv/x\nlxc.rootfs.managed = 0\n";
  assert.equal(clone(text, { root: null }), `${text}lxc.uts.name = b\n`);
});

test("an id map is replaced whole", () => {
  const text = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
  assert.equal(clone(text, { idmap: ["u 0 300000 65536"] }), `lxc.idmap = u 0 300000 65536\n${tail}`);
});

test("quotes around a value stay", () => {
  assert.equal(clone('lxc.hook.start = "/s/a/up.sh"\n'), `lxc.hook.start = "/s/b/up.sh"\n${tail}`);
});

test("a last line without its end does not run into what is added", () => {
  assert.equal(clone("lxc.tty.max = 1"), `lxc.tty.max = 1\n${tail}`);
});
