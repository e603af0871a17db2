import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cgroupMounts, end } from "../support/host.js";
import { instance, processesOf, traces, watchTraces, type Instance } from "../support/instance.js";
import { bin } from "../support/paths.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** What docs/explanation/what-happens-when-things-die.md says, line by line; what it says of the daemon is also in daemon.test.ts. */

const name = "islt-dies";

/** AppArmor's change of profile clears the guest's PR_SET_PDEATHSIG: there only a daemon can end it. */
const hasAppArmor = existsSync("/sys/kernel/security/apparmor/profiles");

function monitorOf(own: Instance): number {
  const line = processesOf(own.store.path, []).find((each) => each.trimEnd().endsWith(` ${own.store.path} ${name}`));
  return Number(line?.split(" ")[0]);
}

async function killDaemon(own: Instance): Promise<void> {
  const pid = own.pid();
  end(pid, "SIGKILL");
  await waitFor("the daemon to be gone", () => !existsSync(`/proc/${pid}/exe`));
}

const stateOf = async (own: Instance): Promise<string> =>
  (await own.ok(["lxc-info", ...own.store.at(name), "-sH"])).trim();

/** Whoever lives in the container's cgroup; [] when there is none. */
function residents(): readonly string[] {
  const file = join(cgroupMounts()[0] ?? "", `lxc.payload.${name}`, "cgroup.procs");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
}

/** Ignores what `lxc.monitor.signal.pdeath` sends. */
const deaf = `lxc.monitor.signal.pdeath = SIGUSR2
lxc.init.cmd = /bin/sh -c "trap '' USR2; echo > /root/ready; while :; do sleep 1; done"
`;

async function startDeaf(own: Instance): Promise<void> {
  await own.ok(["lxc-start", ...own.store.at(name)]);
  await waitFor("init to ignore the signal", () => existsSync(join(own.store.path, name, "rootfs/root/ready")));
}

/** Waits for the daemon to have written down where the guest lives; the file. */
async function noted(own: Instance): Promise<string> {
  const directory = join(own.runtimeDir, "guest");
  return await waitFor("the guest to be noted", () =>
    readdirSync(directory)
      .map((entry) => join(directory, entry))
      .find((path) => readFileSync(path, "utf8").endsWith("}")),
  );
}

