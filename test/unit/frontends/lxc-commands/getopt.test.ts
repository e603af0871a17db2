import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type CommandTable, parseOptions, type ParsedOptions } from "../../../../src/frontends/lxc/commands/getopt.js";
import { option } from "../../../../src/frontends/lxc/commands/options.js";

const table: Pick<CommandTable, "options" | "operands" | "named"> = {
  options: [
    option("name", "", { short: "n", argument: "NAME" }),
    option("daemon", "", { short: "d" }),
    option("foreground", "", { short: "F" }),
    option("define", "", { short: "s", argument: "KEY=VAL" }),
    option("elevated", "", { short: "e", argument: "PRIVILEGES", optional: true }),
    option("share-net", "", { argument: "NAME" }),
    option("share-ipc", "", { argument: "NAME" }),
    option("quiet", "", { short: "q" }),
  ],
  operands: "any",
  named: true,
};
const withCommand = { ...table, operands: "command" as const };

function parsed(argv: readonly string[], used = table, posixly = false): ParsedOptions {
  const result = parseOptions(used, argv, () => posixly);
  assert.ok(result.kind === "parsed", result.kind === "problem" ? result.text : "");
  return result.options;
}
function problem(argv: readonly string[]): string {
  const result = parseOptions(table, argv);
  assert.equal(result.kind, "problem");
  return result.kind === "problem" ? result.text : "";
}

describe("option parsing", () => {
  it("takes an argument as its own word, glued, after = and in a cluster", () => {
    for (const argv of [["-n", "a"], ["-na"], ["--name", "a"], ["--name=a"], ["-dna"], ["-dn", "a"], ["--na=a"]]) {
      assert.equal(parsed(argv).value("name"), "a", argv.join(" "));
    }
  });
  it("takes clusters of flags", () => {
    assert.deepEqual(
      parsed(["-dFq"]).given.map(([long]) => long),
      ["daemon", "foreground", "quiet"],
    );
  });
  it("takes an optional argument only when it is glued", () => {
    assert.equal(parsed(["-eCAP"]).value("elevated"), "CAP");
    assert.equal(parsed(["--elevated=CAP"]).value("elevated"), "CAP");
    const apart = parsed(["-e", "CAP"]);
    assert.equal(apart.value("elevated"), "");
    assert.deepEqual(apart.operands, ["CAP"]);
  });
  it("completes a long option that is not ambiguous and names the candidates of one that is", () => {
    assert.equal(parsed(["--fore"]).has("foreground"), true);
    assert.equal(
      problem(["--share", "x"]),
      "option '--share' is ambiguous; possibilities: '--share-net' '--share-ipc'",
    );
  });
  it("says what is wrong in the words of getopt", () => {
    assert.equal(problem(["--bogus"]), "unrecognized option '--bogus'");
    assert.equal(problem(["-z"]), "invalid option -- 'z'");
    assert.equal(problem(["-n"]), "option requires an argument -- 'n'");
    assert.equal(problem(["--name"]), "option '--name' requires an argument");
    assert.equal(problem(["--daemon=3"]), "option '--daemon' doesn't allow an argument");
  });
  it("lets options follow operands, and ends at --", () => {
    const options = parsed(["web1", "-d", "--", "-F"]);
    assert.equal(options.has("daemon"), true);
    assert.equal(options.has("foreground"), false);
    assert.deepEqual(options.operands, ["web1", "-F"]);
  });
  it("ends at the first operand under POSIXLY_CORRECT", () => {
    assert.deepEqual(parsed(["web1", "-d"], table, true).operands, ["web1", "-d"]);
  });
  it("keeps all values of an option that is repeated, in order", () => {
    const options = parsed(["-s", "a=1", "--define=b=2", "-sc=3"]);
    assert.deepEqual(options.values("define"), ["a=1", "b=2", "c=3"]);
    assert.equal(options.value("define"), "c=3");
  });
  it("leaves the words of the container's command alone", () => {
    for (const argv of [
      ["-n", "web1", "ls", "-q", "--", "-x"],
      ["web1", "ls", "-q", "--", "-x"],
      ["-n", "web1", "--", "ls", "-q", "--", "-x"],
    ]) {
      const options = parsed(argv, withCommand);
      assert.equal(options.has("quiet"), false, argv.join(" "));
      const command = options.has("name") ? options.operands : options.operands.slice(1);
      assert.deepEqual(command, ["ls", "-q", "--", "-x"], argv.join(" "));
    }
  });
  it("takes options between the name and the command", () => {
    const options = parsed(["web1", "-d", "ls", "-F"], withCommand);
    assert.equal(options.has("daemon"), true);
    assert.deepEqual(options.operands, ["web1", "ls", "-F"]);
  });
  it("takes an operand before -n NAME for the command's first word", () => {
    const options = parsed(["ls", "-n", "web1", "-F"], withCommand);
    assert.equal(options.value("name"), "web1");
    assert.deepEqual(options.operands, ["ls", "-F"]);
  });
  it("takes any words without a throw, and loses none behind --", () => {
    const word = fc.oneof(fc.constantFrom("-n", "--name", "-d", "-e", "--", "-", "--fo", "-dF", "x"), fc.string());
    fc.assert(
      fc.property(fc.array(word), fc.array(word), (before, after) => {
        const result = parseOptions(table, [...before, "--", ...after]);
        if (result.kind === "problem" || before.includes("--")) return;
        // A -- that was the argument of -n does not end the options.
        if (result.options.values("name").includes("--")) return;
        assert.deepEqual(result.options.operands.slice(result.options.operands.length - after.length), after);
      }),
    );
  });
});
