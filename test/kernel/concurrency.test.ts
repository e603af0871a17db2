import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bin } from "../support/paths.js";
import { instance, processesOf, traces, watchTraces, type Instance } from "../support/instance.js";
import { end } from "../support/host.js";
import { busybox, busyboxConfig } from "../support/store.js";
import { waitFor } from "../support/wait.js";

const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0") / 1024;

/** A hook that says that it has begun, and goes on when the test lets it. */
function gate(own: Instance): {
  readonly hook: string;
  readonly reached: () => Promise<unknown>;
  readonly open: () => void;
} {
  const here = join(own.runtimeDir, "../gate-reached");
  const open = join(own.runtimeDir, "../gate-open");
  const script = join(own.runtimeDir, "../gate");
  writeFileSync(script, `#!/bin/sh\n: > ${here}\nwhile [ ! -e ${open} ]; do sleep 0.05; done\n`, { mode: 0o755 });
  return {
    hook: script,
    reached: () => waitFor("the hook", () => existsSync(here)),
    open: () => {
      writeFileSync(open, "");
    },
  };
}

test("of two starts at once one wins, and the other says that it runs", async (t) => {
  const own = await instance(t);
  busybox(own.store, "islt-c");
  const at = own.store.at("islt-c");
  const before = await watchTraces(own, ["islt-c"]);
  for (let round = 0; round < 5; round += 1) {
    const both = await Promise.all([own.command(["lxc-start", ...at]), own.command(["lxc-start", ...at])]);
    assert.deepEqual(
      both.map((result) => result.status),
      [0, 0],
    );
    assert.deepEqual(both.map((result) => result.stderr).sort(), [
      "",
      "lxc-start: islt-c: Container is already running\n",
    ]);
    assert.equal(processesOf(own.store.path, []).length, 1, "one monitor");
    await own.ok(["lxc-stop", ...at, "-k"]);
    await before.assertGone("after the stop");
  }
});

test("a start under way is seen, stands in nobody's way, and a stop aborts it", async (t) => {
  const own = await instance(t);
  const { hook, reached } = gate(own);
  busybox(own.store, "islt-c", `lxc.hook.pre-start = ${hook}`);
  const at = own.store.at("islt-c");
  const before = await watchTraces(own, ["islt-c"]);
  const starting = own.command(["lxc-start", ...at]);
  await reached();
  assert.equal(await own.ok(["lxc-info", ...at, "-sH"]), "STARTING\n");
  const second = await own.command(["lxc-start", ...at]);
  assert.deepEqual([second.status, second.stderr], [0, "lxc-start: islt-c: Container is already running\n"]);
  const destroyed = await own.command(["lxc-destroy", ...at]);
  assert.deepEqual([destroyed.status, destroyed.stderr], [1, "lxc-destroy: islt-c: islt-c is running\n"]);
  const attached = await own.command(["lxc-attach", ...at, "--", "true"]);
  assert.equal(attached.status, 1);
  await own.ok(["lxc-stop", ...at, "-k"]);
  const started = await starting;
  assert.equal(started.status, 1);
  assert.match(started.stderr, /ECANCELED/);
  await before.assertGone("after the stop");
  const left = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(hook));
  assert.deepEqual(left, [], "the hook is gone");
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has ended meanwhile
  }
}

test("a clean stop during a start ends it too", async (t) => {
  const own = await instance(t);
  const { hook, reached } = gate(own);
  busybox(own.store, "islt-c", `lxc.hook.start-host = ${hook}`);
  const at = own.store.at("islt-c");
  const before = await watchTraces(own, ["islt-c"]);
  const starting = own.command(["lxc-start", ...at]);
  await reached();
  await own.ok(["lxc-stop", ...at, "-t", "10"]);
  assert.equal((await starting).status, 1);
  await before.assertGone("after the stop");
});

test("lxc-destroy -f ends whoever is attached and leaves nothing", async (t) => {
  const own = await instance(t);
  busybox(own.store, "islt-c");
  const at = own.store.at("islt-c");
  await own.ok(["lxc-start", ...at]);
  const attached = own.command(["lxc-attach", ...at, "--", "sh", "-c", "echo there > /tmp/there; sleep 1000"]);
  await waitFor("the attached process", () => existsSync(join(own.store.path, "islt-c/rootfs/tmp/there")));
  const refused = await own.command(["lxc-destroy", ...at]);
  assert.deepEqual([refused.status, refused.stderr], [1, "lxc-destroy: islt-c: islt-c is running\n"]);
  await own.ok(["lxc-destroy", ...at, "-f"]);
  assert.equal((await attached).status, 137);
  assert.equal(existsSync(join(own.store.path, "islt-c")), false);
  assert.deepEqual(
    traces(own, ["islt-c"]).filter((line) => !line.startsWith("file ")),
    [],
  );
});

test("twenty containers start at once, are entered a hundred times at once, and stop at once", async (t) => {
  const own = await instance(t);
  const names = Array.from({ length: 20 }, (_, index) => `islt-c${index + 100}`);
  for (const name of names) busybox(own.store, name);
  const before = await watchTraces(own, names);
  await Promise.all(names.map((name) => own.ok(["lxc-start", ...own.store.at(name)])));
  assert.equal((await own.ok(["lxc-ls", "-P", own.store.path, "-1", "--running"])).trim(), names.join("\n"));
  const outputs = await Promise.all(
    Array.from({ length: 100 }, (_, index) => {
      const name = names[index % names.length] ?? "";
      return own.ok(["lxc-attach", ...own.store.at(name), "--", "sh", "-c", `echo ${index} $(hostname)`]);
    }),
  );
  assert.deepEqual(
    outputs,
    outputs.map((_, index) => `${index} ${names[index % names.length] ?? ""}\n`),
  );
  await Promise.all(names.map((name) => own.ok(["lxc-stop", ...own.store.at(name), "-k"])));
  await before.assertGone("after the stops");
});

