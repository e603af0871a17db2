import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { cleanup } from "../support/cleanup.js";
import type { CommandResult } from "../support/command.js";
import { cgroupMounts } from "../support/host.js";
import { instance, processesOf, traces, watchTraces, type Instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** Freezing, thawing and stopping are steps of the daemon's: strace(1) lets each of its system calls fail in turn. */

const name = "islt-fstop";

const stateOf = async (own: Instance): Promise<string> =>
  (await own.ok(["lxc-info", ...own.store.at(name), "-sH"])).trim();

/** The container's cgroup where it is frozen, and the files that the daemon works on there. */
function freezerFiles(): readonly string[] {
  const legacy = `/sys/fs/cgroup/freezer/lxc.payload.${name}`;
  const unified = cgroupMounts().map((mount) => `${mount}/lxc.payload.${name}`);
  const files = existsSync(legacy)
    ? ["freezer.state", "freezer.self_freezing"].map((file) => `${legacy}/${file}`)
    : unified.flatMap((path) => ["cgroup.freeze", "cgroup.events"].map((file) => `${path}/${file}`));
  return files.filter((file) => existsSync(file));
}

interface Fault {
  readonly call: string;
  /** Only on these; []: on anything. */
  readonly files: readonly string[];
  /** From 1. */
  readonly number: number;
}

/** Runs a command while the `number`-th such call of the daemon's fails; null: it has made fewer. */
async function failing(
  t: TestContext,
  own: Instance,
  fault: Fault,
  run: () => Promise<CommandResult>,
  pid: number = own.pid(),
): Promise<CommandResult | null> {
  const log = join(own.runtimeDir, "../strace");
  writeFileSync(log, "");
  const words = [`-p${pid}`, "-o", log, "-e", `trace=${fault.call}`];
  const inject = ["-e", `inject=${fault.call}:error=EIO:when=${fault.number}`];
  const tracer = spawn("strace", [...words, ...inject, ...fault.files.flatMap((file) => ["-P", file])], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const over = new Promise((resolve) => tracer.on("close", resolve));
  const done = (): void => void tracer.kill("SIGINT");
  cleanup(t)(done);
  let said = "";
  tracer.stderr.on("data", (data: Buffer) => (said += data.toString()));
  await waitFor("strace", () => said.includes("attached"), { every: 2 });
  try {
    const result = await run();
    done();
    await over;
    return readFileSync(log, "utf8").includes("(INJECTED)") ? result : null;
  } finally {
    done();
    await over;
  }
}

/** Runs `once` with every call failing in turn; how many there were. It gives back false when there are no more. */
async function eachCall(files: () => readonly string[], once: (fault: Fault) => Promise<boolean>): Promise<number> {
  let count = 0;
  for (const call of ["openat", "read", "write"]) {
    for (let number = 1; await once({ call, files: files(), number }); number += 1) count += 1;
  }
  return count;
}

test("whichever call of a freeze fails, the error says which, nothing stays half frozen, and the next freeze works", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const files = freezerFiles();
  let failed = 0;
  const count = await eachCall(
    () => files,
    async (fault) => {
      const result = await failing(t, own, fault, () => own.command(["lxc-freeze", ...at]));
      const what = `${fault.call} ${fault.number}: ${result?.status ?? ""} ${result?.stderr ?? ""}`;
      const state = await stateOf(own);
      if (result === null || result.status === 0) assert.equal(state, "FROZEN", what);
      else {
        failed += 1;
        assert.match(
          result.stderr,
          /^lxc-freeze: islt-fstop: cannot (write FROZEN|write 1|read whether) .*freez.*\n/,
          what,
        );
        assert.equal(state, "RUNNING", what);
        assert.equal(
          readFileSync(files[0] ?? "", "utf8").trim(),
          files[0]?.endsWith("state") === true ? "THAWED" : "0",
          what,
        );
        await own.ok(["lxc-freeze", ...at]);
      }
      assert.equal(await stateOf(own), "FROZEN");
      await own.ok(["lxc-unfreeze", ...at]);
      return result !== null;
    },
  );
  t.diagnostic(`${count} calls, ${failed} of them end it`);
  assert.ok(count > 3 && failed > 2, `${count} calls, ${failed} of them end it`);
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("whichever call of a thaw fails, the error says which, the state is what the kernel says, and the next thaw works", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const files = freezerFiles();
  let failed = 0;
  const count = await eachCall(
    () => files,
    async (fault) => {
      await own.ok(["lxc-freeze", ...at]);
      const result = await failing(t, own, fault, () => own.command(["lxc-unfreeze", ...at]));
      const what = `${fault.call} ${fault.number}: ${result?.status ?? ""} ${result?.stderr ?? ""}`;
      const kernel = /^(FROZEN|1)$/.test(readFileSync(files[0] ?? "", "utf8").trim()) ? "FROZEN" : "RUNNING";
      assert.equal(await stateOf(own), kernel, what);
      if (result !== null && result.status !== 0) {
        failed += 1;
        assert.match(
          result.stderr,
          /^lxc-unfreeze: islt-fstop: cannot (write THAWED|write 0|read whether) .*freez.*\n/,
          what,
        );
        await own.ok(["lxc-unfreeze", ...at]);
      }
      assert.equal(await stateOf(own), "RUNNING");
      return result !== null;
    },
  );
  t.diagnostic(`${count} calls, ${failed} of them end it`);
  assert.ok(count > 3 && failed > 1, `${count} calls, ${failed} of them end it`);
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("whichever call fails while a frozen container is killed, it dies and leaves nothing", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name, "lxc.init.cmd = /bin/sleep 3600\n");
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  await own.ok(["lxc-stop", ...at, "-k"]);
  const before = await watchTraces(own, [name]);
  const frozen = async (): Promise<void> => {
    await own.ok(["lxc-start", ...at]);
    await own.ok(["lxc-freeze", ...at]);
  };
  await frozen();
  const count = await eachCall(freezerFiles, async (fault) => {
    const result = await failing(t, own, fault, () => own.command(["lxc-stop", ...at, "-k"], { timeout: 10_000 }));
    assert.ok(result === null || result.status === 0, `${fault.call} ${fault.number}: ${result?.stderr ?? ""}`);
    assert.equal(await stateOf(own), "STOPPED");
    await before.assertGone(`after ${fault.call} ${fault.number}`);
    await frozen();
    return result !== null;
  });
  t.diagnostic(`${count} calls`);
  assert.ok(count > 1, `${count} calls`);
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("whichever call of daemon or monitor fails in a clean stop, the container ends and leaves nothing", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name, `lxc.init.cmd = /bin/sh -c "trap 'exit 3' USR1; while :; do sleep 0.05; done"\n`);
  const at = own.store.at(name);
  const monitor = (): number => Number(processesOf(own.store.path, [])[0]?.split(" ")[0]);
  const running = async (): Promise<void> => {
    await own.ok(["lxc-start", ...at]);
    const init = (await own.ok(["lxc-info", ...at, "-pH"])).trim();
    await waitFor("init to listen", () =>
      /^SigCgt:\t[0-9a-f]*[2367abef][0-9a-f]{2}$/m.test(readFileSync(`/proc/${init}/status`, "utf8")),
    );
  };
  await running();
  // The daemon's first words to its log cost it a descriptor for good.
  process.kill(monitor(), "SIGKILL");
  await waitFor("the end", async () => (await stateOf(own)) === "STOPPED");
  const before = await watchTraces(own, [name]);
  // What init was told by a call that failed it never heard: it is killed when its time is over.
  const stop = (): Promise<CommandResult> => own.command(["lxc-stop", ...at, "-t", "1"], { timeout: 10_000 });
  const counts: Record<string, number> = {};
  for (const [who, pid, calls] of [
    ["daemon", () => own.pid(), ["sendmsg", "recvmsg", "openat"]],
    ["monitor", monitor, ["sendmsg", "recvmsg", "poll", "pidfd_send_signal", "waitid", "read", "write", "unlinkat"]],
  ] as const) {
    for (const call of calls) {
      const what = `${who}'s ${call}`;
      counts[what] = 0;
      for (let number = 1; number <= 30; number += 1) {
        await running();
        const result = await failing(t, own, { call, files: [], number }, stop, pid());
        if ((await stateOf(own)) !== "STOPPED") {
          assert.notEqual(result?.status, 0, `${what} ${number}: it says that it has stopped`);
          assert.match(result?.stderr ?? "", /^lxc-stop: \S/, `${what} ${number}`);
          // Only the way to the client broke: it may end by itself at this moment.
          await own.command(["lxc-stop", ...at, "-k"], { timeout: 10_000 });
          assert.equal(await stateOf(own), "STOPPED", `${what} ${number}`);
        }
        await before.assertGone(`after ${what} ${number}`);
        if (result === null) break;
        counts[what] += 1;
      }
    }
  }
  t.diagnostic(
    Object.entries(counts)
      .map(([what, count]) => `${what} ${count}`)
      .join(", "),
  );
  for (const what of ["daemon's sendmsg", "monitor's pidfd_send_signal", "monitor's sendmsg", "monitor's unlinkat"])
    assert.ok((counts[what] ?? 0) > 0, `no ${what} was made`);
});

test("a daemon outlives the time of a stop that it could not pass on", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name, "lxc.init.cmd = /bin/sleep 3600\n");
  const at = own.store.at(name);
  const daemon = own.pid();
  let failed = 0;
  for (const [call, ...words] of [
    ["openat", "-t", "1"],
    ["sendmsg", "-t", "1"],
    ["sendmsg", "-r", "-t", "1"],
  ] as const) {
    await own.ok(["lxc-start", ...at]);
    for (let number = 1; number <= 10; number += 1) {
      const stop = (): Promise<CommandResult> => own.command(["lxc-stop", ...at, ...words], { timeout: 10_000 });
      const result = await failing(t, own, { call, files: [], number }, stop, daemon);
      if (result === null) break;
      if ((await stateOf(own)) === "RUNNING") {
        failed += 1;
        await sleep(1200);
        assert.equal(await stateOf(own), "RUNNING");
      } else await own.ok(["lxc-start", ...at]);
    }
    await own.command(["lxc-stop", ...at, "-k"]);
  }
  assert.ok(failed > 1, `${failed} of them were not passed on`);
  assert.equal(own.pid(), daemon);
  assert.ok(existsSync(`/proc/${daemon}/exe`));
});

