import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { text } from "node:stream/consumers";
import { connect, type Islet, IsletError, type IsletEvent, type RunningContainer } from "../../src/index.js";
import { cleanup } from "../support/cleanup.js";
import { instance, processesOf, watchTraces, type Instance } from "../support/instance.js";
import { end } from "../support/host.js";
import { descriptorCount } from "../support/leaks.js";
import { root, testDir } from "../support/paths.js";
import { busybox, type Store } from "../support/store.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const noNetwork = { "lxc.net.0.type": "empty" } as const;
const made = { template: "busybox", config: noNetwork } as const;

const code =
  (wanted: string, message: RegExp = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof IsletError, String(error));
    assert.equal(error.code, wanted, error.message);
    assert.match(error.message, message);
    return true;
  };

interface Connected {
  readonly islet: Islet;
  readonly store: Store;
  readonly own: Instance;
}

type Mode = "over the daemon's socket" | "in process";

/** A connection to islet; the commands of `own` see the same containers. */
async function connected(t: TestContext, mode: Mode): Promise<Connected> {
  const own = await instance(t);
  const inProcess = mode === "in process";
  const islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path, inProcess });
  cleanup(t)(() => islet.close());
  return { islet, store: own.store, own };
}

/** A container that runs, made by hand: quicker than a template. */
async function running(
  t: TestContext,
  mode: Mode,
  extra: string = "",
): Promise<Connected & { web: RunningContainer; rootfs: string }> {
  const all = await connected(t, mode);
  const rootfs = busybox(all.store, "islt-web", extra);
  const stopped = await all.islet.get("islt-web");
  assert.ok(stopped.state === "STOPPED");
  return { ...all, rootfs, web: await stopped.start() };
}

