import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { command, type CommandResult } from "../support/command.js";
import { cgroupMounts } from "../support/host.js";
import { descriptorCount } from "../support/leaks.js";
import { instance, watchTraces, type Instance } from "../support/instance.js";
import { bin } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** What clients run themselves, with each of its operations failing in turn. */

/** Everybody in the container's cgroup: whoever was left inside is among them. */
function population(name: string): readonly string[] {
  const file = join(cgroupMounts()[0] ?? "", `lxc.payload.${name}`, "cgroup.procs");
  return readFileSync(file, "utf8").trim().split("\n");
}

/** Whose command line has the mark, wherever they live. */
function marked(mark: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(mark);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}

interface Attempt {
  /** Runs it with one more variable in its environment. */
  readonly run: (own: Instance, env: Readonly<Record<string, string>>) => Promise<CommandResult>;
  /** What it prints when nothing fails. */
  readonly prints: RegExp;
  /** In the command lines of its processes. */
  readonly mark: string;
  /** Further words about what is left; [] if nothing is. */
  readonly left?: (own: Instance) => readonly string[];
}

/** Operations fail one after another until there are no more; each must be named, leave nothing, and spoil nothing for the next. */
async function failEvery(t: TestContext, own: Instance, names: readonly string[], attempt: Attempt): Promise<void> {
  const good = async (): Promise<void> => {
    const result = await attempt.run(own, {});
    assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
    assert.match(result.stdout, attempt.prints);
  };
  await good();
  const before = await watchTraces(own, names);
  const residents = names.map(population);
  const descriptors = descriptorCount(own.pid());
  const faults: string[] = [];
  const steps = new Set<string>();
  let failed = 0;
  let index = 0;
  for (; faults.length < 10; index += 1) {
    const { status, stdout, stderr } = await attempt.run(own, { ISLET_TEST_FAIL_OPERATION: String(index) });
    const said = `${stderr}${stdout}`;
    if (said.includes("the program has only")) break;
    try {
      if (/\bEIO\b/.test(said)) {
        failed += 1;
        assert.notEqual(status, 0);
        const named = [...said.matchAll(/^(?:\^@)?lxc-\w+: (?:[\w-]+: )?(cannot .+?): EIO \(/gm)].map(
          ([, step = ""]) => step,
        );
        assert.equal(named.length, 1, `one line names the step: ${said}`);
        for (const step of named) steps.add(step);
      } else assert.match(said, attempt.prints);
      // What is killed takes its time to die, on a busy machine a while after who killed it.
      await waitFor(
        "nothing to be left",
        () => {
          assert.ok(descriptorCount(own.pid()) <= descriptors, "the daemon's descriptors");
          assert.deepEqual(names.map(population), residents, "processes inside");
          assert.deepEqual(marked(attempt.mark), [], "processes on the host");
          assert.deepEqual(attempt.left?.(own) ?? [], []);
          return true;
        },
        { timeout: 2000, every: 2 },
      );
    } catch (error) {
      faults.push(`operation ${index}: ${error instanceof Error ? error.message : String(error)}`.slice(0, 500));
    }
  }
  t.diagnostic(`${index} operations, ${failed} of them end it, ${steps.size} different steps`);
  assert.deepEqual(faults, []);
  await before.assertGone("by the failed operations");
  assert.ok(
    index > 5 && failed > index / 3 && steps.size > 4,
    `${index} operations, ${failed} fail, ${steps.size} steps`,
  );
  await good();
}

const mark = "islt-attached-mark";

/** Ptys of the container's devpts: the kernel shows those that are open. */
const ptys = (own: Instance, name: string): readonly string[] => {
  const pid = population(name)[0] ?? "";
  return readdirSync(`/proc/${pid}/root/dev/pts`).filter((entry) => /^\d+$/.test(entry) && own.pid() > 0);
};

test("whichever operation of lxc-attach fails, nobody is left in the container and the error names the step", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(own.store, "islt-fclient");
  const at = own.store.at("islt-fclient");
  await own.ok(["lxc-start", ...at]);
  await failEvery(t, own, ["islt-fclient"], {
    run: (_, env) => own.command(["lxc-attach", ...at, "--", "/bin/sh", "-c", `echo there # ${mark}`], { env }),
    prints: /there/,
    mark,
  });
  assert.equal(await own.ok(["lxc-info", ...at, "-sH"]), "RUNNING\n");
});