test("a hundred clients start a hundred containers at once, and stop them at once; the daemon is as before", async (t) => {
  const own = await instance(t);
  const names = Array.from({ length: 100 }, (_, index) => `islt-h${index + 100}`);
  // One root file system for all: they write nothing.
  const rootfs = busybox(own.store, "islt-h0");
  for (const name of names) {
    mkdirSync(join(own.store.path, name));
    const config = `${busyboxConfig(rootfs, name)}lxc.init.cmd = /bin/sleep 3600\n`;
    writeFileSync(join(own.store.path, name, "config"), config);
  }
  const before = await watchTraces(own, names);
  const all = async (argv: readonly string[]): Promise<void> => {
    const [command = "", ...words] = argv;
    const results = await Promise.all(
      names.map((name) => own.command([command, ...own.store.at(name), ...words], { timeout: 60_000 })),
    );
    assert.deepEqual([...new Set(results.map(({ status, stderr }) => `${status} ${stderr}`))], ["0 "]);
  };
  const memory: number[] = [];
  for (let round = 0; round < 2; round += 1) {
    await all(["lxc-start"]);
    assert.equal((await own.ok(["lxc-ls", "-P", own.store.path, "-1", "--running"])).trim(), names.join("\n"));
    assert.equal(processesOf(own.store.path, []).length, 100, "a monitor for each");
    await all(["lxc-stop", "-k"]);
    await before.assertGone("after the stops");
    memory.push(residentMiB(own.pid()));
  }
  // The first round makes room that stays; the second must find it.
  const [first = 0, second = 0] = memory;
  assert.ok(first < 200 && second < first + 32, `${first} MiB after the first round, ${second} MiB after the second`);
});

test("start and stop in quick turns, from two sides, end in a known state", async (t) => {
  const own = await instance(t);
  busybox(own.store, "islt-c");
  const at = own.store.at("islt-c");
  const before = await watchTraces(own, ["islt-c"]);
  const turns = async (argv: readonly string[], allowed: readonly number[]): Promise<void> => {
    for (let round = 0; round < 15; round += 1) {
      const result = await own.command([...argv], { timeout: 20_000 });
      assert.ok(allowed.includes(result.status), `${argv.join(" ")}: ${result.status} ${result.stderr}`);
    }
  };
  await Promise.all([turns(["lxc-start", ...at], [0, 1]), turns(["lxc-stop", ...at, "-k"], [0, 2])]);
  await own.command(["lxc-stop", ...at, "-k"]);
  assert.equal(await own.ok(["lxc-info", ...at, "-sH"]), "STOPPED\n");
  await before.assertGone("after all turns");
  await own.ok(["lxc-start", ...at]);
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("a client that is killed in the middle of lxc-create leaves no container", async (t) => {
  const own = await instance(t);
  const template = join(own.runtimeDir, "../template");
  const reached = join(own.runtimeDir, "../template-reached");
  writeFileSync(template, `#!/bin/sh\necho $$ > ${reached}\nexec sleep 1000\n`, { mode: 0o755 });
  const config = join(own.runtimeDir, "../config");
  writeFileSync(config, "lxc.net.0.type = empty\n");
  const argv = [...own.store.at("islt-c"), "-t", template, "-f", config];
  const client = spawn(bin("lxc-create"), argv, {
    env: { PATH: process.env["PATH"], ISLET_RUNTIME_DIR: own.runtimeDir },
    stdio: "ignore",
  });
  await waitFor("the template", () => existsSync(reached) && readFileSync(reached, "utf8") !== "");
  const other = await own.command(["lxc-start", ...own.store.at("islt-c")]);
  assert.equal(other.status, 1);
  assert.match(other.stderr, /islt-c is being created/);
  const twice = await own.command(["lxc-create", ...own.store.at("islt-c"), "-t", "none", "-f", config]);
  assert.equal(twice.status, 1);
  assert.equal(await own.ok(["lxc-ls", "-P", own.store.path, "-1"]), "");
  client.kill("SIGKILL");
  await waitFor("the container to be gone", () => !existsSync(join(own.store.path, "islt-c")));
  await waitFor("the template to be gone", () => !existsSync(`/proc/${readFileSync(reached, "utf8").trim()}`));
  await own.ok(["lxc-create", ...own.store.at("islt-c"), "-t", "none", "-f", config]);
  await own.ok(["lxc-destroy", ...own.store.at("islt-c")]);
});

test("lxc-start -d in a pipe ends: neither monitor nor daemon keeps a descriptor of the caller's", async (t) => {
  const own = await instance(t);
  busybox(own.store, "islt-c");
  const at = own.store.at("islt-c");
  // No daemon yet: it is started by this very command, with descriptors 3 to 9 open besides.
  end(own.pid(), "SIGTERM");
  await waitFor("the daemon to end", () => !existsSync(join(own.runtimeDir, "socket")));
  const pipe = `lxc-start ${at.join(" ")} 3>&1 4>&1 5>&1 6>&1 7>&1 8>&1 9>&1 | cat; echo ended`;
  const path = `${join(bin("lxc-start"), "..")}:${process.env["PATH"] ?? ""}`;
  assert.equal(await own.ok(["sh", "-c", pipe], { timeout: 10_000, env: { PATH: path } }), "ended\n");
  assert.equal(await own.ok(["lxc-info", ...at, "-sH"]), "RUNNING\n");
  await own.ok(["lxc-stop", ...at, "-k"]);
});