for (const mode of ["over the daemon's socket", "in process"] as const) {
  describe(`the library ${mode}`, () => {
    test("makes a container, runs commands in it, and removes it, and nothing is left", async (t) => {
      const { islet, own, store } = await connected(t, mode);
      // What a daemon loads and keeps once it has made its first container.
      await (await islet.create("islt-first", made)).destroy();
      const before = await watchTraces(own, ["islt-web"]);
      {
        await using stopped = await islet.create("islt-web", made);
        assert.equal(stopped.state, "STOPPED");
        await using web = await stopped.start();
        assert.equal(web.state, "RUNNING");
        assert.deepEqual(await web.exec(["hostname"]), { exitCode: 0, stdout: "islt-web\n", stderr: "" });
        assert.deepEqual(
          (await islet.list()).map(({ name, state }) => [name, state]),
          [["islt-web", "RUNNING"]],
        );
        // The commands see what the library does.
        const state = (): Promise<string> => own.ok(["lxc-info", ...store.at("islt-web"), "-sH"]);
        await waitFor("the commands to see it", async () => (await state()) === "RUNNING\n");
      }
      assert.equal(existsSync(join(store.path, "islt-web")), false);
      assert.deepEqual(await islet.list(), []);
      await before.assertGone("after await using");
    });

    test("gives a command's input, output, exit status, environment, directory and ids", async (t) => {
      const { web } = await running(t, mode);
      const all = await web.exec(["sh", "-c", "cat; echo $X $HOME-; pwd; id -u; id -g; echo no >&2; exit 7"], {
        input: "in\n",
        env: { X: "1 2" },
        cwd: "/tmp",
        uid: 65534,
        gid: 65534,
      });
      assert.deepEqual(all, { exitCode: 7, stdout: "in\n1 2 -\n/tmp\n65534\n65534\n", stderr: "no\n" });
      const killed = await web.exec(["sh", "-c", "kill -9 $$"]);
      assert.equal(killed.exitCode, 137);
      const environment = await web.exec(["env"]);
      assert.match(environment.stdout, /^container=lxc$/m);
      assert.doesNotMatch(environment.stdout, /ISLET_/);
      const large = await web.exec(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2"]);
      assert.equal(large.stdout.length, 3_000_000);
      const echoed = await web.exec(["cat"], { input: "y".repeat(2_000_000) });
      assert.equal(echoed.stdout.length, 2_000_000);
    });

    test("says in a code why a command could not be run, and the container still ends at once", async (t) => {
      const { web, rootfs } = await running(t, mode);
      writeFileSync(join(rootfs, "no-program"), "");
      await assert.rejects(web.exec(["/nope"]), code("ISLET_NO_COMMAND", /^\/nope is not there$/));
      await assert.rejects(web.exec(["/no-program"]), code("ISLET_NO_COMMAND", /cannot be executed \(EACCES\)/));
      await assert.rejects(web.exec([]), code("ISLET_BAD_REQUEST"));
      await assert.rejects(web.exec(["echo", "a\0b"]), code("ISLET_BAD_REQUEST"));
      await assert.rejects(web.exec(["sleep", "60"], { timeout: 100 }), code("ISLET_TIMEOUT", /0\.1 s/));
      await assert.rejects(web.exec(["yes"], { maxBuffer: 1000 }), code("ISLET_BAD_REQUEST", /more than 1000 bytes/));
      const abort = new AbortController();
      const aborted = web.exec(["sleep", "60"], { signal: abort.signal });
      setTimeout(() => {
        abort.abort(new Error("enough"));
      }, 100);
      await assert.rejects(aborted, /enough/);
      const early = new AbortController();
      const begun = web.exec(["sleep", "60"], { signal: early.signal });
      early.abort(new Error("before it runs"));
      await assert.rejects(begun, /before it runs/);
      await waitFor("their end", async () => !/sleep|yes/.test((await web.exec(["ps"])).stdout));
      const began = performance.now();
      await web.stop({ kill: true });
      assert.ok(performance.now() - began < 1000, `the stop took ${performance.now() - began} ms`);
      await assert.rejects(web.exec(["true"]), code("ISLET_NOT_RUNNING"));
    });

    test("streams a command that runs, and signals it", async (t) => {
      const { web } = await running(t, mode);
      const shell = await web.spawn([
        "sh",
        "-c",
        "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
      ]);
      const first = await new Promise<string>((resolve) => shell.stdout.once("data", (part) => resolve(String(part))));
      assert.equal(first, "ready\n");
      shell.kill();
      assert.equal(await text(shell.stdout), "got it\n");
      assert.equal(await shell.exit, 3);
      shell.kill("SIGKILL"); // it has ended: nothing happens
      const sleeper = await web.spawn(["sleep", "60"]);
      sleeper.kill("SIGKILL");
      assert.equal(await sleeper.exit, 137);
    });

    test("has shown all that a command wrote to its terminal when it tells its exit status", async (t) => {
      const { web } = await running(t, mode, "lxc.pty.max = 64\n");
      for (let round = 0; round < 20; round += 1) {
        const last = `last-${round}`;
        const shell = await web.spawn(["sh", "-c", `seq 300; echo ${last}`], { terminal: { rows: 1, columns: 80 } });
        let shown = "";
        shell.terminal.on("data", (part: Buffer) => (shown += part.toString()));
        assert.equal(await shell.exit, 0);
        assert.ok(shown.endsWith(`300\r\n${last}\r\n`), shown.slice(-40));
      }
      // A process in the background keeps the terminal open, but not the exit status.
      const shell = await web.spawn(["sh", "-c", "sleep 60 & trap '' HUP; echo left"], {
        terminal: { rows: 1, columns: 80 },
      });
      let shown = "";
      shell.terminal.on("data", (part: Buffer) => (shown += part.toString()));
      const began = performance.now();
      assert.equal(await shell.exit, 0);
      assert.ok(performance.now() - began < 5000);
      assert.equal(shown, "left\r\n");
      shell.terminal.destroy();
    });

    test("gives a command a terminal of its own that can be resized", async (t) => {
      const { web } = await running(t, mode);
      const shell = await web.spawn(["sh"], { terminal: { rows: 30, columns: 90 } });
      let shown = "";
      shell.terminal.on("data", (part: Buffer) => (shown += part.toString()));
      shell.terminal.write("stty size; tty\n");
      await waitFor("the first size", () => shown.includes("30 90") && shown.includes("/dev/pts/"));
      shell.resize({ rows: 40, columns: 100 });
      shell.terminal.write("stty size; exit 4\n");
      assert.equal(await shell.exit, 4);
      await waitFor("the second size", () => shown.includes("40 100"));
      await waitFor("the end of the terminal", () => shell.terminal.destroyed);
    });

    test("joins the console and ttys", async (t) => {
      const { web, rootfs } = await running(t, mode, "lxc.console.buffer.size = 4096\n");
      const console = await web.console({ replay: true });
      let shown = "";
      console.stream.on("data", (part: Buffer) => (shown += part.toString()));
      await waitFor("what was shown before", () => shown.includes("Please press Enter"));
      console.stream.write("\n");
      console.stream.write("hostname > /name\n");
      await waitFor(
        "the command",
        () => existsSync(join(rootfs, "name")) && readFileSync(join(rootfs, "name"), "utf8") !== "",
      );
      await console.resize({ rows: 33, columns: 99 });
      console.stream.write("stty size\n");
      await waitFor("the size", () => shown.includes("33 99"));
      console.stream.destroy();

      const tty = await web.console({ tty: "free" });
      assert.equal(tty.number, 1);
      await assert.rejects(web.console({ tty: "free" }), code("ISLET_BUSY"));
      await assert.rejects(web.console({ tty: 7 }), code("ISLET_BAD_REQUEST"));
      let typed = "";
      tty.stream.on("data", (part: Buffer) => (typed += part.toString()));
      await web.exec(["sh", "-c", "echo one > /dev/tty1"]);
      await waitFor("the first line", () => typed.includes("one"));
      // Nobody has it open for a moment: no end.
      await web.exec(["sh", "-c", "echo two > /dev/tty1"]);
      await waitFor("the second line", () => typed.includes("two"));
      await web.stop({ kill: true });
      await waitFor("the end of the tty", () => tty.stream.destroyed);
    });

    test("freezes, reboots, limits, measures and waits", async (t) => {
      const { web, islet } = await running(t, mode);
      const frozen = await web.freeze();
      assert.equal((await frozen.info()).state, "FROZEN");
      const again = await islet.get("islt-web");
      assert.ok(again.state === "FROZEN");
      const thawed = await again.unfreeze();
      const first = await thawed.info();
      assert.ok(first.uptime !== null && first.uptime >= 0 && first.uptime < 60_000, String(first.uptime));
      // Init may not listen yet: it is asked again.
      const rebooted = await thawed.reboot();
      assert.notEqual((await rebooted.info()).initPid, first.initPid);
      assert.equal(typeof (await rebooted.usage()).cpuNanoseconds, "bigint");
      assert.deepEqual(await rebooted.addresses(), { ipv4: [], ipv6: [] });
      await rebooted.setCgroup("pids.max", "77");
      assert.equal((await rebooted.cgroup("pids.max")).trim(), "77");
      await assert.rejects(rebooted.cgroup("no.such"), IsletError);
      await assert.rejects(rebooted.wait("STOPPED", { timeout: 50 }), code("ISLET_TIMEOUT"));
      await assert.rejects(rebooted.wait("STOPPED", { signal: AbortSignal.timeout(50) }), /timeout/);
      const ended = rebooted.wait("STOPPED");
      const stopped = await rebooted.stop({ timeout: 10_000 });
      assert.equal((await ended).state, "STOPPED");
      assert.equal((await stopped.info()).initPid, null);
    });

    test("reads and writes the files of a container, with its ids", async (t) => {
      if (lacks(t, "userns")) return;
      const { web, rootfs } = await running(t, mode, "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n");
      await web.files.makeDirectory("/srv/data/x", { recursive: true, uid: 5, gid: 6 });
      await web.files.makeDirectory("/srv/data/x", { recursive: true });
      await web.files.write("/srv/data/x/f", "one", { mode: 0o600, uid: 7, gid: 8 });
      await web.files.write("/srv/data/x/f", "two\n", { uid: 7 });
      assert.equal(await web.files.read("/srv/data/x/f", "utf8"), "two\n");
      assert.deepEqual(await web.files.read("/srv/data/x/f"), Buffer.from("two\n"));
      const seen = await web.exec(["stat", "-c", "%u %g %a", "/srv/data/x/f", "/srv/data/x"]);
      assert.equal(seen.stdout, "7 0 644\n5 6 755\n");
      const status = await web.files.stat("/srv/data/x/f");
      assert.deepEqual([status.kind, status.size, status.mode, status.uid, status.gid], ["file", 4, 0o644, 7, 0]);
      assert.deepEqual(await web.files.list("/srv/data"), [{ name: "x", kind: "directory" }]);
      await assert.rejects(web.files.remove("/srv/data/x"), code("ISLET_IO", /ENOTEMPTY/));
      await web.files.remove("/srv/data/x/f");
      await web.files.remove("/srv/data/x");
      assert.deepEqual(await web.files.list("/srv/data"), []);
      await assert.rejects(web.files.read("/srv/no"), code("ISLET_IO", /ENOENT/));
      await assert.rejects(web.files.read("/srv"), code("ISLET_IO", /it is a directory/));
      await assert.rejects(web.files.read("srv"), code("ISLET_BAD_REQUEST"));
      await assert.rejects(web.files.write("/srv/..", ""), code("ISLET_BAD_REQUEST"));
      await assert.rejects(web.files.write("/srv/u", "", { uid: 99_999 }), code("ISLET_BAD_REQUEST", /no uid 99999/));
      const stopped = await web.stop({ kill: true });
      await stopped.files.write("/etc/motd", "hello\n");
      assert.equal(readFileSync(join(rootfs, "etc/motd"), "utf8"), "hello\n");
    });

    test("is led nowhere by links, devices and pipes of a hostile guest", async (t) => {
      const { web, rootfs } = await running(t, mode);
      const secret = join(mkdtempSync(join(testDir, "islt-secret-")), "secret");
      cleanup(t)(() => {
        rmSync(join(secret, ".."), { recursive: true, force: true });
      });
      writeFileSync(secret, "secret");
      symlinkSync(secret, join(rootfs, "absolute"));
      symlinkSync(`${"../".repeat(30)}${secret.slice(1)}`, join(rootfs, "relative"));
      symlinkSync("/proc/1/root", join(rootfs, "magic"));
      symlinkSync(join(secret, ".."), join(rootfs, "directory"));
      execFileSync("mknod", [join(rootfs, "null"), "c", "1", "3"]);
      execFileSync("mkfifo", [join(rootfs, "pipe")]);
      for (const path of ["/absolute", "/relative", "/directory/secret"])
        await assert.rejects(web.files.read(path), code("ISLET_IO", /ENOENT/));
      await assert.rejects(web.files.list("/magic"), IsletError);
      for (const path of ["/null", "/pipe"])
        await assert.rejects(web.files.read(path), code("ISLET_IO", /no regular file/));
      // A link is replaced, not followed; what it named stays.
      await web.files.write("/absolute", "mine");
      await assert.rejects(web.files.write("/directory/secret", "mine"), IsletError);
      await web.files.remove("/relative");
      assert.equal(readFileSync(secret, "utf8"), "secret");
      assert.equal(readFileSync(join(rootfs, "absolute"), "utf8"), "mine");
    });

    test("tells events, of all containers or of one, in order", async (t) => {
      const { islet, store } = await connected(t, mode);
      for (const name of ["islt-a", "islt-b"]) busybox(store, name);
      const all = islet.events();
      const stop = new AbortController();
      const one = islet.events({ name: "islt-b", signal: stop.signal });
      for (const name of ["islt-a", "islt-b"]) {
        const container = await islet.get(name);
        assert.ok(container.state === "STOPPED");
        await (await container.start()).stop({ kill: true });
      }
      const seen: IsletEvent[] = [];
      for await (const event of all) {
        seen.push(event);
        if (event.kind === "state" && event.name === "islt-b" && event.state === "STOPPED") break;
      }
      const short = (event: IsletEvent): string =>
        event.kind === "lost" || event.kind === "ready"
          ? event.kind
          : `${event.name.slice(-1)} ${event.kind === "state" ? event.state : event.exitCode}`;
      const life = ["STARTING", "RUNNING", "137", "STOPPING", "STOPPED"];
      assert.deepEqual(seen.map(short), [...life.map((word) => `a ${word}`), ...life.map((word) => `b ${word}`)]);
      stop.abort();
      const other: IsletEvent[] = [];
      for await (const event of one) other.push(event);
      assert.deepEqual(
        other.map(short),
        life.map((word) => `b ${word}`),
      );
    });

    test("says what is wrong in codes, and a failed create or start leaves nothing", async (t) => {
      const { islet, store, own } = await connected(t, mode);
      await assert.rejects(islet.get("islt-no"), code("ISLET_NOT_FOUND"));
      await assert.rejects(islet.create("no/name", made), code("ISLET_BAD_NAME"));
      await assert.rejects(
        islet.create("islt-x", { ...made, template: "nope" }),
        code("ISLET_BAD_REQUEST", /bad template/),
      );
      const wrong = { "lxc.nope": 1, "lxc.tty.max": "many" } as const;
      await assert.rejects(islet.create("islt-x", { config: wrong }), (error) => {
        code("ISLET_BAD_CONFIG")(error);
        assert.equal((error as IsletError).faults.length, 2);
        return true;
      });
      await assert.rejects(
        islet.create("islt-x", { config: { "lxc.uts.name": "a\nlxc.rootfs.path = /" } }),
        code("ISLET_BAD_CONFIG"),
      );
      assert.equal(existsSync(join(store.path, "islt-x")), false);
      busybox(store, "islt-x");
      await assert.rejects(islet.create("islt-x", made), code("ISLET_EXISTS"));
      const stopped = await islet.get("islt-x");
      assert.ok(stopped.state === "STOPPED");
      await assert.rejects(stopped.setConfig("lxc.nope = 1\n"), code("ISLET_BAD_CONFIG"));
      await stopped.setConfig(`${await stopped.config()}lxc.hook.pre-start = /bin/false\n`);
      const before = await watchTraces(own, ["islt-x"]);
      await assert.rejects(stopped.start(), code("ISLET_START_FAILED", /pre-start/));
      await before.assertGone("after a failed start");
      await stopped.destroy();
      await assert.rejects(stopped.start(), code("ISLET_NOT_FOUND"));
    });

    test("runs a template script in this program's process tree, with its output where it is wanted", async (t) => {
      const { islet, store } = await connected(t, mode);
      const script = join(store.path, "../lxc-own");
      writeFileSync(
        script,
        `#!/bin/sh\necho "$@" > ${store.path}/../words\nfor w; do case $w in --rootfs=*) mkdir -p \${w#*=}/made;; esac; done\n[ "$4" != fail ]\n`,
        { mode: 0o755 },
      );
      await islet.create("islt-t", { template: script, templateArguments: ["-x", "1"], config: noNetwork });
      const directory = join(store.path, "islt-t");
      assert.equal(
        readFileSync(join(store.path, "../words"), "utf8"),
        `--path=${directory} --name=islt-t --rootfs=${directory}/rootfs -x 1\n`,
      );
      assert.ok(existsSync(join(directory, "rootfs/made")));
      await assert.rejects(
        islet.create("islt-u", { template: script, templateArguments: ["fail"], config: noNetwork }),
        code("ISLET_HOOK_FAILED", /status 1/),
      );
      assert.equal(existsSync(join(store.path, "islt-u")), false);
    });

    test("holds no descriptor and no process longer than it is used", async (t) => {
      const { web, own, islet } = await running(t, mode);
      const use = async (): Promise<void> => {
        await web.exec(["true"]);
        await web.exec(["/nope"]).catch(() => undefined);
        await web.files.read("/etc/passwd");
        const shell = await web.spawn(["true"], { terminal: { rows: 1, columns: 1 } });
        shell.terminal.resume();
        await shell.exit;
        (await web.console()).stream.destroy();
        await islet.events().return?.();
      };
      await use();
      const count = (): number => descriptorCount(own.pid()) + descriptorCount(process.pid);
      await waitFor("the first round to be over", () => count() > 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const before = count();
      for (let round = 0; round < 5; round += 1) await use();
      await waitFor("no more descriptors than before", () => count() <= before);
    });
  });
}

test("a container that was started in process outlives the program, and the daemon finds it", async (t) => {
  const own = await instance(t);
  busybox(own.store, "islt-web");
  const program = `
    import { connect } from ${JSON.stringify(join(root, "dist/src/index.js"))};
    const islet = await connect({ runtimeDirectory: ${JSON.stringify(own.runtimeDir)}, store: ${JSON.stringify(own.store.path)}, inProcess: true });
    const web = await (await islet.get("islt-web")).start();
    const other = await islet.create("islt-other", { config: { "lxc.net.0.type": "empty", "lxc.hook.destroy": "/bin/sh -c 'sleep 0.2'" } });
    await other.destroy(); // waits for the hook, and nothing else keeps the program alive
    await islet.close();`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.equal(run.status, 0, run.stderr);
  const at = own.store.at("islt-web");
  await waitFor("the daemon to see it", async () => (await own.ok(["lxc-info", ...at, "-sH"])) === "RUNNING\n");
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("a daemon that is killed under the library is started again by the next call, and events say that some may be lost", async (t) => {
  const { islet, web, own } = await running(t, "over the daemon's socket");
  const events = islet.events();
  await web.exec(["true"]);
  const waiting = web.wait("STOPPED");
  waiting.catch(() => undefined);
  const shell = await web.spawn(["cat"]);
  end(own.pid(), "SIGKILL");
  await assert.rejects(waiting, code("ISLET_DISCONNECTED"));
  assert.deepEqual((await events.next()).value, { kind: "lost" });
  // What runs in the container runs on.
  shell.stdin.end("still here\n");
  assert.equal(await text(shell.stdout), "still here\n");
  assert.equal((await web.exec(["hostname"])).stdout, "islt-web\n");
  await web.stop({ kill: true });
  const states: string[] = [];
  for await (const event of events) {
    if (event.kind === "state") states.push(event.state);
    if (states.at(-1) === "STOPPED") break;
  }
  assert.deepEqual(states, ["STOPPING", "STOPPED"]);
});

test("a hundred commands at once, in ten containers, all end as they should", async (t) => {
  const { islet, store } = await connected(t, "over the daemon's socket");
  const names = Array.from({ length: 10 }, (_, index) => `islt-h${index}`);
  const all = await Promise.all(
    names.map(async (name) => {
      busybox(store, name);
      const stopped = await islet.get(name);
      assert.ok(stopped.state === "STOPPED");
      return await stopped.start();
    }),
  );
  const results = await Promise.all(
    all.flatMap((web) => Array.from({ length: 10 }, (_, n) => web.exec(["sh", "-c", `hostname; exit ${n}`]))),
  );
  results.forEach(({ exitCode, stdout }, index) => {
    assert.deepEqual([exitCode, stdout], [index % 10, `islt-h${Math.floor(index / 10)}\n`]);
  });
  await Promise.all(all.map((web) => web.stop({ kill: true })));
  assert.deepEqual(processesOf(store.path, names), []);
});

test("who may not command the daemon cannot reach it, and hears why", async (t) => {
  const own = await instance(t);
  const directory = mkdtempSync(join(testDir, "islt-lib-"));
  mkdirSync(join(directory, "x"));
  cleanup(t)(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const program = `
    import { connect } from ${JSON.stringify(join(root, "dist/src/index.js"))};
    process.setgid(65534); process.setuid(65534);
    try { await connect({ runtimeDirectory: ${JSON.stringify(own.runtimeDir)} }); console.log("in"); }
    catch (error) { console.log(error.code, error.message); }`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.match(run.stdout, /^ISLET_PERMISSION .*serves only root/);
});