test("on a terminal, in a user namespace, a failing operation of lxc-attach leaves no pty either", async (t) => {
  if (lacks(t, "userns")) return;
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(own.store, "islt-fclient", "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n");
  const at = own.store.at("islt-fclient");
  await own.ok(["lxc-start", ...at]);
  const line = [bin("lxc-attach"), ...at, "--", "/bin/sh", "-c", `'echo there # ${mark}'`].join(" ");
  const open = ptys(own, "islt-fclient");
  await failEvery(t, own, ["islt-fclient"], {
    run: (_, env) =>
      command(["script", "-qec", line, "/dev/null"], { env: { ...env, ISLET_RUNTIME_DIR: own.runtimeDir } }),
    prints: /there/,
    mark,
    left: () => ptys(own, "islt-fclient").filter((each) => !open.includes(each)),
  });
});

test("whichever operation of a template's run fails, lxc-create leaves no container and no process", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  const config = join(own.runtimeDir, "../config");
  writeFileSync(config, "lxc.net.0.type = empty\n");
  const template = join(own.runtimeDir, "../islt-template");
  writeFileSync(template, "#!/bin/sh\necho made\n", { mode: 0o755 });
  await failEvery(t, own, [], {
    run: async (_, env) => {
      const made = await own.command(["lxc-create", ...own.store.at("islt-fclient"), "-t", template, "-f", config], {
        env,
      });
      if (made.status === 0) await own.ok(["lxc-destroy", ...own.store.at("islt-fclient")]);
      return made;
    },
    prints: /made/,
    mark: template,
    left: () => readdirSync(own.store.path),
  });
});

test("whichever operation of lxc-unshare fails, its program is not left alone", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  const words = ["-s", "MOUNT|UTSNAME|PID|IPC", "-H", "islt-host", "--", "/bin/sh", "-c", `hostname # ${mark}`];
  await failEvery(t, own, [], {
    run: (_, env) => own.command(["lxc-unshare", ...words], { env }),
    prints: /islt-host/,
    mark,
  });
});

test("whichever operation of lxc-execute's start fails, nothing is left and the error names the step", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(own.store, "islt-fclient");
  const at = own.store.at("islt-fclient");
  const run = (env: Readonly<Record<string, string>>): Promise<CommandResult> =>
    own.command(["lxc-execute", ...at, "--", "/bin/echo", `there ${mark}`], { env, timeout: 15_000 });
  assert.match((await run({})).stdout, /^there/);
  const before = await watchTraces(own, ["islt-fclient"]);
  const faults: string[] = [];
  let failed = 0;
  let last = 0;
  // About as many as the start of a container with an init of its own has.
  const count = (await own.ok(["islet", "plan", ...at])).trim().split("\n").length;
  const step = Number(process.env["ISLET_FAULT_STEP"] ?? 4);
  for (let index = 1; index < count && faults.length < 10; index += step) {
    const { status, stdout, stderr } = await run({ ISLET_TEST_FAIL_OPERATION: String(index) });
    try {
      if (status === 0) assert.match(stdout, /^there/);
      else if (status === 255 && stderr === "") last += 1;
      else {
        failed += 1;
        assert.match(stderr, /^lxc-execute: (?:[\w-]+: )?cannot .+: EIO \(/m);
      }
      await before.assertGone(`after operation ${index}`);
    } catch (error) {
      faults.push(`operation ${index}: ${error instanceof Error ? error.message : String(error)}`.slice(0, 500));
    }
  }
  t.diagnostic(`${count} operations, ${failed} of those tried end it`);
  assert.deepEqual(faults, []);
  assert.ok(last <= 1, "only what comes after the news that it runs has nobody to tell");
  assert.ok(failed > count / step / 4, `${failed} of ${count}`);
});
