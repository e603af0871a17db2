import assert from "node:assert/strict";
import { test } from "node:test";
import { showFault } from "../../../../src/base/source.js";
import { getItem, parseConfig } from "../../../../src/frontends/lxc/config/config.js";
import { faultsOf, memoryFiles, parse, parseFine } from "./helper.js";

test("an included file stands where its line stands", () => {
  const config = parseFine("lxc.tty.max = 1\nlxc.include = /c\nlxc.pty.max = 7", {
    "/c": "lxc.tty.max = 2\nlxc.pty.max = 3\n",
  });
  assert.equal(getItem(config, "lxc.tty.max"), "2");
  assert.equal(getItem(config, "lxc.pty.max"), "7");
});

test("of an included directory all *.conf are read in the order of their names, nothing else", () => {
  const config = parseFine("lxc.include = /d/", {
    "/d/b.conf": "lxc.group = b",
    "/d/a.conf": "lxc.group = a",
    "/d/README": "lxc.bad",
    "/d/.conf": "lxc.bad",
    "/d/c.conf~": "lxc.bad",
  });
  assert.equal(getItem(config, "lxc.group"), "a\nb\n");
});

test("a directory may be written without a slash at its end", () => {
  assert.equal(getItem(parseFine("lxc.include = /d", { "/d/ab.conf": "lxc.tty.max = 2" }), "lxc.tty.max"), "2");
});

test("a missing directory with a slash is fine, a missing file is an error at its line", () => {
  assert.deepEqual(faultsOf("lxc.include = /none/"), []);
  assert.deepEqual(faultsOf("\nlxc.include = /none"), [
    'the included file "/none" cannot be read: it is missing, or not a plain file of a sane size (/var/lib/lxc/web1/config:2 lxc.include)',
  ]);
});

test("faults in an included file name that file", () => {
  assert.deepEqual(faultsOf("lxc.include = /c", { "/c": "\n\nlxc.tty.max = x" }), [
    '"x" is not a whole number from 0 to 4294967295 (/c:3 lxc.tty.max)',
  ]);
});

test("files that include each other are reported with the whole way", () => {
  const faults = faultsOf("lxc.include = /a", { "/a": "lxc.include = /b", "/b": "lxc.include = /a" });
  assert.deepEqual(faults, [
    "lxc.include goes in a circle: /var/lib/lxc/web1/config includes /a includes /b includes /a (/b:1 lxc.include)",
  ]);
});

test("a chain of files that is too deep is reported", () => {
  const files = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`/f${i}`, `lxc.include = /f${i + 1}`]));
  const faults = faultsOf("lxc.include = /f0", files);
  assert.equal(faults.length, 1);
  assert.match(
    faults[0] ?? "",
    /^lxc\.include goes deeper than 16 files: .*config includes \/f0 includes \/f1 .*\(\/f15:1 lxc\.include\)$/,
  );
});

test("files that double at each level end with one fault instead of never", () => {
  const files = Object.fromEntries(
    Array.from({ length: 15 }, (_, i) => [`/f${i}`, `lxc.include = /f${i + 1}\nlxc.include = /f${i + 1}`]),
  );
  const faults = faultsOf("lxc.include = /f0", { ...files, "/f15": "" });
  assert.deepEqual(
    faults.map((fault) => fault.split(" (")[0]),
    ["more than 1000 files are included"],
  );
});

test("a relative path is that of whoever asks", () => {
  const config = parseConfig({
    file: "/c",
    text: "lxc.include = x.conf",
    files: memoryFiles({ "/home/u/x.conf": "lxc.tty.max = 4" }),
    cwd: "/home/u",
  });
  assert.equal(getItem(config, "lxc.tty.max"), "4");
});

test("lxc.include = changes nothing", () => {
  assert.equal(getItem(parseFine("lxc.include = /c\nlxc.include =", { "/c": "lxc.tty.max = 2" }), "lxc.tty.max"), "2");
});

test("definitions of the command line come after the file, and are named in faults", () => {
  const input = { file: "/c", text: "lxc.tty.max = 1", files: memoryFiles() };
  assert.equal(getItem(parseConfig({ ...input, defines: ["lxc.tty.max=5"] }), "lxc.tty.max"), "5");
  assert.deepEqual(parseConfig({ ...input, defines: ["lxc.tty.max = x", "nonsense"] }).faults.map(showFault), [
    '"x" is not a whole number from 0 to 4294967295 (command line lxc.tty.max)',
    '"nonsense" is not a setting: write KEY=VALUE (command line)',
  ]);
});

test("the expanded text has everything in effect, and means the same when it is read again", () => {
  const config = parse("# c\nlxc.include = /c\nlxc.network.type = veth\nlxc.utsname = 'a b '\nlxc.cap.drop =", {
    "/c": "lxc.cap.drop = kill",
  });
  assert.equal(config.expanded, 'lxc.cap.drop = kill\nlxc.net.0.type = veth\nlxc.uts.name = "a b "\nlxc.cap.drop = \n');
  assert.equal(getItem(parseFine(config.expanded), "lxc.uts.name"), "a b ");
  assert.equal(getItem(parseFine(config.expanded), "lxc.cap.drop"), "");
});
