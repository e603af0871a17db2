import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it, type TestContext } from "node:test";
import { closeFd } from "../../src/host/addon.js";
import { TIOCVHANGUP } from "../../src/sys/flags.js";
import { command } from "../support/command.js";
import { sys } from "../support/frames.js";
import { end } from "../support/host.js";
import { instance } from "../support/instance.js";
import { bin, runtimeDir } from "../support/paths.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { guests, type Guest } from "./guest.js";

/** An lxc-console whose standard input stays open until the test ends it. */
interface Console {
  readonly child: ChildProcess;
  readonly type: (text: string) => void;
  /** Waits until it has printed this. */
  readonly shows: (what: RegExp) => Promise<void>;
  /** Types a line until the guest has answered: before its init has set a terminal up nobody there takes \r for the end of a line. */
  readonly answers: (word: string) => Promise<void>;
  readonly stderr: () => string;
  /** Exit status, or 128 + signal. */
  readonly ended: Promise<number>;
}

function open(t: TestContext, words: readonly string[], runtime: string = runtimeDir): Console {
  const child = spawn(bin("lxc-console"), words, {
    env: { ...process.env, ISLET_RUNTIME_DIR: runtime },
    stdio: "pipe",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => undefined);
  const ended = new Promise<number>((resolve) => {
    child.on("close", (code, signal) => resolve(code ?? (signal === "SIGKILL" ? 137 : 143)));
  });
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return {
    child,
    type: (text) => void child.stdin.write(text),
    shows: async (what) =>
      void (await waitFor(`${String(what)} in ${words.join(" ")}`, () => what.test(stdout + stderr))),
    answers: async (word) => {
      for (let tries = 0; tries < 20 && !stdout.includes(`got-${word}`); tries += 1) {
        child.stdin.write(`${word}\r`);
        await sleep(500);
      }
      assert.ok(stdout.includes(`got-${word}`), `nobody answers in ${words.join(" ")}`);
    },
    stderr: () => stderr,
    ended,
  };
}

const banner = (number: number): RegExp =>
  new RegExp(
    `^\nConnected to tty ${number}\nType <Ctrl\\+a q> to exit the console, <Ctrl\\+a Ctrl\\+a> to enter Ctrl\\+a itself\n`,
  );

/** Says what it reads, on the tty that init gave it. */
const answers = `#!/bin/sh\nwhile read -r line; do echo "got-$line"; echo "$line" >> /root/said; done\n`;

function answering(rootfs: string): void {
  writeFileSync(join(rootfs, "etc/answer"), answers, { mode: 0o755 });
  writeFileSync(
    join(rootfs, "etc/inittab"),
    "::sysinit:/etc/init.d/rcS\ntty1::respawn:/etc/answer\nconsole::respawn:/etc/answer\n",
  );
}

describe("lxc-console", () => {
  const { define, started } = guests();

  /** A container with two ttys, of which the first answers. */
  const ready = async (name: string): Promise<Guest> => {
    const guest = define(name, "lxc.tty.max = 2\n");
    answering(guest.rootfs);
    await guest.start();
    await waitFor("the answering machine", () => guest.sh("ps").then((text) => text.includes("/etc/answer")));
    return guest;
  };
  const refused = async (guest: Guest, ...words: readonly string[]): Promise<string> => {
    const { status, stderr } = await command(["lxc-console", ...guest.at, ...words]);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /: Denied access to tty\n$/);
    return stderr;
  };

  it("takes the first free tty, joins it, and leaves by the escape key with status 0", async (t) => {
    const guest = await ready("first");
    const console = open(t, guest.at);
    await console.shows(banner(1));
    console.type("hello\r");
    await console.shows(/got-hello\r\n/);
    console.type("\x01q");
    assert.equal(await console.ended, 0);
    assert.match(console.stderr(), banner(1));
  });

  it("takes the next one when the first is taken, says that nobody answers there, and refuses when there is none", async (t) => {
    const guest = await ready("next");
    const first = open(t, guest.at);
    await first.shows(banner(1));
    const second = open(t, guest.at);
    await second.shows(banner(2));
    await second.shows(/: nothing in the container has tty 2 as its terminal: a login prompt needs a getty there\n/);
    assert.doesNotMatch(first.stderr(), /nothing in the container/);
    assert.match(await refused(guest), /: every tty of next is in use\n/);
    assert.match(await refused(guest, "-t", "1"), /: tty 1 of next is in use\n/);
    assert.match(await refused(guest, "-t", "3"), /: next has no tty 3; lxc.tty.max /);
  });

  it("gives the tty back when it is killed", async (t) => {
    const guest = await ready("killed");
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const console = open(t, [...guest.at, "-t", "1"]);
      await console.shows(banner(1));
      console.child.kill(signal);
      assert.equal(await console.ended, signal === "SIGTERM" ? 0 : 137);
      const next = open(t, [...guest.at, "-t", "1"]);
      await next.shows(/Connected|Denied/);
      assert.match(next.stderr(), banner(1));
      next.type("\x01q");
      await next.ended;
    }
  });

  it("-t 0 is the console, which only one may have", async (t) => {
    const guest = await ready("zero");
    const console = open(t, [...guest.at, "-t", "0"]);
    await console.shows(banner(0));
    console.type("over there\r");
    await console.shows(/got-over there/);
    assert.match(await refused(guest, "-t", "0"), /: the console of zero is in use\n/);
    console.type("\x01q");
    assert.equal(await console.ended, 0);
    const again = open(t, [...guest.at, "-t", "0"]);
    await again.shows(banner(0));
  });

  it("-t 0 is refused while lxc-start -F has the console, and where there is none", async (t) => {
    const guest = define("front");
    const start = spawn(bin("lxc-start"), [...guest.at, "-F"], {
      env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
      stdio: ["pipe", "ignore", "ignore"],
    });
    const over = new Promise<void>((resolve) => start.on("close", () => resolve()));
    t.after(async () => {
      start.kill("SIGKILL");
      await over;
    });
    await waitFor("the container", async () => (await guest.state()) === "RUNNING");
    await waitFor("the relay of lxc-start", async () => /in use/.test(await refused(guest, "-t", "0")));
    const none = await started("none", "lxc.console.path = none\n");
    assert.match(await refused(none, "-t", "0"), /: none has no console; see lxc.console.path\n/);
  });

  it("ends with status 0 when the container is stopped, and when it reboots", async (t) => {
    const guest = await ready("ending");
    const tty = open(t, guest.at);
    const console = open(t, [...guest.at, "-t", "0"]);
    await tty.shows(banner(1));
    await console.shows(banner(0));
    await command(["lxc-stop", ...guest.at, "-r"]);
    assert.equal(await tty.ended, 0);
    const next = open(t, guest.at);
    await next.shows(banner(1));
    await guest.kill();
    assert.deepEqual([await next.ended, await console.ended], [0, 0]);
  });

  it("stays when a program hangs the line up, as between two logins", async (t) => {
    const guest = await ready("hungup");
    const console = open(t, guest.at);
    await console.shows(banner(1));
    for (const round of [1, 2, 3]) {
      const path = Buffer.from(`/proc/${await guest.pid()}/root/dev/tty1\0`);
      const tty = sys("openat", -100, path, 0o2000402);
      sys("ioctl", tty, TIOCVHANGUP);
      closeFd(tty);
      // init starts another one on it; what is typed before that is nobody's.
      let answered = false;
      const answer = console.shows(new RegExp(`got-round-${round}`)).then(() => (answered = true));
      while (!answered) {
        console.type(`round-${round}\r`);
        await Promise.race([answer, sleep(300)]);
      }
    }
  });

  it("passes on all of its standard input and ends with it", async () => {
    const guest = await ready("piped");
    const { status } = await command(["lxc-console", ...guest.at, "-t", "1"], { input: "one\ntwo\n" });
    assert.equal(status, 0);
    await waitFor("the lines", async () => (await guest.sh("cat /root/said")) === "one\ntwo");
  });

  it("refuses an input that cannot be waited for, and a container that is not running", async () => {
    const guest = await ready("noinput");
    const shell = (redirection: string): readonly string[] => [
      "/bin/sh",
      "-c",
      `exec ${bin("lxc-console")} "$@" ${redirection}`,
      "sh",
      ...guest.at,
    ];
    for (const from of ["</dev/null", "</etc/passwd"]) {
      const { status, stderr } = await command(shell(from));
      assert.equal(status, 1);
      assert.match(stderr, /: Failed to add stdin handler\n$/);
    }
    await guest.kill();
    const { status, stderr } = await command(["lxc-console", ...guest.at]);
    assert.deepEqual([status, stderr], [1, "lxc-console: noinput: noinput is not running\n"]);
  });
});

