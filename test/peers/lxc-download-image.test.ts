import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import {
  createMessage,
  finishImageRoot,
  imageConfig,
  relevantFile,
  fillVariables,
} from "../../src/frontends/lxc/templates/lxc-image.js";
import { createRootEditor } from "../../src/image/root-editor.js";
import { excluder } from "../../src/image/simplestreams-maker.js";
import { currentArch } from "../support/image.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { packedTree, writeTree } from "../support/test-image.js";

const files: Readonly<Record<string, string>> = {
  config: "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.arch = x86_64\n# of LXC_NAME in LXC_ROOTFS\n",
  "config-system": "lxc.include = LXC_TEMPLATE_CONFIG/common.conf\nlxc.hook.clone = LXC_HOOK_DIR/clonehostname\n",
  "config-system.7": "lxc.include = LXC_TEMPLATE_CONFIG/seven.conf\n# LXC_NAME LXC_PATH LXC_ROOTFS\n",
  "config-user": "# not for us\n",
  fstab: "proc proc proc nodev 0 0\n# LXC_PATH\n",
  templates: "etc/hostname\netc/hosts\netc/none\n",
  excludes: "./dev/*\n./var/cache/*.bin\n",
  "create-message": "You just created LXC_NAME.\n\nHave fun.\n",
};
const tree: Readonly<Record<string, string>> = {
  "etc/hostname": "LXC_NAME\n",
  "etc/hosts": "127.0.1.1 LXC_NAME # LXC_ROOTFS\n",
  "etc/init/tty.conf": "exec mingetty tty1\n",
  "dev/node": "",
  "var/cache/a.bin": "",
  "var/cache/a.txt": "",
};
const given = `# A comment of the host's
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0

lxc.rootfs.path = dir:/srv/x
foreign = 1
`;

it("an image becomes the container that Debian's lxc-download makes of it", (t) => {
  if (lacks(t, "lxc")) return;
  const work = mkdtempSync(join(testDir, "lxc-download-"));
  t.after(() => {
    rmSync(work, { recursive: true });
  });
  // Their cache, filled: the script asks nobody.
  const cached = join(work, "cache/download/busybox/1/amd64/default");
  mkdirSync(cached, { recursive: true });
  writeTree(cached, files);
  const archive = packedTree((directory) => {
    writeTree(directory, tree);
  });
  writeFileSync(join(cached, "rootfs.tar.xz"), archive);
  const path = join(work, "theirs");
  mkdirSync(join(path, "rootfs"), { recursive: true });
  writeFileSync(join(path, "config"), given);
  const image = ["-d", "busybox", "-r", "1", "-a", "amd64", "--force-cache"];
  const container = { name: "web", path, rootfs: `${path}/rootfs`, idmap: [] };
  const printed = execFileSync(
    "/usr/share/lxc/templates/lxc-download",
    [...image, `--path=${path}`, "--name=web", `--rootfs=${container.rootfs}`],
    { env: { ...process.env, LXC_CACHE_PATH: join(work, "cache") }, encoding: "utf8", timeout: 60_000 },
  );

  assert.equal(imageConfig(given, files, container), readFileSync(join(path, "config"), "utf8"));
  const fstab = relevantFile(files, "fstab", container) ?? "";
  assert.equal(fillVariables(fstab, container), readFileSync(join(path, "fstab"), "utf8"));
  assert.ok(printed.endsWith(createMessage(files, container)), printed);

  const ours = join(work, "ours");
  mkdirSync(ours);
  const isExcluded = excluder(files["excludes"] ?? "");
  writeTree(ours, Object.fromEntries(Object.entries(tree).filter(([name]) => !isExcluded(name))));
  const root = openSync(ours, "r");
  try {
    finishImageRoot(createRootEditor(currentArch, root, []), files, container);
  } finally {
    closeSync(root);
  }
  const all = (directory: string): string =>
    execFileSync(
      "sh",
      ["-c", "cd \"$1\" && find . -type f -printf '%p\\n' -exec cat {} + | sort; ls -d dev dev/pts", "sh", directory],
      { encoding: "utf8" },
    );
  assert.equal(all(ours), all(join(path, "rootfs")));
});
