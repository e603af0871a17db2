import assert from "node:assert/strict";
import { test } from "node:test";
import { elsewhere, importedConfig, portableConfig } from "../../../../src/frontends/lxc/config/portable.js";

const directory = "/var/lib/lxc/a";
const original = `# mine
lxc.rootfs.path = loop:/var/lib/lxc/a/rootdev
lxc.rootfs.backend = loop
lxc.rootfs.managed = 1
lxc.uts.name = a
lxc.hook.pre-start = /var/lib/lxc/a/hooks/up --fast
lxc.hook.version = 1
lxc.mount.fstab = /var/lib/lxc/a/fstab
lxc.mount.entry = /srv srv none bind,create=dir 0 0
lxc.net.0.type = veth
lxc.net.0.hwaddr = 00:16:3e:11:22:33
islet.net.0.reserve = 10.0.3.7
`;

test("a configuration on its way names its own directory by a word, and not where its root file system was", () => {
  const { text, files } = portableConfig(original, directory);
  assert.deepEqual(files, ["fstab", "hooks/up"]);
  assert.equal(
    text,
    `# mine
lxc.uts.name = a
lxc.hook.pre-start = ${elsewhere}/hooks/up --fast
lxc.hook.version = 1
lxc.mount.fstab = ${elsewhere}/fstab
lxc.mount.entry = /srv srv none bind,create=dir 0 0
lxc.net.0.type = veth
lxc.net.0.hwaddr = 00:16:3e:11:22:33
islet.net.0.reserve = 10.0.3.7
`,
  );
});

const imported = (keep: boolean): ReturnType<typeof importedConfig> =>
  importedConfig({
    text: portableConfig(original, directory).text,
    directory: "/srv/lxc/b",
    root: "dir:/srv/lxc/b/rootfs",
    isPlain: true,
    hostname: keep ? null : "b",
    nibble: keep ? null : () => 5,
    keep,
    added: [],
  });

test("an imported one has paths, name and MAC address of its own, and leaves the original its reserved address", () => {
  const { text, notices } = imported(false);
  assert.match(text, /^lxc\.hook\.pre-start = \/srv\/lxc\/b\/hooks\/up --fast$/m);
  assert.match(text, /^lxc\.mount\.fstab = \/srv\/lxc\/b\/fstab$/m);
  assert.match(text, /^lxc\.rootfs\.path = dir:\/srv\/lxc\/b\/rootfs$/m);
  assert.match(text, /^lxc\.uts\.name = b$/m);
  assert.doesNotMatch(text, /11:22:33|reserve|@container@|lxc\.uts\.name = a/);
  assert.deepEqual(notices, [
    "the address 10.0.3.7 stays reserved for the original: islet.net.0.reserve is left out",
    "lxc.hook.pre-start runs /srv/lxc/b/hooks/up --fast on this host",
    "lxc.mount.entry mounts /srv of this host",
  ]);
});

test("the same container elsewhere keeps its name, MAC address and reserved address", () => {
  const { text, notices } = imported(true);
  assert.match(text, /^lxc\.uts\.name = a$/m);
  assert.match(text, /^lxc\.net\.0\.hwaddr = 00:16:3e:11:22:33$/m);
  assert.match(text, /^islet\.net\.0\.reserve = 10\.0\.3\.7$/m);
  assert.equal(notices.length, 2);
});

test("no control character of a stranger's configuration reaches the terminal", () => {
  const { notices } = importedConfig({
    text: "lxc.include = /etc/\u001b[2J\u0007x\n",
    directory: "/srv/lxc/b",
    root: "dir:/srv/lxc/b/rootfs",
    isPlain: true,
    hostname: null,
    nibble: null,
    keep: true,
    added: [],
  });
  assert.deepEqual(notices, ["lxc.include reads /etc/[2Jx of this host"]);
});
