import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { showFault } from "../../../../src/base/source.js";
import {
  type ConfigFiles,
  fromSpec,
  hostFiles,
  parseConfig,
  toSpec,
} from "../../../../src/frontends/lxc/config/config.js";
import { root } from "../../../support/paths.js";
import { specOf, withoutSources } from "./helper.js";

/** Configurations that people have: of the golden tests, and those of an installed LXC. */
function filesOf(directory: string): readonly string[] {
  const names = hostFiles.list(directory) ?? [];
  return names
    .filter((name) => name.endsWith(".conf") && !name.startsWith("seccomp"))
    .map((name) => join(directory, name))
    .sort();
}

/** Files that the golden configurations name below /golden/ are in the checkout (test/golden/lxc/README.md). */
const files: ConfigFiles = {
  read: (path) => hostFiles.read(path.replace(/^\/golden\//, `${root}/test/golden/lxc/files/`)),
  list: (path) => hostFiles.list(path),
};

const goldens = filesOf(join(root, "test/golden/lxc"));
const installed = ["/usr/share/lxc/config", "/usr/share/doc/lxc/examples"].flatMap(filesOf);

for (const file of [...goldens, ...installed]) {
  const name =
    file
      .split("/")
      .at(-1)
      ?.replace(/\.conf$/, "") ?? "";
  test(`${file.replace(`${root}/`, "")} loads, makes a spec, and is the same when it is shown and read again`, () => {
    const stat = (): null => null;
    const context = { name: name.replace(/[^a-z0-9-]/g, "-"), storePath: "/var/lib/lxc", files, stat };
    const read = (text: string): ReturnType<typeof toSpec> =>
      toSpec(parseConfig({ file, text, files, nibble: () => 1 }), context);
    const first = read(readFileSync(file, "utf8"));
    if (first.kind === "faults") assert.fail(first.faults.map(showFault).join("\n"));
    const again = read(fromSpec(first.spec));
    if (again.kind === "faults") assert.fail(again.faults.map(showFault).join("\n"));
    assert.deepEqual(withoutSources(again.spec), withoutSources(first.spec));
  });
}

test("the golden tests have at least forty configurations", () => {
  assert.ok(goldens.length >= 40, String(goldens.length));
});

/** Every setting the Ubuntu server guide (LXC chapter, 2013) shows or names, with its CN made web1. */
const guide: readonly string[] = [
  "lxc.aa_profile = unconfined",
  "lxc.aa_profile = lxc-web1-profile",
  "lxc.cgroup.memory.limit_in_bytes = 320000000",
  "lxc.rootfs = /var/lib/lxc/web1/rootfs\nlxc.mount.entry=proc /var/lib/lxc/web1/rootfs/proc proc nodev,noexec,nosuid 0 0\nlxc.mount = /var/lib/lxc/web1/fstab",
  "lxc.rootfs = /dev/lxc/web1",
  "    lxc.cap.drop = sys_admin\n    \n",
  "lxc.console=/path/to/consolefile",
  "lxc.arch = x86\nlxc.arch = x86_64",
  "lxc.tty=5",
  "lxc.pts=1024",
  "lxc.devttydir = lxc",
  "lxc.network.type=empty",
  "lxc.network.type=veth\nlxc.network.link = lxcbr0\nlxc.network.flags = up\nlxc.network.hwaddr = 00:16:3e:00:00:01\nlxc.network.ipv4 = 10.0.3.5/24\nlxc.network.ipv6 = fd00::5\nlxc.network.name = eth0\nlxc.network.lxcscript.up = /up",
  "lxc.network.type=phys\nlxc.network.link = eth2",
];

for (const text of guide) {
  test(`the guide's ${JSON.stringify(text.slice(0, 60))} loads and makes a spec`, () => {
    assert.equal(
      specOf(text, { files: { "/var/lib/lxc/web1/fstab": "proc proc proc nodev,noexec,nosuid 0 0\n" } }).name,
      "web1",
    );
  });
}
