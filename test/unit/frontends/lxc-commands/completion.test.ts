import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { commandCompletion } from "../../../../src/frontends/lxc/commands/completion.js";
import { commonOptions, option } from "../../../../src/frontends/lxc/commands/options.js";
import { completionFiles } from "../../../../src/frontends/lxc/commands/pages.js";

const folder = join(import.meta.dirname, "../../../../../share/bash-completion/completions");
const place = mkdtempSync(join(tmpdir(), "islt-completion-"));
after(() => {
  rmSync(place, { recursive: true, force: true });
});

// An lxc-ls that is asked, and keeps what it was asked for.
mkdirSync(join(place, "bin"));
writeFileSync(
  join(place, "bin/lxc-ls"),
  `#!/bin/sh
echo "$*" >> ${place}/asked
case "$*" in
*--running*) printf '%s\\n' web1 web2 ;;
*--stopped*) printf '%s\\n' old web3 ;;
*-P*) echo elsewhere ;;
*) printf '%s\\n' old web1 web2 web3 'x$(touch ${place}/expanded)' 'a b' ;;
esac
`,
);
chmodSync(join(place, "bin/lxc-ls"), 0o755);
mkdirSync(join(place, "files/dir"), { recursive: true });
writeFileSync(join(place, "files/a.conf"), "");
writeFileSync(join(place, "files/a=b.conf"), "");
writeFileSync(join(place, "files/$(touch expanded)"), "");
mkdirSync(join(place, "templates"));
for (const name of ["lxc-busybox", "lxc-debian", "lxc-devuan"]) writeFileSync(join(place, "templates", name), "");

interface Asked {
  /** File below `folder`; by default the first word. */
  readonly file?: string;
  readonly breaks?: string;
}

