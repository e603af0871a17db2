import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { lacks } from "../support/skip.js";
import { screen, type Screen } from "../support/tmux.js";
import { guests } from "./guest.js";

/** What is drawn on a terminal while something goes on, and that nothing of it stays. */
const user = async (t: TestContext, columns = 100, rows = 30): Promise<Screen | null> =>
  lacks(t, "tmux") ? null : await screen(t, columns, rows);

/** Deaf to every request to end. */
const deaf = "lxc.init.cmd = /bin/sh -c \"trap '' USR1 TERM PWR; while :; do sleep 1; done\"\n";

describe("progress on a terminal", () => {
  it("lxc-stop: a bar says how long until the kill, and is gone afterwards", async (t) => {
    const shell = await user(t);
    if (shell === null) return;
    const guest = await guests(t).started("deaf-stop", deaf);
    await shell.clear();
    await shell.line(`clear; lxc-stop ${guest.at.join(" ")} -t 3; echo status-$?`);
    await shell.shows(/^[-|/\\] waiting for deaf-stop to shut down \[[#.]{10}\] [12]s, killed in [12]s$/m);
    await shell.shows(/^lxc-stop: deaf-stop: did not shut down within 3 seconds and was killed\nstatus-0\nhost>$/);
  });

  it("lxc-start: what its hooks take time for; output comes in its place", async (t) => {
    const shell = await user(t);
    if (shell === null) return;
    const { define } = guests(t);
    const slow = define("slow-start", "lxc.hook.pre-start = /bin/sh -c 'sleep 2; exit 0'\n");
    const failing = define("slow-fail", "lxc.hook.pre-start = /bin/sh -c 'sleep 2; exit 3'\n");
    await shell.line(`clear; lxc-start ${slow.at.join(" ")}; echo status-$?`);
    await shell.shows(/^[-|/\\] starting slow-start 1s$/m);
    await shell.shows(/^status-0\nhost>$/);
    await shell.line(`clear; lxc-start ${failing.at.join(" ")}; echo status-$?`);
    await shell.shows(/^[-|/\\] starting slow-fail 1s$/m);
    await shell.shows(/^lxc-start: slow-fail: [^\n]*\n(.*\n)*status-1\nhost>$/);
    assert.ok(!(await shell.text()).includes("starting slow-fail"), await shell.text());
  });

  it("lxc-wait: the time that is left; nothing with -q, in the background, or where standard error is a file", async (t) => {
    const shell = await user(t);
    if (shell === null) return;
    const guest = await guests(t).started("long-wait", deaf);
    const wait = `lxc-wait ${guest.at.join(" ")} -s STOPPED -t 2`;
    await shell.line(`clear; ${wait} 2>/dev/null; echo status-$?`);
    await shell.shows(/^status-1\nhost>$/);
    await shell.line(`clear; ${wait}; echo status-$?`);
    await shell.shows(/^[-|/\\] waiting for long-wait to be STOPPED \[[#.]{10}\] 1s, given up in 1s$/m);
    await shell.shows(
      /^lxc-wait: long-wait: long-wait did not become STOPPED within 2 s; it is RUNNING\n(.*\n)*status-1\nhost>$/,
    );
    const seen: string[] = [];
    const watch = async (): Promise<void> => {
      for (let count = 0; count < 12; count += 1) {
        seen.push(await shell.text());
        await new Promise((resolve) => void setTimeout(resolve, 150));
      }
    };
    await shell.line(`clear; ${wait} -q; echo status-$?`);
    await watch();
    await shell.shows(/^status-1\nhost>$/);
    await shell.line(`clear; { ${wait} -q & } ; ${wait} & wait; echo both`);
    await watch();
    await shell.shows(/^both$/m);
    assert.ok(!seen.some((text) => /given up in/.test(text)), seen.join("\n--\n"));
  });

  it("lxc-autostart: how many of them are done", async (t) => {
    const shell = await user(t);
    if (shell === null) return;
    const { define, store } = guests(t);
    for (const name of ["auto-1", "auto-2"])
      define(name, "lxc.start.auto = 1\nlxc.start.delay = 2\nlxc.init.cmd = /bin/sleep 1000\n");
    await shell.line(`clear; lxc-autostart -P ${store.path}; echo status-$?`);
    await shell.shows(/^[-|/\\] 0 of 2: starting auto-1 \[\.{10}\] 1s$/m);
    await shell.shows(/^[-|/\\] 1 of 2: starting auto-2 \[#{5}\.{5}\] [23]s$/m);
    await shell.shows(/^status-0\nhost>$/);
  });
});

describe("islet top on a terminal", () => {
  it("shows who works, sorts, filters, follows the size, and leaves the terminal as it was", async (t) => {
    const shell = await user(t, 110, 16);
    if (shell === null) return;
    const { started, store } = guests(t);
    await started("top-idle", "lxc.init.cmd = /bin/sleep 1000\n");
    await started("top-busy", "lxc.init.cmd = /bin/sh -c 'while :; do :; done'\n");
    await shell.line("clear; before=$(stty -g); echo here-before");
    await shell.shows(/^here-before\nhost>$/);
    await shell.line(`islet top -d 0.5 -P ${store.path}; echo left-$?`);
    await shell.shows(/^NAME +STATE +CPU%v .*\ntop-busy +\* running +[1-9]\d*(\.\d)? .*\ntop-idle +\* running +0\.0 /m);
    assert.ok(!(await shell.text()).includes("here-before"));
    await shell.shows(/containers 2 running of 2\nload .* memory \[/);
    await shell.keys("n");
    await shell.shows(/^NAME\^ .*\ntop-busy/m);
    await shell.keys("r");
    await shell.shows(/^NAMEv .*\ntop-idle/m);
    await shell.keys("Down");
    await shell.shows(/^> top-idle/m);
    await shell.keys("/", "b", "u");
    await shell.shows(/^names with: bu$/m);
    await shell.keys("Enter");
    await shell.shows(/NAMEv .*\n {2}top-busy .*\ncpu /);
    await shell.resize(50, 10);
    await shell.shows(/^NAMEv +(STATE +)?CPU% +MEMORY/m);
    await shell.keys("?");
    await shell.shows(/^ {2}c +sort by CPU$/m);
    await shell.keys("q");
    await shell.shows(/^host> islet top[^]*left-0\nhost>$/m);
    await shell.line("clear; test $before = $(stty -g) && echo as-before");
    await shell.shows(/^as-before\nhost>$/);
  });

  it("gives the terminal back when it is told to end", async (t) => {
    const shell = await user(t, 90, 12);
    if (shell === null) return;
    const { started, store } = guests(t);
    await started("top-term", "lxc.init.cmd = /bin/sleep 1000\n");
    await shell.line(`(sh -c 'sleep 1.5; kill $PPID' & exec islet top -P ${store.path}); echo left-$?`);
    await shell.shows(/^top-term /m);
    await shell.shows(/left-143\nhost>$/);
    await shell.line("clear; stty -a | grep -c ' echo '");
    await shell.shows(/^1\nhost>$/);
  });
});

describe("hints on a terminal", () => {
  it("a name that is nearly right is told, below what LXC says; a file gets LXC's words alone", async (t) => {
    const shell = await user(t, 200);
    if (shell === null) return;
    const { define, store } = guests(t);
    define("webserver");
    await shell.line(`clear; lxc-stop -P ${store.path} -n webserevr; echo status-$?`);
    await shell.shows(
      /^lxc-stop: webserevr: webserevr is not running\nlxc-stop: hint: there is no webserevr in \S+; did you mean webserver\?\nstatus-2\nhost>$/,
    );
    await shell.line(`clear; lxc-stop -P ${store.path} -n webserevr 2>&1 | cat; echo done`);
    await shell.shows(/^lxc-stop: webserevr: webserevr is not running\ndone\nhost>$/);
  });
});
