import assert from "node:assert/strict";
import { test } from "node:test";
import { faultsOf, get, parse, parseFine } from "./helper.js";

test("lines end at LF, CR or both, and CR LF counts as one line end in messages", () => {
  assert.equal(get("lxc.uts.name = a\rlxc.tty.max = 3", "lxc.tty.max"), "3");
  assert.equal(get("lxc.uts.name = a\r\nlxc.tty.max = 3\r\n", "lxc.uts.name"), "a");
  assert.deepEqual(faultsOf("lxc.uts.name = a\r\n\r\nlxc.tty.max = x\r\n"), [
    '"x" is not a whole number from 0 to 4294967295 (/var/lib/lxc/web1/config:3 lxc.tty.max)',
  ]);
});

test("a comment takes a whole line, behind a value it is part of the value", () => {
  assert.equal(get("  # lxc.tty.max = 3\nlxc.tty.max = 4", "lxc.tty.max"), "4");
  assert.equal(faultsOf("lxc.tty.max = 3 # three").length, 1);
  assert.equal(get("lxc.uts.name = a#b", "lxc.uts.name"), "a#b");
});

test("lines that do not begin with lxc. are ignored, whatever they say", () => {
  parseFine("foo bar\nLXC.tty.max = x\nlx = 3\n[section]\nexport A=b\n");
});

test("a line with lxc. and no equals sign is an error with its place", () => {
  assert.deepEqual(faultsOf("\nlxc.foo bar\n"), [
    "Invalid configuration line: lxc.foo bar (/var/lib/lxc/web1/config:2); write KEY = VALUE",
  ]);
});

test("key and value are split at the first equals sign and lose the blanks around them", () => {
  assert.equal(get("  lxc.uts.name=a", "lxc.uts.name"), "a");
  assert.equal(get("\tlxc.uts.name\t=\t a b \t", "lxc.uts.name"), "a b");
  assert.equal(get("lxc.uts.name = a=b", "lxc.uts.name"), "a=b");
});

test("one matching pair of quotes around a value is taken off", () => {
  assert.equal(get('lxc.uts.name = "foo"', "lxc.uts.name"), "foo");
  assert.equal(get("lxc.uts.name = ''a''", "lxc.uts.name"), "'a'");
  assert.equal(get('lxc.uts.name = "a', "lxc.uts.name"), '"a');
  assert.equal(get("lxc.uts.name = \"a'", "lxc.uts.name"), "\"a'");
  assert.equal(get('lxc.uts.name = x\nlxc.uts.name = ""', "lxc.uts.name"), "");
});

test("keys match exactly, families only behind their dot", () => {
  for (const key of [
    "lxc.uts.name.foo",
    "lxc.prlimitfoo",
    "lxc.sysctlx",
    "lxc.cgroup2x",
    "lxc.environmentx",
    'lxc.uts.name "x"',
  ]) {
    assert.deepEqual(
      faultsOf(`${key} = a`).map((line) => line.split(" (")[0]),
      [`Unsupported config key "${key}"`],
    );
  }
});

test("an unknown key that looks like a slip gets a hint", () => {
  assert.deepEqual(faultsOf("lxc.tty.mx = 4"), [
    'Unsupported config key "lxc.tty.mx" (/var/lib/lxc/web1/config:1 lxc.tty.mx); did you mean lxc.tty.max?',
  ]);
  assert.deepEqual(faultsOf("lxc.something.else = 4"), [
    'Unsupported config key "lxc.something.else" (/var/lib/lxc/web1/config:1 lxc.something.else)',
  ]);
});

test("all faults of a file are reported, each with its line", () => {
  const faults = parse("lxc.tty.max = x\nlxc.uts.name = fine\nlxc.nosuchkey = 1\nlxc.arch = foo\nlxc.bad\n").faults;
  assert.deepEqual(
    faults.map((fault) => fault.at?.line),
    [1, 3, 4, 5],
  );
});

test("the last line of a single value wins, lines of a list add up, an empty value clears both", () => {
  assert.equal(get("lxc.tty.max = 1\nlxc.tty.max = 2", "lxc.tty.max"), "2");
  assert.equal(get("lxc.tty.max = 1\nlxc.tty.max =", "lxc.tty.max"), "0");
  assert.equal(get("lxc.cap.drop = kill\nlxc.cap.drop = mknod sys_time", "lxc.cap.drop"), "kill\nmknod\nsys_time\n");
  assert.equal(get("lxc.cap.drop = kill\nlxc.cap.drop =\nlxc.cap.drop = mknod", "lxc.cap.drop"), "mknod\n");
});

test("a file of megabytes of blank lines and comments is read in no time", () => {
  const text = "#\n\n".repeat(200_000);
  const began = performance.now();
  parseFine(text);
  assert.ok(performance.now() - began < 2000);
});
