import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { it } from "node:test";
import { usageText } from "../../src/frontends/lxc/commands/help.js";
import { commandTables } from "../../src/frontends/lxc/commands/pages.js";
import { lacks } from "../support/skip.js";

/** Options that Debian's tools do not have: islet's own, and one of a later LXC. They stand last in their tables. */
const additions = new Set(["format", "rbduser", "idmap"]);
/** Names of LXC 0.7 to 1.0 that Debian's LXC has no more. */
const former = new Set(
  "lxc-backup lxc-clone lxc-kill lxc-list lxc-netstat lxc-ps lxc-restore lxc-shutdown lxc-start-ephemeral".split(" "),
);

for (const table of commandTables.filter(({ tool }) => tool.startsWith("lxc-") && !former.has(tool))) {
  it(`${table.tool} has the options of Debian's ${table.tool}: --usage is the same text`, (t) => {
    if (lacks(t, "lxc")) return;
    const theirs = spawnSync(`/usr/bin/${table.tool}`, ["--usage"], { encoding: "utf8", timeout: 10_000 });
    const options = table.options.filter((row) => !additions.has(row.long));
    assert.equal(usageText({ ...table, options }), theirs.stderr);
  });
}
