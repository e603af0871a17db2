import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nearest } from "../../../../src/base/nearest.js";
import { globs } from "../../../../src/frontends/lxc/commands/islet/glob.js";
import { tableLines } from "../../../../src/frontends/lxc/commands/layout.js";
import {
  bar,
  cutSpans,
  harmless,
  isUtf8,
  type Look,
  lookOf,
  plain,
  render,
  shortBytes,
  shortTime,
  widthOf,
} from "../../../../src/frontends/lxc/commands/look.js";

const ascii: Look = { columns: null, colours: false, unicode: false };
const fine: Look = { columns: null, colours: true, unicode: true };

const session = (terminals: readonly [boolean, boolean, boolean], environment: Readonly<Record<string, string>>) => ({
  terminals,
  columns: 100,
  caller: { uid: 0, gid: 0, pid: 1, cwd: "/", environment },
});

describe("how things look", () => {
  it("colours need a terminal, and nobody who minds", () => {
    const terminal = [true, true, false] as const;
    assert.equal(lookOf(session(terminal, {}), 1).colours, true);
    assert.equal(lookOf(session(terminal, { NO_COLOR: "" }), 1).colours, true);
    assert.equal(lookOf(session(terminal, { NO_COLOR: "1" }), 1).colours, false);
    assert.equal(lookOf(session(terminal, { TERM: "dumb" }), 1).colours, false);
    assert.deepEqual(lookOf(session(terminal, {}), 2), ascii);
    assert.equal(lookOf(session(terminal, {}), 1).columns, 100);
    assert.equal(lookOf({ ...session(terminal, {}), columns: 0 }, 1).columns, 80);
  });
  it("the first variable of the locale that is set decides about UTF-8", () => {
    assert.equal(isUtf8({}), false);
    assert.equal(isUtf8({ LANG: "de_DE.UTF-8" }), true);
    assert.equal(isUtf8({ LC_ALL: "", LC_CTYPE: "C.utf8", LANG: "C" }), true);
    assert.equal(isUtf8({ LC_ALL: "C", LANG: "C.UTF-8" }), false);
  });
  it("characters take the columns that a terminal gives them", () => {
    for (const [text, width] of [
      ["web", 3],
      ["Köln", 4],
      ["Ko\u0308ln", 4],
      ["日本", 4],
      ["😀", 2],
      ["●○❄", 3],
      ["█▏·", 3],
    ] as const)
      assert.equal(widthOf(text), width, text);
  });
  it("what is cut says so, and never by half a character", () => {
    const cut = (text: string, columns: number, look: Look = fine): string =>
      render(cutSpans(plain(text), columns, look), ascii);
    assert.equal(cut("container", 5), "cont…");
    assert.equal(cut("container", 9), "container");
    assert.equal(cut("日本語", 4), "日…");
    assert.equal(cut("container", 5, ascii), "cont~");
    assert.equal(cut("x", 0), "");
    assert.equal(
      render(cutSpans([...plain("ab"), { text: "cdef", style: "red" }], 4, fine), fine),
      "ab\u001b[31mc…\u001b[0m",
    );
  });
  it("nothing that a terminal obeys, or that turns the direction of writing, gets through", () => {
    assert.equal(harmless("a\u001b[2Jb\u009bc\u202ed\n", fine), "a?[2Jb?c?d?");
    assert.equal(harmless("Köln", fine), "Köln");
    assert.equal(harmless("Köln😀", ascii), "K?ln?");
  });
  it("bars are as wide as asked for, whatever the share", () => {
    for (const share of [-1, 0, 0.001, 0.33, 0.5, 0.999, 1, 7, Number.NaN]) {
      for (const look of [ascii, fine]) {
        const text = render(bar(share, 10, look, "green"), ascii);
        assert.equal(widthOf(text), 10, `${share} ${text}`);
      }
    }
    assert.equal(render(bar(0.5, 10, ascii, "green"), ascii), "[####....]");
    assert.equal(render(bar(0.55, 10, fine, "green"), ascii), "█████▌····");
  });
  it("amounts are short", () => {
    assert.deepEqual([0n, 999n, 1000n, 10239n, 64n << 20n, 1500n << 20n, 3n << 40n].map(shortBytes), [
      "0B",
      "999B",
      "1.0K",
      "10K",
      "64M",
      "1.5G",
      "3.0T",
    ]);
    assert.deepEqual([0, 59.9, 60, 3599, 3600, 86400 * 12 + 3600 * 3, -1].map(shortTime), [
      "0s",
      "59s",
      "1m00s",
      "59m59s",
      "1h00m",
      "12d3h",
      "0s",
    ]);
  });
});

