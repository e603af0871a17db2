import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CommandTable } from "../../../../src/frontends/lxc/commands/getopt.js";
import { aliasManPage, commandManPage, isletManPage } from "../../../../src/frontends/lxc/commands/man.js";
import { commonOptions, option } from "../../../../src/frontends/lxc/commands/options.js";
import { commandTables } from "../../../../src/frontends/lxc/commands/pages.js";
import { configManPage } from "../../../../src/frontends/lxc/config/man.js";
import { chapters } from "../../../../src/frontends/lxc/config/table.js";
import { bold, escape, fromMarkdown, inline, usage } from "../../../../src/frontends/lxc/roff.js";

describe("roff", () => {
  it("comes out as the text that went in, whatever is in it", () => {
    assert.equal(escape("a-b --c"), "a\\-b \\-\\-c");
    assert.equal(escape("C:\\n \\fB"), "C:\\en \\efB");
    assert.equal(escape('it\'s `x` ^ ~ "q"'), "it\\(aqs \\(gax\\(ga \\(ha \\(ti \\(dqq\\(dq");
    assert.equal(escape("é 😀"), "\\[u00E9] \\[u1F600]");
  });
  it("makes no request of a line that begins with a dot or quote, nor of a line feed", () => {
    assert.equal(escape(".so /etc/shadow"), "\\&.so /etc/shadow");
    assert.equal(escape("'nh"), "\\(aqnh");
    assert.equal(escape("a\n.so b\tc\u001b[1m"), "a .so b c [1m");
    assert.equal(inline(".x `.y`"), "\\&.x \\fB.y\\fR".replace("\\fB.y", "\\fB\\&.y"));
  });
  it("shows code and what is strong in bold, options of a usage line bold, their arguments italic", () => {
    assert.equal(inline("see `a -b` or **c**."), "see \\fBa \\-b\\fR or \\fBc\\fR.");
    assert.equal(usage("--name=NAME [-r|-k]"), "\\fB\\-\\-name\\fR=\\fINAME\\fR [\\fB\\-r\\fR|\\fB\\-k\\fR]");
    assert.equal(bold(""), "");
  });
  it("reads headings, items and paragraphs of Markdown", () => {
    assert.deepEqual(fromMarkdown("# T\n\n<!-- no -->\n\none\ntwo\n\n## A b\n\nthree\n\n- x\n- y `z`\n"), [
      "one",
      "two",
      '.SH "A B"',
      "three",
      '.IP "\\(bu" 2',
      "x",
      '.IP "\\(bu" 2',
      "y \\fBz\\fR",
    ]);
  });
});

const table: CommandTable = {
  tool: "lxc-try",
  synopsis: "--name=NAME [-x]\n-a",
  description: "Tries a thing. Like lxc-start, but not like lxc-nothing.",
  options: [
    option("extra", "more: .hidden", { short: "x1", argument: "N", optional: true }),
    option("empty", ""),
    ...commonOptions,
  ],
  operands: "any",
  named: true,
  notes: ["Exit status: 0 tried, 1 not.", "A note."],
};

describe("man pages of commands", () => {
  it("have a NAME that whatis reads, the forms of the options, notes and exit statuses apart", () => {
    const text = commandManPage(table, ["lxc-try", "lxc-start"]);
    const has = (wanted: string): void => assert.ok(text.includes(wanted), `${wanted}\n--- in\n${text}`);
    has('\n.TH "LXC\\-TRY" "1" "" "islet 0.1.0" "islet"\n');
    has('\n.SH "NAME"\nlxc\\-try \\- tries a thing\n');
    has(
      '\n.SH "SYNOPSIS"\n\\fBlxc\\-try\\fR \\fB\\-\\-name\\fR=\\fINAME\\fR [\\fB\\-x\\fR]\n.br\n\\fBlxc\\-try\\fR \\fB\\-a\\fR\n',
    );
    has("\n.TP\n\\fB\\-x\\fR, \\fB\\-\\-extra\\fR[=\\fIN\\fR]\nMore: .hidden\n");
    has("\n.TP\n\\fB\\-\\-empty\\fR\n\\&\n");
    has('\n.SS "Common options"\n');
    has('\n.SH "NOTES"\nA note.\n.SH "EXIT STATUS"\n0 tried, 1 not.\n');
    has('\n.SH "SEE ALSO"\n\\fBislet\\fR(1),\n\\fBlxc\\-start\\fR(1),\n\\fBlxc.container.conf\\fR(5)\n');
  });
  it("leave out sections that they have nothing for", () => {
    const text = commandManPage({ ...table, notes: [], named: false }, []);
    assert.doesNotMatch(text, /NOTES|EXIT STATUS|container\.conf/);
  });
  it("list every command in islet(1), and show the first name's page for a second name", () => {
    const text = isletManPage(commandTables);
    for (const { tool } of commandTables) assert.ok(text.includes(`\n.TP\n${bold(tool)}(1)\n`), tool);
    assert.equal(aliasManPage("lxc-try"), ".so man1/lxc-try.1\n");
  });
  it("have a request or text on every line, and no character that is not ASCII", () => {
    const pages = [
      configManPage("islet"),
      isletManPage(commandTables),
      ...commandTables.map((each) => commandManPage(each, [])),
    ];
    for (const page of pages) {
      for (const row of page.split("\n").slice(0, -1)) {
        assert.match(row, /^(\.(TH|SH|SS|TP|PP|IP|br|\\")( .*|$)|[^.'])/);
        assert.match(row, /^[\x20-\x7e]+$/);
      }
    }
  });
});

describe("lxc.container.conf(5)", () => {
  it("has every key of the tables", () => {
    const text = configManPage("islet 0");
    for (const row of chapters.flatMap((chapter) => chapter.rows))
      assert.ok(
        text.includes(`\n.TP\n${bold(`${row.key}${row.rest ?? ""}`)} (${row.kind}; since ${row.since}`),
        row.key,
      );
    for (const key of ["lxc.include", "lxc.net.N.type", "lxc.utsname"]) assert.ok(text.includes(`\n${bold(key)}`), key);
  });
});
