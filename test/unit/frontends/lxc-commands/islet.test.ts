import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { execStatus, toFailure } from "../../../../src/frontends/lxc/errors.js";
import { logLine, logTime, parsePriority } from "../../../../src/frontends/lxc/commands/log.js";
import { noUsage, runningContainer, tool } from "./canned.js";

const configs = { web: "lxc.uts.name = web\nlxc.rootfs.path = dir:/canned/web/rootfs\n" };

describe("islet", () => {
  it("runs every lxc command by its verb or its full name", async () => {
    for (const verb of ["info", "lxc-info"]) {
      const { status, stdout } = await tool(["islet", verb, "-P", "/canned", "-sn", "web"], { configs });
      assert.deepEqual([status, stdout], [0, "State:          STOPPED\n"]);
    }
    assert.match((await tool(["islet", "stop", "nosuch"])).stderr, /^lxc-stop: nosuch: nosuch is not running/);
  });
  it("prints its version and its help", async () => {
    assert.equal((await tool(["islet", "version"])).stdout, "islet 0.1.0\n");
    const help = await tool(["islet", "help"]);
    assert.deepEqual([help.status, help.stderr], [0, ""]);
    assert.match(help.stdout, /^ {2}ls +Shows the containers/m);
    assert.match(help.stdout, /^ {2}attach .*\bcreate\b/m);
    for (const line of help.stdout.split("\n").slice(12)) assert.ok(line.length <= 100, line);
    assert.equal((await tool(["islet"])).status, 1);
  });
  it("names a command that it does not have, and the one that was meant", async () => {
    for (const [verb, near] of [
      ["xyzzy", ""],
      ["constructor", ""],
      ["lss", "did you mean ls? "],
      ["strat", "did you mean start? "],
    ]) {
      const { status, stderr } = await tool(["islet", verb ?? ""]);
      assert.deepEqual([status, stderr], [1, `islet: there is no command "${verb}"; ${near}islet help lists them\n`]);
    }
  });
  it("shows the options of a command on standard output, its own ones as they are typed", async () => {
    for (const argv of [
      ["islet", "ls", "--help"],
      ["islet", "help", "ls"],
    ]) {
      const { status, stdout, stderr } = await tool(argv);
      assert.deepEqual([status, stderr], [0, ""]);
      assert.match(stdout, /^Usage: islet ls \[--running/);
    }
    assert.match((await tool(["islet", "help", "stop"])).stdout, /^Usage: lxc-stop /);
    assert.equal((await tool(["islet", "help", "nosuch"])).status, 1);
  });
  it("has a verb of its own and LXC's beside it", async () => {
    const running = [runningContainer("web")];
    const engine = { liveUsage: () => Promise.resolve(noUsage) };
    assert.match((await tool(["islet", "ls"], { running, engine })).stdout, /^NAME +STATE/);
    assert.equal((await tool(["islet", "lxc-ls", "-1"], { running })).stdout, "web\n");
  });
  it("a wrong option of its own commands gets one line", async () => {
    assert.equal(
      (await tool(["islet", "ls", "--bogus"])).stderr,
      "islet ls: unrecognized option '--bogus'; islet ls --help lists the options\n",
    );
  });
  it("shows the program of a start, as text or JSON", async () => {
    const engine = { plan: () => Promise.resolve({ text: "clone3()", json: { ops: [1] } }) };
    const text = await tool(["islet", "plan", "-P", "/canned", "web"], { configs, engine });
    assert.deepEqual([text.status, text.stdout], [0, "clone3()\n"]);
    const json = await tool(["islet", "plan", "-P", "/canned", "web", "--json"], { configs, engine });
    assert.deepEqual(JSON.parse(json.stdout), { ops: [1] });
  });
});

describe("errors", () => {
  const subject = { tool: "lxc-freeze", name: "web", store: "/s" };
  it("that LXC has no words for are printed as they are, with place and hint", () => {
    const at = { file: "web/config", line: 3, key: "lxc.net.0.link" };
    const error = new IsletError("ISLET_OPERATION_FAILED", "cannot find br9", { at, hint: "create it" });
    assert.deepEqual(toFailure(error, subject), {
      lines: [{ text: "cannot find br9 (web/config:3 lxc.net.0.link); create it" }],
      status: 1,
    });
  });
  it("that are no IsletError are faults of islet", () => {
    assert.deepEqual(toFailure(new TypeError("x"), subject).lines, [{ text: "internal error: x" }]);
  });
  it("of an exec become 126 and 127, others do not", () => {
    const error = (syscall: string, errno: string): IsletError =>
      new IsletError("ISLET_OPERATION_FAILED", "x", { syscall, errno });
    assert.equal(execStatus(error("execveat", "ENOENT")), 127);
    assert.equal(execStatus(error("execve", "ENOEXEC")), 126);
    assert.equal(execStatus(error("setns", "ENOENT")), null);
    assert.equal(execStatus(new Error("x")), null);
  });
});

describe("log lines", () => {
  it("have LXC's form", () => {
    const time = logTime(new Date("2026-11-22T02:55:04.190Z"));
    assert.equal(time, "20261122025504.190");
    assert.equal(
      logLine("lxc-start", "bb1", time, "ERROR", "no"),
      "lxc-start bb1 20261122025504.190 ERROR    lxc_start - lxc_start:main:0 - no\n",
    );
  });
  it("have priorities by name or number", () => {
    assert.equal(parsePriority("debug"), "DEBUG");
    assert.equal(parsePriority("5"), "ERROR");
    assert.equal(parsePriority("bogus"), null);
    assert.equal(parsePriority("9"), null);
  });
});
