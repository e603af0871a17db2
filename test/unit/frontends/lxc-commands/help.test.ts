import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import {
  commandPages,
  commandTables,
  completionFiles,
  manPages,
  otherTables,
} from "../../../../src/frontends/lxc/commands/pages.js";
import { helpText } from "../../../../src/frontends/lxc/commands/help.js";
import { tableOf } from "../../../../src/frontends/lxc/commands/tabled.js";
import { commands } from "../../../../src/frontends/lxc/index.js";
import { tool } from "./canned.js";

const root = join(import.meta.dirname, "../../../../..");

describe("help", () => {
  for (const page of [...commandPages(), ...manPages(), ...completionFiles()]) {
    it(`${page.path} is what the option table says (UPDATE=1 rewrites it)`, () => {
      const file = join(root, page.path);
      if (process.env["UPDATE"] === "1") {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, page.text);
      }
      assert.equal(readFileSync(file, "utf8"), page.text);
    });
  }
  it("there is no page without a command", () => {
    const expected = commandPages().map((page) => page.path.replace("docs/reference/commands/", ""));
    const present = readdirSync(join(root, "docs/reference/commands")).filter((name) => name.endsWith(".md"));
    for (const name of expected) assert.ok(present.includes(name), name);
  });
  it("every command that is registered carries its table", async () => {
    for (const [name, load] of Object.entries(commands)) {
      const table = tableOf(await load());
      if (name === "islet") assert.equal(table, null);
      else
        assert.ok(
          table !== null && [...commandTables, ...otherTables].includes(table),
          `${name}: make it with lxcCommand or give it withTable`,
        );
    }
  });
  it("every command has a page", () => {
    const tools = [...commandTables, ...otherTables].map((table) => table.tool).sort();
    assert.deepEqual(
      tools.filter((name) => name.startsWith("lxc-")),
      Object.keys(commands)
        .filter((name) => name.startsWith("lxc-"))
        .sort(),
    );
  });
  it("lists every option of every command once", () => {
    for (const table of commandTables) {
      const text = helpText(table);
      for (const row of table.options) {
        const lines = text.match(new RegExp(`^ {2}(-.*, | {4})--${row.long}(?![-a-z])`, "gm")) ?? [];
        assert.equal(lines.length, 1, `${table.tool} --${row.long}`);
      }
    }
  });
  it("goes to standard error with status 0, usage likewise, the version to standard output", async () => {
    // LXC's lxc-usernsexec is unlike the others: unshare.test.ts.
    const usual = commandTables.map((table) => table.tool).filter((each) => each !== "lxc-usernsexec");
    for (const name of usual.filter((each) => each.startsWith("lxc-"))) {
      for (const flag of ["--help", "-h", "-?", "--usage"]) {
        const { status, stdout, stderr } = await tool([name, flag]);
        assert.deepEqual([status, stdout], [0, ""], `${name} ${flag}`);
        assert.match(stderr, new RegExp(`^Usage: ${name} `));
      }
      assert.deepEqual(await tool([name, "--version"]), { status: 0, stdout: "5.0.2\n", stderr: "", calls: [] });
    }
  });
  it("follows an unknown option, with status 1", async () => {
    const { status, stderr } = await tool(["lxc-start", "--bogus"]);
    assert.equal(status, 1);
    assert.match(stderr, /^lxc-start: unrecognized option '--bogus'\nUsage: lxc-start /);
  });
  it("lays --usage out as LXC does", async () => {
    const { stderr } = await tool(["lxc-stop", "--usage"]);
    assert.equal(
      stderr,
      "Usage: lxc-stop [-r|--reboot] [-W|--nowait] [-t|--timeout=TIMEOUT] [-k|--kill] \n" +
        "\t[--nokill] [--nolock] [-n|--name=NAME] [-h|--help] \n" +
        "\t[-?|--help] [--usage] [--version] [-q|--quiet] \n" +
        "\t[-o|--logfile=LOGFILE] [-l|--logpriority=LOGPRIORITY] [-P|--lxcpath=LXCPATH] [--rcfile=RCFILE] \n" +
        "\t\n",
    );
  });
});