test("a monitor that is killed takes its guest along, and nothing of both stays", async (t) => {
  const own = await instance(t);
  busybox(own.store, name);
  const at = own.store.at(name);
  const round = async (alsoDaemon: boolean): Promise<void> => {
    await own.ok(["lxc-start", ...at]);
    if (alsoDaemon) {
      await killDaemon(own);
      // The guest of the earlier daemon's time is known to the next one.
      assert.equal(await stateOf(own), "RUNNING");
      await killDaemon(own);
    }
    end(monitorOf(own), "SIGKILL");
    if (alsoDaemon && !hasAppArmor) await waitFor("the guest to be gone", () => residents().length === 0);
    await own.ok(["lxc-wait", ...at, "-s", "STOPPED", "-t", "10"]);
    assert.equal(await stateOf(own), "STOPPED");
  };
  await round(false);
  const before = await watchTraces(own, [name]);
  await round(false);
  await before.assertGone("after the monitor's death");
  await round(true);
  assert.deepEqual(
    traces(own, [name]).filter((line) => !line.startsWith("file ")),
    [],
  );
  assert.deepEqual(readdirSync(join(own.runtimeDir, "monitor")), [], "its socket is removed");
  assert.deepEqual(readdirSync(join(own.runtimeDir, "guest")), []);
  await own.ok(["lxc-start", ...at]);
  assert.equal(await own.ok(["lxc-attach", ...at, "--", "cat", "/proc/1/comm"]), "init\n");
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("a guest that survives its monitor is STOPPING: it cannot be started or destroyed, and lxc-stop -k ends it", async (t) => {
  const own = await instance(t);
  busybox(own.store, name, deaf);
  const at = own.store.at(name);
  await startDeaf(own);
  end(monitorOf(own), "SIGKILL");
  await own.ok(["lxc-wait", ...at, "-s", "STOPPING", "-t", "10"]);
  assert.match(await own.ok(["lxc-ls", ...at.slice(0, 2), "-f"]), /^islt-dies +STOPPING /m);
  const started = await own.command(["lxc-start", ...at]);
  assert.equal(started.status, 1);
  assert.match(started.stderr, /islt-dies is still ending: its monitor was killed; lxc-stop -k ends it at once/);
  assert.equal((await own.command(["lxc-destroy", ...at])).status, 1);
  assert.equal((await own.command(["lxc-attach", ...at, "--", "true"])).status, 1);
  assert.ok(residents().length > 0);
  await own.ok(["lxc-stop", ...at, "-k"]);
  assert.equal(await stateOf(own), "STOPPED");
  assert.deepEqual(
    traces(own, [name]).filter((line) => !line.startsWith("file ")),
    [],
  );
});

test("a later daemon finds a guest that has survived monitor and daemon, and ends it", async (t) => {
  const own = await instance(t);
  busybox(own.store, name, deaf);
  const at = own.store.at(name);
  await startDeaf(own);
  await noted(own);
  const monitor = monitorOf(own);
  await killDaemon(own);
  end(monitor, "SIGKILL");
  await waitFor("the monitor to be gone", () => !existsSync(`/proc/${monitor}/exe`));
  assert.ok(residents().length > 0);
  assert.equal(await stateOf(own), "STOPPING");
  assert.match(
    readFileSync(join(own.runtimeDir, "daemon.log"), "utf8"),
    /islt-dies: its monitor is gone; the guest gets signal 12 and has 10 s to end/,
  );
  await own.ok(["lxc-stop", ...at, "-k"]);
  assert.equal(await stateOf(own), "STOPPED");
  assert.deepEqual(residents(), []);
});

test("a cgroup that somebody else has made under the name since is none of the guest's", async (t) => {
  const own = await instance(t);
  busybox(own.store, name);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const path = await noted(own);
  writeFileSync(path, readFileSync(path, "utf8").replace(/"cgroup":"\d+"/, '"cgroup":"1"'));
  const monitor = monitorOf(own);
  const bystander = residents();
  await killDaemon(own);
  if (!hasAppArmor) {
    end(monitor, "SIGKILL");
    await waitFor("the guest to be gone", () => residents().length === 0);
    const stranger = spawn("sleep", ["1000"], { stdio: "ignore" });
    t.after(() => stranger.kill("SIGKILL"));
    for (const mount of cgroupMounts()) {
      const procs = join(mount, `lxc.payload.${name}`, "cgroup.procs");
      if (existsSync(procs)) writeFileSync(procs, String(stranger.pid ?? 0));
    }
    assert.equal(await stateOf(own), "STOPPED");
    assert.deepEqual(residents(), [String(stranger.pid)]);
    assert.deepEqual(readdirSync(join(own.runtimeDir, "guest")), []);
    stranger.kill("SIGKILL");
    await waitFor("the stranger to be gone", () => residents().length === 0);
  }
  assert.ok(bystander.length > 0);
});

test("a client that is killed: its command in the container goes on, a start is completed, a wait leaves nothing", async (t) => {
  const own = await instance(t);
  const slow = join(own.runtimeDir, "../slow");
  writeFileSync(slow, "#!/bin/sh\nsleep 0.5\n", { mode: 0o755 });
  busybox(own.store, name, `lxc.hook.pre-start = ${slow}\n`);
  const at = own.store.at(name);
  const env = { PATH: process.env["PATH"], ISLET_RUNTIME_DIR: own.runtimeDir };
  const starting = spawn(bin("lxc-start"), at, { env, stdio: "ignore" });
  await own.ok(["lxc-wait", ...at, "-s", "STARTING", "-t", "10"]);
  starting.kill("SIGKILL");
  await own.ok(["lxc-wait", ...at, "-s", "RUNNING", "-t", "10"]);
  const before = residents().length;
  const attached = spawn(bin("lxc-attach"), [...at, "--", "sleep", "1000"], { env, stdio: "ignore" });
  await waitFor("the command", () => residents().length > before);
  attached.kill("SIGKILL");
  await new Promise((resolve) => attached.on("close", resolve));
  assert.ok(residents().length > before, "as with LXC, what runs inside runs on");
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("a client that runs a container in the foreground takes it along", async (t) => {
  const own = await instance(t);
  busybox(own.store, name, "lxc.init.cmd = /bin/sleep 3600\n");
  const at = own.store.at(name);
  const env = { PATH: process.env["PATH"], ISLET_RUNTIME_DIR: own.runtimeDir };
  for (const argv of [
    ["lxc-start", ...at, "-F"],
    ["lxc-execute", ...at, "--", "/bin/sleep", "1000"],
  ]) {
    const client = spawn(bin(argv[0] ?? ""), argv.slice(1), { env, stdio: "ignore" });
    await own.ok(["lxc-wait", ...at, "-s", "RUNNING", "-t", "10"]);
    client.kill("SIGKILL");
    await own.ok(["lxc-wait", ...at, "-s", "STOPPED", "-t", "10"]);
  }
});

test("a main process that is killed stops the container: hooks run, nothing stays", async (t) => {
  const own = await instance(t);
  const note = join(own.runtimeDir, "../hook-ran");
  busybox(own.store, name, `lxc.hook.post-stop = /usr/bin/touch ${note}\n`);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  end(Number(await own.ok(["lxc-info", ...at, "-pH"])), "SIGKILL");
  await own.ok(["lxc-wait", ...at, "-s", "STOPPED", "-t", "10"]);
  assert.ok(existsSync(note));
  assert.deepEqual(
    traces(own, [name]).filter((line) => !line.startsWith("file ")),
    [],
  );
});

test("when memory runs out, daemon and monitors are judged as any process, and a monitor is small", async (t) => {
  const own = await instance(t);
  busybox(own.store, name);
  await own.ok(["lxc-start", ...own.store.at(name)]);
  const score = (pid: number): string => readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim();
  const monitor = monitorOf(own);
  assert.equal(score(monitor), "0");
  const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${monitor}/status`, "utf8"))?.[1]);
  assert.ok(resident < 1024, `${resident} kB`);
  await own.ok(["lxc-stop", ...own.store.at(name), "-k"]);
});
