import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { findTemplate, templateNames } from "../../../../src/frontends/lxc/commands/template.js";
import { type Canned, runningContainer, store, tool } from "./canned.js";

const place = mkdtempSync(join(tmpdir(), "islt-hints-"));
after(() => {
  rmSync(place, { recursive: true, force: true });
});

const configs = { web: "lxc.uts.name = web\n", database: "lxc.uts.name = database\n" };

/** What is written to standard error on a terminal, and elsewhere. */
async function said(argv: readonly string[], canned: Canned = { configs }): Promise<readonly [string, string]> {
  const onTerminal = await tool(argv, { ...canned, errorTerminal: true });
  const elsewhere = await tool(argv, canned);
  assert.deepEqual(
    [onTerminal.status, onTerminal.stdout],
    [elsewhere.status, elsewhere.stdout],
    "a hint changes nothing else",
  );
  return [onTerminal.stderr, elsewhere.stderr];
}

/** The hint, which must be a further line, on a terminal only. */
async function hint(argv: readonly string[], canned?: Canned): Promise<string> {
  const [onTerminal, elsewhere] = await said(argv, canned);
  assert.ok(onTerminal.startsWith(elsewhere), `${onTerminal}\n--\n${elsewhere}`);
  const [, text] = /^[\w -]+: hint: (.*)\n$/.exec(onTerminal.slice(elsewhere.length)) ?? [];
  return text ?? `no hint: ${onTerminal}`;
}

const running: Canned = { configs, running: [runningContainer("web")] };

describe("hints", () => {
  it("a name that is nearly right", async () => {
    for (const argv of [
      ["lxc-start", "wbe"],
      ["lxc-stop", "wbe"],
      ["lxc-console", "wbe"],
      ["lxc-info", "wbe"],
      ["lxc-destroy", "wbe"],
      ["islet", "plan", "-P", store, "wbe"],
    ])
      assert.equal(await hint(argv), "there is no wbe in /canned; did you mean web?", argv.join(" "));
    assert.equal(await hint(["lxc-stop", "databse"]), "there is no databse in /canned; did you mean database?");
  });
  it("a name that there is not, or a directory without containers", async () => {
    assert.equal(
      await hint(["lxc-stop", "xyzzy"]),
      "there is no xyzzy in /canned; islet ls shows those there are, -P names another directory",
    );
    assert.equal(await hint(["lxc-stop", "web"], {}), "there are no containers in /canned; -P names another directory");
  });
  it("one that is in the usual directory", async () => {
    const engine = {
      defined: (path: string) => Promise.resolve(path === "/var/lib/lxc" ? ["mail"] : ["web"]),
    };
    assert.equal(
      await hint(["lxc-stop", "mail"], { engine }),
      "there is no mail in /canned, but there is one in /var/lib/lxc: leave out -P",
    );
  });
  it("one that does not run is started, with the directory that was given", async () => {
    assert.equal(await hint(["lxc-stop", "web"]), "to start it: lxc-start -P /canned -n web");
    assert.equal(await hint(["lxc-stop", "-P", "/a b", "web"]), "to start it: lxc-start -P '/a b' -n web");
  });
  it("one that runs", async () => {
    const refuse = (): Promise<never> => Promise.reject(new IsletError("ISLET_RUNNING", "it runs"));
    assert.equal(
      await hint(["lxc-start", "web"], { ...running, engine: { start: refuse } }),
      "to go into it: lxc-attach -P /canned -n web; to stop it: lxc-stop -P /canned -n web",
    );
    assert.equal(
      await hint(["lxc-destroy", "web"], { ...running, engine: { destroy: refuse } }),
      "to stop it: lxc-stop -P /canned -n web; lxc-destroy -f kills it first",
    );
  });
  it("a name that is taken, or missing", async () => {
    assert.equal(
      await hint(["lxc-create", "-t", "none", "-n", "web"]),
      "choose another name, or remove that one: lxc-destroy -P /canned -n web",
    );
    assert.equal(await hint(["lxc-start"]), "lxc-start -n NAME; islet ls shows the names");
  });
  it("a key that is nearly right", async () => {
    assert.equal(await hint(["lxc-info", "-c", "lxc.uts.nmae", "web"]), "did you mean lxc.uts.name?");
    const [onTerminal] = await said(["lxc-start", "bad"], { configs: { bad: "lxc.uts.nmae = x\n" } });
    assert.match(onTerminal, /Unsupported config key "lxc\.uts\.nmae".*did you mean lxc\.uts\.name\?/);
  });
  it("no template given: those there are", async () => {
    assert.match(
      await hint(["lxc-create", "-n", "new"], {}),
      /^there are .*busybox, .*none.*: lxc-create -n new -t busybox$/,
    );
  });
  it("are not shown with -q", async () => {
    const [onTerminal, elsewhere] = await said(["lxc-stop", "-q", "wbe"]);
    assert.equal(onTerminal, elsewhere);
  });
  it("a template that is nearly right; those that no program is are no templates", () => {
    for (const name of ["lxc-debian", "lxc-devuan", "lxc-notes", "README"]) writeFileSync(join(place, name), "");
    for (const name of ["lxc-debian", "lxc-devuan"]) chmodSync(join(place, name), 0o755);
    const caller = { uid: 0, gid: 0, pid: 1, cwd: "/", environment: { LXC_TEMPLATE_PATH: place } };
    const names = templateNames(caller);
    assert.ok(["busybox", "debian", "devuan", "none"].every((name) => names.includes(name)));
    assert.ok(!names.includes("notes"));
    const problem = (name: string): string => {
      try {
        findTemplate(name, caller);
      } catch (error) {
        return error instanceof IsletError ? (error.hint ?? "") : String(error);
      }
      return "found";
    };
    assert.equal(problem("debain"), "did you mean debian? there is no /usr/share/lxc/templates/lxc-debain");
    assert.match(
      problem("xyzzy"),
      /^there is no .*; there are .*debian, devuan.*; more come with the package lxc-templates$/,
    );
    assert.equal(problem("debian"), "found");
  });
});
