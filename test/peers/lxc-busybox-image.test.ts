import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { it } from "node:test";
import { busyboxConfig } from "../../src/frontends/lxc/templates/busybox.js";
import { fillWithBusybox } from "../../src/image/busybox.js";
import { lacks } from "../support/skip.js";

/** Path, type, mode, owner, link count, target and contents of everything below. */
function tree(root: string, at = root): readonly string[] {
  return readdirSync(at)
    .sort()
    .flatMap((name) => {
      const path = join(at, name);
      const found = lstatSync(path);
      const content = found.isSymbolicLink()
        ? readlinkSync(path)
        : found.isFile()
          ? createHash("sha256").update(readFileSync(path)).digest("hex")
          : "";
      const line = `${relative(root, path)} ${found.mode.toString(8)} ${found.uid}:${found.gid} ${found.nlink} ${content}`;
      return [line, ...(found.isDirectory() ? tree(root, path) : [])];
    });
}

it("the built-in busybox image and config are those of Debian's lxc-busybox", async (t) => {
  if (lacks(t, "lxc")) return;
  const work = mkdtempSync(join(tmpdir(), "islt-busybox-"));
  t.after(() => rmSync(work, { recursive: true }));
  const theirs = join(work, "theirs");
  const ours = join(work, "ours");
  const first = "lxc.net.0.type = empty\n";
  mkdirSync(join(theirs, "rootfs"), { recursive: true });
  mkdirSync(ours);
  writeFileSync(join(theirs, "config"), first);
  const script = "/usr/share/lxc/templates/lxc-busybox";
  const args = [`--path=${theirs}`, "--name=web", `--rootfs=${theirs}/rootfs`];
  execFileSync(script, args, { stdio: "ignore", timeout: 60_000 });
  await fillWithBusybox({ rootfs: ours, program: null, searchPath: process.env["PATH"] ?? "", owner: null });
  assert.deepEqual(tree(ours), tree(join(theirs, "rootfs")));

  const libraries = ["lib", "usr/lib", "lib64", "usr/lib64"].filter(
    (name) => lstatSync(`/${name}`, { throwIfNoEntry: false }) !== undefined,
  );
  const config = first + busyboxConfig(first, `${theirs}/rootfs`, "web", libraries);
  assert.equal(config, readFileSync(join(theirs, "config"), "utf8"));
});
