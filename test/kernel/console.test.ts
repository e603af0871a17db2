import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command } from "../support/command.js";
import { bin } from "../support/paths.js";
import { waitFor } from "../support/wait.js";
import { guests } from "./guest.js";

/** Runs a command line below a pty of its own (script(1)) with this typed into it; what it showed. */
async function onTerminal(line: string, input: string): Promise<string> {
  const { stdout } = await command(["script", "-qec", line, "/dev/null"], { input, env: { TERM: "dumb" } });
  return stdout.replaceAll("\r", "");
}

const printing = (text: string): string => `lxc.init.cmd = /bin/sh -c "echo ${text} > /dev/console; exec sleep 3600"\n`;

describe("console and terminals", () => {
  const { define, started, store } = guests();

  it("what init writes on its console is in the console log", async () => {
    const log = join(store.path, "log1");
    await started("logged", `lxc.console.logfile = ${log}\n${printing("hello-log")}`);
    await waitFor("the log", () => existsSync(log) && readFileSync(log, "utf8").includes("hello-log"));
    assert.equal(statSync(log).mode & 0o777, 0o600);
  });

  it("a second run appends to the console log", async () => {
    const log = join(store.path, "log2");
    const guest = define("appended", `lxc.console.logfile = ${log}\n${printing("line")}`);
    for (const runs of [1, 2]) {
      await guest.start();
      await waitFor("the log", () => existsSync(log) && readFileSync(log, "utf8").split("line").length - 1 === runs);
      await guest.kill();
    }
  });

  it("lxc-start -L sets the log for this run", async () => {
    const log = join(store.path, "log3");
    const guest = define("optioned", printing("by-option"));
    await guest.start(["-L", log]);
    await waitFor("the log", () => existsSync(log) && readFileSync(log, "utf8").includes("by-option"));
  });

  it("the log stays within lxc.console.size", async () => {
    const log = join(store.path, "log4");
    const guest = await started("small", `lxc.console.logfile = ${log}\nlxc.console.size = 4096\n`);
    await guest.sh("for i in $(seq 2000); do echo 0123456789; done > /dev/console; echo last-line > /dev/console");
    await waitFor("the log", () => readFileSync(log, "utf8").includes("last-line"));
    assert.ok(statSync(log).size <= 4096, String(statSync(log).size));
  });

  it("a log that cannot be opened is an error that names it", async () => {
    assert.match(await define("nolog", "lxc.console.logfile = /nowhere/at/all\n").refuses(), /\/nowhere\/at\/all/);
  });

  it("init has the console as descriptors 0 to 2, but leaves it to what it starts as controlling terminal", async () => {
    const guest = await started("owns", "lxc.init.cmd = /bin/sleep 3600\n");
    const names = (
      await guest.sh("for n in 0 1 2; do stat -L -c %t:%T /proc/1/fd/$n; done; stat -c %t:%T /dev/console")
    ).split("\n");
    assert.equal(new Set(names).size, 1, names.join());
    assert.equal(await guest.sh("cut -d' ' -f7 /proc/1/stat"), "0");
  });

  it("with lxc.pty.max above 1 the console is a pty of the container, and init's tty has a name inside", async () => {
    const guest = await started(
      "inside",
      "lxc.pty.max = 8\nlxc.init.cmd = /bin/sh -c 'tty > /root/name; exec sleep 3600'\n",
    );
    const file = join(guest.rootfs, "root/name");
    await waitFor("the name", () => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
    assert.match(await guest.sh("cat /root/name"), /^\/dev\/(pts\/\d+|console)$/);
  });

  it("with lxc.console.path = none there is no /dev/console, and init's descriptors are /dev/null", async () => {
    const guest = await started("none", "lxc.console.path = none\nlxc.init.cmd = /bin/sleep 3600\n");
    assert.equal((await guest.try("ls /dev/console")).status, 1);
    assert.equal(await guest.sh("for n in 0 1 2; do readlink /proc/1/fd/$n; done"), "/dev/null\n/dev/null\n/dev/null");
  });

  it("lxc.console.path may be a file: output lands there", async () => {
    const file = join(store.path, "consolefile");
    writeFileSync(file, "");
    await started("tofile", `lxc.console.path = ${file}\n${printing("into-the-file")}`);
    await waitFor("the file", () => readFileSync(file, "utf8").includes("into-the-file"));
  });

  it("lxc.tty.dir moves console and ttys there, with links in /dev", async () => {
    const guest = await started("moved", "lxc.tty.dir = lxc\nlxc.tty.max = 2\n");
    assert.equal(
      await guest.sh("for n in console tty1 tty2; do readlink /dev/$n; done"),
      "lxc/console\nlxc/tty1\nlxc/tty2",
    );
    assert.equal(await guest.sh("stat -c %t /dev/lxc/console /dev/lxc/tty2; ls /dev/lxc | wc -l"), "88\n88\n3");
  });

  it("with lxc.tty.max = 0 there are no ttys", async () => {
    const guest = await started("notty", "lxc.tty.max = 0\n");
    assert.equal((await guest.try("ls /dev/tty1")).status, 1);
  });

  it("a foreground start shows what the console shows and ends with the container", async () => {
    const guest = define("front", 'lxc.init.cmd = /bin/sh -c "echo from-init; read line; echo got-$line; exit 3"\n');
    const shown = await onTerminal(`${bin("lxc-start")} -P ${store.path} -n ${guest.name} -F`, "typed\n");
    assert.match(shown, /from-init\n/);
    assert.match(shown, /got-typed/);
    assert.equal(await guest.state(), "STOPPED");
  });
});