test("a monitor's kill that fails is tried again, and the container ends", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name, "lxc.init.cmd = /bin/sleep 3600\n");
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const monitor = Number(processesOf(own.store.path, [])[0]?.split(" ")[0]);
  const fault = { call: "pidfd_send_signal", files: [], number: 1 };
  const stop = (): Promise<CommandResult> => own.command(["lxc-stop", ...at, "-k"], { timeout: 10_000 });
  const result = await failing(t, own, fault, stop, monitor);
  assert.equal(result?.status, 0, result?.stderr);
  assert.equal(await stateOf(own), "STOPPED");
});

test("a connection to a monitor that breaks in the middle of a stop, a freeze or a question kills nobody", async (t) => {
  if (lacks(t, "strace")) return;
  const own = await instance(t);
  busybox(own.store, name, "lxc.init.cmd = /bin/sleep 3600\n");
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const pid = await own.ok(["lxc-info", ...at, "-pH"]);
  for (const argv of [
    ["lxc-info", ...at],
    ["lxc-freeze", ...at],
    ["lxc-unfreeze", ...at],
    ["lxc-attach", ...at, "--", "true"],
    ["lxc-stop", ...at, "-k"],
  ]) {
    for (let number = 1; number <= 3; number += 1) {
      const fault = { call: "sendmsg", files: [], number };
      await failing(t, own, fault, () => own.command(argv, { timeout: 10_000 }));
      const state = await stateOf(own);
      if (argv[0] === "lxc-stop") {
        if (state === "STOPPED") break;
        continue;
      }
      await own.ok(["lxc-unfreeze", ...at]);
      assert.equal(await own.ok(["lxc-info", ...at, "-pH"]), pid, `${argv[0] ?? ""} ${number}: ${state}`);
    }
  }
  await own.command(["lxc-stop", ...at, "-k"]);
  assert.deepEqual(
    traces(own, [name]).filter((line) => !line.startsWith("file ")),
    [],
  );
});