describe("lxc-console and a daemon that is killed", () => {
  it("goes on, keeps its tty, and others are attached by the next daemon", async (t) => {
    const own = await instance(t);
    answering(busybox(own.store, "islt-c1", "lxc.tty.max = 2\n"));
    const at = own.store.at("islt-c1");
    await own.ok(["lxc-start", ...at]);
    const first = open(t, [...at, "-t", "1"], own.runtimeDir);
    const zero = open(t, [...at, "-t", "0"], own.runtimeDir);
    await first.shows(banner(1));
    await zero.shows(banner(0));
    for (const each of [first, zero]) await each.answers("here");
    const old = own.pid();
    end(old, "SIGKILL");
    await waitFor("the daemon to be gone", () => !existsSync(`/proc/${old}/exe`));
    first.type("alone\r");
    await first.shows(/got-alone/);
    zero.type("too\r");
    await zero.shows(/got-too/);

    for (const tty of ["0", "1"]) {
      const { status, stderr } = await own.command(["lxc-console", ...at, "-t", tty]);
      assert.equal(status, 1);
      assert.match(stderr, /is in use\n/);
    }
    assert.notEqual(own.pid(), old);
    const second = open(t, at, own.runtimeDir);
    await second.shows(banner(2));

    first.type("\x01q");
    assert.equal(await first.ended, 0);
    zero.child.kill("SIGKILL");
    await zero.ended;
    for (const tty of [0, 1]) {
      const again = open(t, [...at, "-t", String(tty)], own.runtimeDir);
      await again.shows(banner(tty));
      again.type("again\r");
      await again.shows(/got-again/);
    }
  });
});