describe("a table", () => {
  interface Row {
    readonly name: string;
    readonly address: string;
    readonly note: string;
  }
  const rows: readonly Row[] = [
    { name: "web", address: "10.0.3.17, 192.168.122.250", note: "n" },
    { name: "a-name-of-some-length", address: "", note: "" },
  ];
  const lines = (columns: number | null, more: readonly Row[] = rows): readonly string[] =>
    tableLines(
      more,
      [
        { title: "NAME", rank: 0, least: 6, cell: (row) => plain(row.name) },
        { title: "ADDRESS", rank: 1, least: 10, cell: (row) => plain(row.address) },
        { title: "NOTE", rank: 2, side: "right", cell: (row) => plain(row.note) },
      ],
      { columns, colours: false, unicode: true },
    );

  it("is as wide as it takes without a terminal", () => {
    assert.deepEqual(lines(null), [
      "NAME                   ADDRESS                     NOTE",
      "web                    10.0.3.17, 192.168.122.250     n",
      "a-name-of-some-length",
    ]);
  });
  it("cuts what is long, the widest first, before a column drops out", () => {
    assert.deepEqual(lines(40), [
      "NAME              ADDRESS           NOTE",
      "web               10.0.3.17, 192.…     n",
      "a-name-of-some-…",
    ]);
  });
  it("then leaves out the column that matters least", () => {
    assert.deepEqual(lines(20), ["NAME      ADDRESS", "web       10.0.3.17…", "a-name-…"]);
    assert.deepEqual(lines(12), ["NAME", "web", "a-name-of-s…"]);
  });
  it("never wraps, however narrow the terminal is", () => {
    for (let columns = 1; columns < 70; columns += 1)
      for (const line of lines(columns)) assert.ok(widthOf(line) <= columns, `${columns}: ${line}`);
  });
  it("has no column in which nothing stands", () => {
    assert.deepEqual(lines(null, [{ name: "x", address: "", note: "" }]), ["NAME", "x"]);
  });
});

describe("name patterns", () => {
  it("are those of the shell", () => {
    const match = (pattern: string, name: string): boolean => globs([pattern])(name);
    for (const [pattern, name] of [
      ["web", "web"],
      ["web*", "web"],
      ["w*b", "wxxb"],
      ["*1*", "web10"],
      ["w?b", "web"],
      ["web[0-9]", "web5"],
      ["web[!a-z]", "web5"],
      ["web[]x]", "web]"],
      ["web[", "web["],
      ["a\\*", "a*"],
    ] as const)
      assert.ok(match(pattern, name), `${pattern} ${name}`);
    for (const [pattern, name] of [
      ["web", "web1"],
      ["w?b", "wb"],
      ["web[0-9]", "webx"],
      ["a\\*", "ab"],
      ["*x", "web"],
    ] as const)
      assert.ok(!match(pattern, name), `${pattern} ${name}`);
    assert.ok(globs([])("anything"));
    assert.ok(globs(["a", "b"])("b"));
  });
  it("that are hostile take no time", () => {
    assert.equal(globs(["*a".repeat(60)])("b".repeat(200)), false);
  });
});

describe("the nearest name", () => {
  it("is the one with the fewest slips, none where all are far", () => {
    assert.equal(nearest("wbe", ["web", "db"], 1), "web");
    assert.equal(nearest("web2", ["web1", "web12"], 1), "web1");
    assert.equal(nearest("mail", ["web", "db"], 1), null);
  });
});
