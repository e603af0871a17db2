import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { type Instance, instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { compileGuestInit } from "../support/systemd-like-init.js";
import { waitFor } from "../support/wait.js";

/** The daemon's helpers that keep moves between cgroups quick. */
function helpers(daemon: number): readonly number[] {
  const tasks = readdirSync(`/proc/${daemon}/task`);
  const children = tasks.flatMap((task) => readFileSync(`/proc/${daemon}/task/${task}/children`, "utf8").split(" "));
  return children
    .map(Number)
    .filter((pid) => pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("islet\0moves\0"));
}

/** A guest whose init is called systemd. */
function withSystemd(islet: Instance, name: string): void {
  const init = join(busybox(islet.store, name, "lxc.init.cmd = /usr/lib/systemd/systemd\n"), "usr/lib/systemd/systemd");
  mkdirSync(dirname(init), { recursive: true });
  compileGuestInit(init);
}

const started = async (t: TestContext): Promise<Instance> => {
  const islet = await instance(t);
  for (const name of ["islt-moves-1", "islt-moves-2"]) withSystemd(islet, name);
  return islet;
};
const start = (islet: Instance, name: string): Promise<string> =>
  islet.ok(["lxc-start", ...islet.store.at(name), "-d"]);
const kill = (islet: Instance, name: string): Promise<string> => islet.ok(["lxc-stop", ...islet.store.at(name), "-k"]);

test("while guests with systemd boot, one helper in the daemon's own cgroup keeps moves quick", async (t) => {
  if (lacks(t, "root")) return;
  const islet = await started(t);
  await start(islet, "islt-moves-1");
  await waitFor("the helper", () => helpers(islet.pid()).length === 1);
  const [helper = 0] = helpers(islet.pid());
  const cgroups = (pid: number): string => readFileSync(`/proc/${pid}/cgroup`, "utf8");
  assert.equal(cgroups(helper), cgroups(islet.pid()));
  await start(islet, "islt-moves-2");
  await sleep(100);
  assert.deepEqual(helpers(islet.pid()), [helper]);
  await kill(islet, "islt-moves-1");
  await sleep(100);
  assert.deepEqual(helpers(islet.pid()), [helper]);
  await kill(islet, "islt-moves-2");
  await waitFor("the helper to go with the last of them", () => helpers(islet.pid()).length === 0);
});

test("the helper goes when they have had time to boot; a guest that is thawed then gets none", async (t) => {
  if (lacks(t, "root")) return;
  const islet = await started(t);
  await start(islet, "islt-moves-1");
  await waitFor("the helper", () => helpers(islet.pid()).length === 1);
  await waitFor("its end", () => helpers(islet.pid()).length === 0, { timeout: 10_000 });
  for (const word of ["lxc-freeze", "lxc-unfreeze"]) await islet.ok([word, ...islet.store.at("islt-moves-1")]);
  await sleep(200);
  assert.deepEqual(helpers(islet.pid()), []);
});

test("other guests get none", async (t) => {
  if (lacks(t, "root")) return;
  const islet = await instance(t);
  busybox(islet.store, "islt-moves-3");
  await start(islet, "islt-moves-3");
  await sleep(200);
  assert.deepEqual(helpers(islet.pid()), []);
});