/** What is offered with the cursor behind the last word. */
function offered(words: readonly string[], { file, breaks = " \t\n\"'><=;|&(:" }: Asked = {}): readonly string[] {
  rmSync(join(place, "asked"), { force: true });
  const script = `
    set -u
    COMP_WORDBREAKS=$1 file=$2; shift 2
    . "$file"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    function=$(complete -p -- "$1"); function=\${function#* -F }
    "\${function%% *}" "$1" "\${COMP_WORDS[COMP_CWORD]}" "" || exit
    ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = spawnSync(
    "bash",
    ["--norc", "--noprofile", "-c", script, "bash", breaks, file ?? join(folder, words[0] ?? ""), ...words],
    {
      encoding: "utf8",
      cwd: join(place, "files"),
      env: {
        PATH: `${place}/bin:/usr/bin:/bin`,
        HOME: join(place, "home"),
        LXC_TEMPLATE_PATH: join(place, "templates"),
      },
      timeout: 20_000,
    },
  );
  assert.deepEqual([result.status, result.stderr], [0, ""], words.join(" "));
  return result.stdout.split("\n").slice(0, -1);
}

const asked = (): string => (existsSync(join(place, "asked")) ? readFileSync(join(place, "asked"), "utf8") : "");

describe("completion", () => {
  it("offers containers that run where the command wants one, stopped ones to start, all to others", () => {
    assert.deepEqual(offered(["lxc-stop", ""]), ["web1", "web2"]);
    assert.equal(asked(), "-1 --running\n");
    assert.deepEqual(offered(["lxc-attach", "-n", "w"]), ["web1", "web2"]);
    assert.deepEqual(offered(["lxc-start", ""]), ["old", "web3"]);
    offered(["lxc-unfreeze", ""]);
    assert.equal(asked(), "-1 --frozen\n");
    assert.deepEqual(offered(["lxc-info", "w"]), ["web1", "web2", "web3"]);
    assert.deepEqual(offered(["lxc-start", "--share-net", ""]), ["web1", "web2"]);
    assert.equal(asked(), "-1 --running\n");
  });
  it("offers no container where the name must be new, is there already, or is not taken", () => {
    for (const words of [
      ["lxc-create", ""],
      ["lxc-create", "-n", ""],
      ["lxc-stop", "web1", ""],
      ["lxc-stop", "-n", "web1", ""],
      ["lxc-stop", "-nweb1", ""],
      ["lxc-stop", "--name", "=", "web1", ""],
      ["lxc-stop", "-rn", "web1", ""],
      ["lxc-ls", ""],
    ]) {
      assert.deepEqual(offered(words), [], words.join(" "));
      assert.equal(asked(), "");
    }
  });
  it("knows --name=NAME whether or not readline cuts words at the =", () => {
    assert.deepEqual(offered(["lxc-stop", "--name", "=", "web2"]), ["web2"]);
    assert.deepEqual(offered(["lxc-stop", "--name", "="]), ["web1", "web2"]);
    assert.deepEqual(offered(["lxc-stop", "--name=web2"], { breaks: " \t\n" }), ["--name=web2"]);
  });
  it("asks in the store that -P names", () => {
    assert.deepEqual(offered(["lxc-info", "-P", "/srv/lxc", ""]), ["elsewhere"]);
    assert.equal(asked(), "-1 -P /srv/lxc\n");
    offered(["lxc-info", "--lxcpath", "=", "~/store", "-n", ""]);
    assert.equal(asked(), `-1 -P ${place}/home/store\n`);
    offered(["lxc-stop", "-P/srv/a", ""]);
    assert.equal(asked(), "-1 --running -P /srv/a\n");
  });
  it("expands nothing of a name, and quotes what the shell would", () => {
    assert.deepEqual(offered(["lxc-info", "x"]), [`x\\$\\(touch\\ ${place}/expanded\\)`]);
    assert.deepEqual(offered(["lxc-info", "a"]), ["a\\ b"]);
    assert.deepEqual(offered(["lxc-start", "-f", "$"]), ["$(touch expanded)"]);
    for (const path of ["expanded", "files/expanded"]) assert.ok(!existsSync(join(place, path)));
  });
  it("offers files and directories where an option takes one", () => {
    assert.deepEqual(offered(["lxc-start", "-f", "a"]).toSorted(), ["a.conf", "a=b.conf"]);
    assert.deepEqual(offered(["lxc-start", "-n", "x", "--rcfile", "=", "a."]), ["a.conf"]);
    assert.deepEqual(offered(["lxc-start", "-Ff", "a."]), ["a.conf"]);
    assert.deepEqual(offered(["lxc-info", "-P", ""]), ["dir"]);
  });
  it("offers templates, log levels and output formats", () => {
    assert.deepEqual(offered(["lxc-create", "-t", ""]), ["busybox", "none", "debian", "devuan"]);
    assert.deepEqual(offered(["lxc-create", "-t", "de"]), ["debian", "devuan"]);
    assert.deepEqual(offered(["lxc-ls", "-l", "D"]), ["DEBUG"]);
    assert.deepEqual(offered(["lxc-ls", "--format", "=", "j"]), ["json"]);
  });
  it("offers options, and nothing as a free value", () => {
    assert.deepEqual(offered(["lxc-stop", "--no"]), ["--nowait", "--nokill", "--nolock"]);
    assert.ok(offered(["lxc-stop", "-"]).includes("-k"));
    assert.deepEqual(offered(["lxc-start", "-s", ""]), []);
    assert.deepEqual(offered(["lxc-stop", "-t", ""]), []);
  });
  it("leaves the words of a command in the container alone", () => {
    assert.deepEqual(offered(["lxc-attach", "web1", "ls", "--"]), []);
    assert.deepEqual(offered(["lxc-attach", "-n", "web1", "--", ""]), []);
    assert.deepEqual(offered(["lxc-attach", "-n", "web1", "ls", "-"]), []);
    assert.ok(offered(["lxc-attach", "web1", "--cl"]).includes("--clear-env"));
  });
  it("goes behind `islet` as behind the command itself", () => {
    assert.deepEqual(offered(["islet", "sta"]), ["start", "start-ephemeral"]);
    assert.deepEqual(offered(["islet", "stop", ""]), ["web1", "web2"]);
    assert.deepEqual(offered(["islet", "lxc-stop", "--name", "=", "web2"]), ["web2"]);
    assert.deepEqual(offered(["islet", "plan", "--js"]), ["--json"]);
    assert.deepEqual(offered(["islet", "nonsense", ""]), []);
    assert.deepEqual(offered(["islet", "ls", "--form"]), ["--format"]);
    assert.deepEqual(offered(["islet", "ls", "--format", ""]), ["table", "json", "names"]);
    assert.deepEqual(offered(["islet", "lxc-ls", "--format", ""]), ["text", "json"]);
    assert.deepEqual(offered(["islet", "help", "doc"]), ["doctor"]);
    assert.deepEqual(offered(["islet", "../../x", ""]), []);
  });
  it("works from a link to the file, where bash-completion looks for it", () => {
    const link = join(place, "lxc-stop");
    symlinkSync(join(folder, "lxc-stop"), link);
    assert.deepEqual(offered(["lxc-stop", "web"], { file: link }), ["web1", "web2"]);
  });
  it("loads every file, each for its command", () => {
    for (const { path } of completionFiles()) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      offered([name, "--never-so"]);
    }
  });
  it("says of optional arguments that the next word is none", () => {
    const text = commandCompletion("lxc-try", {
      tool: "lxc-try",
      synopsis: "",
      description: "It's.",
      options: [option("level", "", { short: "e", argument: "N", optional: true }), ...commonOptions],
      operands: "any",
      named: true,
    });
    const file = join(place, "lxc-try");
    writeFileSync(file, `. ${folder}/_islet\n${text}`);
    assert.deepEqual(offered(["lxc-try", "-e", "w"], { file }), ["web1", "web2", "web3"]);
    assert.deepEqual(offered(["lxc-try", "--level", "w"], { file }), ["web1", "web2", "web3"]);
  });
});
