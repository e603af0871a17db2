import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { Caller, ContainerStatus, Engine } from "../../../../src/engine/engine.js";
import {
  findDefaultConfig,
  getItem,
  getSystemItem,
  type HostAccess,
  hostFiles,
  hostStat,
  loadContainer,
  loadSpec,
  lxcSpecLoader,
  readSystemConfig,
  runningConfig,
} from "../../../../src/frontends/lxc/config/config.js";
import { memoryFiles } from "./helper.js";

const directory = mkdtempSync(join(tmpdir(), "islt-lxc-config-"));
after(() => rmSync(directory, { recursive: true }));

test("a missing system configuration means the defaults, for root and for users", () => {
  const root = readSystemConfig(memoryFiles());
  assert.equal(getSystemItem(root, "lxc.lxcpath"), "/var/lib/lxc");
  assert.equal(getSystemItem(root, "lxc.default_config"), "/etc/lxc/default.conf");
  assert.equal(getSystemItem(root, "lxc.bdev.lvm.vg"), "lxc");
  assert.equal(getSystemItem(root, "lxc.cgroup.use"), "");
  assert.equal(getSystemItem(root, "lxc.nosuch"), null);
  const user = readSystemConfig(memoryFiles(), "/home/u");
  assert.equal(getSystemItem(user, "lxc.lxcpath"), "/home/u/.local/share/lxc");
  assert.equal(user.file, "/home/u/.config/lxc/lxc.conf");
});

test("the first line of a key counts, and a comment begins in the first column", () => {
  const config = readSystemConfig(
    memoryFiles({
      "/etc/lxc/lxc.conf":
        "#lxc.lxcpath = /no\n  lxc.lxcpath = /srv/lxc/\nlxc.lxcpath = /second\nlxc.cgroup.pattern=lxc/%n\nother = 1\n",
    }),
  );
  assert.equal(getSystemItem(config, "lxc.lxcpath"), "/srv/lxc");
  assert.equal(config.items.get("lxc.cgroup.pattern"), "lxc/%n");
  assert.equal(config.holdsContainerConfig, false);
});

test("a lxc.conf of 2013 is the default configuration where default.conf is missing", () => {
  const old = "lxc.network.type=veth\nlxc.network.link=lxcbr0\nlxc.network.flags=up\n";
  const files = memoryFiles({ "/etc/lxc/lxc.conf": old });
  assert.deepEqual(findDefaultConfig(files, readSystemConfig(files)), { file: "/etc/lxc/lxc.conf", text: old });
  const both = memoryFiles({ "/etc/lxc/lxc.conf": old, "/etc/lxc/default.conf": "x" });
  assert.equal(findDefaultConfig(both, readSystemConfig(both))?.file, "/etc/lxc/default.conf");
  const none = memoryFiles({ "/etc/lxc/lxc.conf": "lxc.lxcpath = /x\n" });
  assert.equal(findDefaultConfig(none, readSystemConfig(none)), null);
});

test("of the host only plain files of a sane size are read, and /dev/null as empty", () => {
  writeFileSync(join(directory, "a.conf"), "text");
  writeFileSync(join(directory, "big"), "x".repeat(1024 * 1024 + 1));
  symlinkSync("a.conf", join(directory, "link"));
  execFileSync("mkfifo", [join(directory, "fifo")]);
  assert.equal(hostFiles.read(join(directory, "a.conf")), "text");
  assert.equal(hostFiles.read(join(directory, "link")), "text");
  for (const name of ["big", "fifo", "none", "."]) assert.equal(hostFiles.read(join(directory, name)), null, name);
  assert.equal(hostFiles.read("/dev/zero"), null);
  assert.equal(hostFiles.read("/dev/null"), "");
  assert.ok(hostFiles.list(directory)?.includes("a.conf"));
  assert.equal(hostFiles.list(join(directory, "a.conf")), null);
});

test("devices of the host have their numbers", () => {
  assert.deepEqual(hostStat("/dev/null"), { type: "c", major: 1, minor: 3 });
  assert.equal(hostStat(directory)?.type, "dir");
  assert.equal(hostStat(join(directory, "a.conf"))?.type, "file");
  assert.equal(hostStat("/nonexistent"), null);
});

const caller: Caller = { uid: 0, gid: 0, pid: 1, environment: {}, cwd: directory };
const access: HostAccess = { files: hostFiles, stat: hostStat, nibble: () => 5 };
const id = { storePath: "/var/lib/lxc", name: "web1" };

/** The two calls that loading makes; any other would fail the test. */
function store(text: string | null): { readonly engine: Engine; readonly written: string[] } {
  const written: string[] = [];
  const engine = {
    readConfig: async () => (text === null ? null : { file: "/var/lib/lxc/web1/config", text }),
    writeConfig: async (_: unknown, content: string) => void written.push(content),
  };
  return { engine: engine as unknown as Engine, written };
}

test("loading fills in hwaddr templates and writes the file back, but not one with faults", async () => {
  const good = store("lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\n");
  const loaded = await loadContainer(good.engine, id, { caller, host: access });
  assert.equal(loaded.defined, true);
  assert.deepEqual(good.written, ["lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:55:55:55\n"]);
  const bad = store("lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\nlxc.tty.max = x\n");
  assert.equal((await loadContainer(bad.engine, id, { caller, host: access })).config.faults.length, 1);
  assert.deepEqual(bad.written, []);
});

test("a container without a file has an empty configuration and is not defined", async () => {
  const loaded = await loadContainer(store(null).engine, id, { caller, host: access });
  assert.equal(loaded.defined, false);
  assert.equal(getItem(loaded.config, "lxc.uts.name"), "");
  await assert.rejects(lxcSpecLoader(id, caller, store(null).engine), { code: "ISLET_NOT_FOUND" });
});

test("an rcfile takes the place of the container's file, relative to the caller's directory, and is never rewritten", async () => {
  mkdirSync(join(directory, "sub"));
  writeFileSync(join(directory, "sub", "rc"), "lxc.uts.name = rc\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\n");
  const { engine, written } = store("lxc.uts.name = own\n");
  const loaded = await loadContainer(engine, id, {
    caller,
    host: access,
    rcfile: "sub/rc",
    defines: ["lxc.tty.max = 3"],
  });
  assert.equal(getItem(loaded.config, "lxc.uts.name"), "rc");
  assert.equal(getItem(loaded.config, "lxc.tty.max"), "3");
  assert.equal(loaded.config.document.file, join(directory, "sub/rc"));
  assert.deepEqual(written, []);
  await assert.rejects(loadContainer(engine, id, { caller, host: access, rcfile: "none" }), {
    code: "ISLET_BAD_CONFIG",
  });
});

test("a spec carries the configuration it was made of, for questions about the running container", async () => {
  const { spec } = await loadSpec(store("lxc.include = /dev/null\nlxc.tty = 4\n").engine, id, { caller, host: access });
  const status = { ...id, annotations: spec.annotations } as unknown as ContainerStatus;
  const running = runningConfig(status);
  assert.ok(running);
  assert.equal(getItem(running, "lxc.tty.max"), "4");
  assert.equal(runningConfig({ ...status, annotations: {} }), null);
});

test("a configuration that cannot be used is one error with all its faults", async () => {
  await assert.rejects(
    loadSpec(store("lxc.tty.max = x\nlxc.foo = 1\n").engine, id, { caller, host: access }),
    (error: unknown) => {
      assert.ok(error instanceof IsletError);
      assert.equal(error.code, "ISLET_BAD_CONFIG");
      assert.equal(error.faults.length, 2);
      return true;
    },
  );
});