interface Planned {
  readonly index: number;
  readonly note: string;
  readonly block: readonly Planned[] | null;
}

/** The operations of the block that removes the cgroups. */
async function removal(own: Instance): Promise<readonly Planned[]> {
  const json = JSON.parse(await own.ok(["islet", "plan", "-P", own.store.path, "-n", name, "--json"])) as {
    readonly operations: readonly Planned[];
  };
  const block = json.operations.find((each) => each.note === "remove the cgroups at the end")?.block ?? [];
  const flat = (all: readonly Planned[]): readonly Planned[] =>
    all.flatMap((each) => [each, ...flat(each.block ?? [])]);
  return flat(block);
}

test("whichever operation fails while a stopped container's cgroups are cleared of strangers, they go", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(own.store, name, "lxc.init.cmd = /bin/sleep 3600\n");
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  await own.ok(["lxc-stop", ...at, "-k"]);
  const operations = await removal(own);
  const reaper = operations.findIndex((each) => each.note === "start the reaper");
  assert.ok(reaper > 0);
  const round = async ({ index, note }: Planned): Promise<void> => {
    await own.ok(["lxc-start", ...at], { env: { ISLET_TEST_FAIL_OPERATION: String(index) } });
    const stranger = spawn("sleep", ["1000"], { stdio: "ignore" });
    const gone = new Promise((resolve) => stranger.on("close", resolve));
    cleanup(t)(() => void stranger.kill("SIGKILL"));
    for (const mount of cgroupMounts()) {
      const procs = join(mount, `lxc.payload.${name}`, "cgroup.procs");
      if (existsSync(procs)) writeFileSync(procs, String(stranger.pid));
    }
    await own.ok(["lxc-stop", ...at, "-k"], { timeout: 10_000 });
    assert.equal(await stateOf(own), "STOPPED", note);
    await gone;
  };
  // The daemon's first words to its log cost it a descriptor for good.
  for (const each of operations.slice(reaper, reaper + 1)) await round(each);
  const before = await watchTraces(own, [name]);
  for (const each of operations) {
    await round(each);
    await before.assertGone(`after ${each.note}`);
  }
  assert.deepEqual(readdirSync(join(own.runtimeDir, "monitor")), []);
});
