import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { Engine, StopOptions } from "../../../../src/engine/engine.js";
import { autoLinks } from "../../../../src/frontends/lxc/commands/auto-links.js";
import { type Candidate, groupList, selectSteps } from "../../../../src/frontends/lxc/commands/autostart-select.js";
import { type Canned, type Outcome, runningContainer, store, tool } from "./canned.js";

const candidate = (name: string, details: Partial<Candidate> = {}): Candidate => ({
  name,
  auto: true,
  order: 0,
  delay: 0,
  groups: [],
  ...details,
});
const names = (steps: readonly (readonly Candidate[])[]): string =>
  steps.map((step) => step.map((one) => one.name).join(" ")).join(" | ");
const choice = { groups: [""], all: false, ignoreAuto: false, reverse: false };

describe("the selection of lxc-autostart", () => {
  const some = [
    candidate("b", { order: 2 }),
    candidate("a", { order: 2 }),
    candidate("c", { order: -1 }),
    candidate("web", { groups: ["onboot", "web"], order: 1 }),
    candidate("we", { groups: ["we"] }),
    candidate("manual", { auto: false }),
  ];
  it("goes by lxc.start.order and name, backwards for stopping; the same order is one step", () => {
    assert.equal(names(selectSteps(some, choice)), "c | a b");
    assert.equal(names(selectSteps(some, { ...choice, reverse: true })), "b a | c");
  });
  it("compares names as bytes", () => {
    const found = selectSteps(
      ["b", "B", "a10", "a2", "é"].map((name) => candidate(name)),
      choice,
    );
    assert.equal(names(found), "B a10 a2 b é");
  });
  it("goes group after group, and takes nobody twice", () => {
    assert.equal(names(selectSteps(some, { ...choice, groups: ["web", "", "onboot"] })), "web | c | a b");
    assert.equal(names(selectSteps(some, { ...choice, groups: ["nosuch"] })), "");
  });
  it("takes a group by its whole name", () => {
    assert.equal(names(selectSteps(some, { ...choice, groups: ["we"] })), "we");
    assert.equal(names(selectSteps(some, { ...choice, groups: ["webs"] })), "");
  });
  it("takes all groups with -a and manual ones with -A", () => {
    assert.equal(names(selectSteps(some, { ...choice, all: true, groups: ["nosuch"] })), "c | we | web | a b");
    assert.equal(names(selectSteps(some, { ...choice, ignoreAuto: true })), "c | manual | a b");
  });
  it("reads the words of every -g once, empty ones as the containers without a group", () => {
    assert.deepEqual(groupList([]), [""]);
    assert.deepEqual(groupList(["onboot,"]), ["onboot", ""]);
    assert.deepEqual(groupList(["b,a,b", ",c"]), ["b", "a", "", "c"]);
  });
});

describe("the links in /etc/lxc/auto", () => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "islt-auto-")));
  after(() => rmSync(base, { recursive: true }));
  const [auto, own, elsewhere] = ["auto", "store", "elsewhere"].map((name) => join(base, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [auto, own, elsewhere, join(own, "web"), join(elsewhere, "moved"), join(elsewhere, "other")])
    mkdirSync(path);
  for (const path of [join(own, "web"), join(elsewhere, "moved"), join(elsewhere, "other")])
    writeFileSync(join(path, "config"), "");
  symlinkSync(join(elsewhere, "moved"), join(own, "moved"));
  symlinkSync(own, join(base, "alias"));
  const link = (name: string, target: string): void => symlinkSync(target, join(auto, name));
  link("any-name.conf", join(own, "web/config"));
  link("relative.conf", "../store/moved/config");
  link("dangling.conf", join(own, "gone/config"));
  link("other.conf", join(elsewhere, "other/config"));
  link("no-suffix", join(own, "suffix/config"));
  link("file.conf", join(own, "web/rootfs"));
  link("loop.conf", "loop.conf");
  writeFileSync(join(auto, "copied.conf"), "");
  mkdirSync(join(auto, "directory.conf"));

  it("name the container whose configuration they lead to", () => {
    assert.deepEqual([...autoLinks(auto, own, false)].sort(), ["gone", "moved", "web"]);
    assert.deepEqual([...autoLinks(auto, elsewhere, false)].sort(), ["moved", "other"]);
  });
  it("lead to a store by whatever name it is called", () => {
    assert.ok(autoLinks(auto, join(base, "alias"), false).has("web"));
  });
  it("may be plain files for the system's own store", () => {
    assert.deepEqual([...autoLinks(auto, own, true)].sort(), ["copied", "gone", "moved", "web"]);
  });
  it("are none where there is no such directory", () => {
    assert.equal(autoLinks(join(base, "nosuch"), own, true).size, 0);
  });
});

const rootfs = "lxc.rootfs.path = dir:/canned/rootfs\n";
const automatic = `${rootfs}lxc.start.auto = 1\n`;
const configs = {
  a: `${automatic}lxc.start.order = 9\nlxc.start.delay = 7\n`,
  b: automatic,
  c: `${automatic}lxc.group = onboot\n`,
  d: rootfs,
};

/** An engine that starts and stops by name, and keeps what it was asked for. */
function engine(log: string[], fails: readonly string[] = []): Partial<Engine> {
  const perform = (name: string, what: string): void => {
    log.push(`${what} ${name}`);
    if (fails.includes(name)) throw new IsletError("ISLET_START_FAILED", `mount proc: EPERM for ${name}`);
  };
  return {
    start: async (spec) => {
      perform(spec.name, "start");
      return await Promise.resolve(runningContainer(spec.name));
    },
    stop: async ({ name }, { kind, timeout }: StopOptions) => {
      perform(name, `${kind} ${timeout}`);
      return await Promise.resolve({ killed: false });
    },
  };
}

const run = (words: readonly string[], canned: Canned = {}): Promise<Outcome> =>
  tool(["lxc-autostart", ...words], { configs, ...canned });
const brief = async (words: readonly string[], canned: Canned = {}): Promise<readonly [number, string, string]> => {
  const { status, stdout, stderr } = await run(words, canned);
  return [status, stdout, stderr];
};

describe("lxc-autostart", () => {
  it("lists what it would start with the delays, and starts nothing", async () => {
    assert.deepEqual(await brief(["-L"]), [0, "b 0\na 7\n", ""]);
    const listed = async (...words: readonly string[]): Promise<unknown> =>
      JSON.parse((await run([...words, "-L", "--format=json"])).stdout);
    const [b, a] = [
      { name: "b", delaySeconds: 0 },
      { name: "a", delaySeconds: 7 },
    ];
    assert.deepEqual(await listed(), [b, a]);
    assert.deepEqual(await listed("-s"), []);
    assert.equal((await run(["-L", "--format=json"], { configs: {} })).stdout, "[]\n");
    assert.match((await run(["--format=json"])).stderr, /--format is for --list/);
    assert.deepEqual(await brief(["-L", "-g", "onboot,"]), [0, "c 0\nb 0\na 7\n", ""]);
    assert.deepEqual(await brief(["-LaA"]), [0, "b 0\nc 0\nd 0\na 7\n", ""]);
    assert.deepEqual(await brief(["-L", "-A", "--groups=onboot", "-g", "onboot"]), [0, "c 0\n", ""]);
  });
  it("lists for a reboot with delays, for stopping only names, of those that run", async () => {
    const running = [runningContainer("a", "FROZEN"), runningContainer("b")];
    assert.deepEqual(await brief(["-L"], { running }), [0, "", ""]);
    assert.deepEqual(await brief(["-Lr"], { running }), [0, "b 0\na 7\n", ""]);
    for (const words of [["-Ls"], ["-Lk"], ["-Lkr"], ["-Lskr"]])
      assert.deepEqual(await brief(words, { running }), [0, "a\nb\n", ""]);
  });
  it("starts in order and leaves alone what runs", async () => {
    const log: string[] = [];
    const quick = { ...configs, a: `${automatic}lxc.start.order = 9\n` };
    const outcome = await run(["-a"], { configs: quick, running: [runningContainer("c")], engine: engine(log) });
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr, log], [0, "", "", ["start b", "start a"]]);
  });
  it("waits lxc.start.delay seconds after a start", async () => {
    const began = performance.now();
    const slow = { a: `${automatic}lxc.start.delay = 1\n` };
    await run([], { configs: slow, engine: engine([]) });
    const took = performance.now() - began;
    assert.ok(took >= 990 && took < 5000, `${took} ms`);
  });
  it("waits no longer, and starts nothing more, when the client has gone", async () => {
    const log: string[] = [];
    const gone = new Promise<never>((_resolve, reject) => {
      setTimeout(() => reject(new IsletError("ISLET_PROTOCOL", "the client has gone")), 50);
    });
    const slow = { a: `${automatic}lxc.start.delay = 60\n`, b: automatic };
    const { status } = await run([], { configs: slow, engine: engine(log), gone });
    assert.equal(status, 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(log, ["start a"]);
  });
  it("shuts down backwards, kills and reboots, with the timeout asked for", async () => {
    const running = ["a", "b"].map((name) => runningContainer(name));
    const quick = { ...configs, a: `${automatic}lxc.start.order = 9\n` };
    for (const [words, expected] of [
      [["-s"], ["clean 60000 a", "clean 60000 b"]],
      [
        ["-s", "-t", "5"],
        ["clean 5000 a", "clean 5000 b"],
      ],
      [
        ["-s", "-t", "-1"],
        ["clean null a", "clean null b"],
      ],
      [["-k"], ["kill null a", "kill null b"]],
      [["-r"], ["reboot 0 b", "reboot 0 a"]],
    ] as const) {
      const log: string[] = [];
      assert.deepEqual(await brief(words, { configs: quick, running, engine: engine(log) }), [0, "", ""]);
      assert.deepEqual(log, expected);
    }
  });
  it("shuts down at the same time what has the same order, and says who had to be killed", async () => {
    let busy = 0;
    let most = 0;
    const stopping: Partial<Engine> = {
      stop: async () => {
        most = Math.max(most, (busy += 1));
        await new Promise((resolve) => setTimeout(resolve, 20));
        busy -= 1;
        return { killed: true };
      },
    };
    const running = ["b", "d"].map((name) => runningContainer(name));
    const { status, stderr } = await run(["-saA", "-t2"], { running, engine: stopping });
    assert.deepEqual([status, most], [0, 2]);
    assert.equal(
      stderr,
      ["d", "b"].map((name) => `lxc-autostart: ${name} did not shut down within 2 seconds and was killed\n`).join(""),
    );
  });
  it("goes on after a failure, says what failed and why, with status 2; 1 when as many failed as there are", async () => {
    const log: string[] = [];
    const quick = { a: automatic, b: automatic };
    const some = await brief([], { configs: quick, engine: engine(log, ["a"]) });
    const words = (name: string): string =>
      `lxc-autostart: ${name}: mount proc: EPERM for ${name}\nlxc-autostart: Error starting container: ${name}\n`;
    assert.deepEqual(
      [some, log],
      [
        [2, "", words("a")],
        ["start a", "start b"],
      ],
    );
    const none = await brief([], { configs: quick, engine: engine([], ["a", "b"]) });
    assert.deepEqual(none, [1, "", words("a") + words("b")]);
    for (const [option, verb] of [
      ["-s", "shutting down"],
      ["-k", "killing"],
      ["-r", "rebooting"],
    ] as const) {
      const running = [runningContainer("a")];
      const { status, stderr } = await run([option], { configs: quick, running, engine: engine([], ["a"]) });
      assert.equal(status, 2);
      assert.match(stderr, new RegExp(`^lxc-autostart: Error ${verb} container: a$`, "m"));
    }
  });
  it("is content when somebody else was quicker", async () => {
    const quicker: Partial<Engine> = { start: () => Promise.reject(new IsletError("ISLET_RUNNING", "it runs")) };
    assert.deepEqual(await brief([], { configs: { a: automatic }, engine: quicker }), [0, "", ""]);
  });
  it("says of a store without containers so, with LXC's status 1", async () => {
    assert.deepEqual(await brief([], { configs: {} }), [1, "", `lxc-autostart: there are no containers in ${store}\n`]);
  });
  it("leaves out a container whose configuration is broken, and tells of it", async () => {
    const { status, stdout, stderr } = await run(["-L"], { configs: { a: automatic, brk: "lxc.start.auto = 2\n" } });
    assert.deepEqual([status, stdout], [0, "a 0\n"]);
    assert.match(stderr, /^Failed to load config for brk$/m);
  });
  it("says that -a overrides -g", async () => {
    const { stdout, stderr } = await run(["-L", "-a", "-g", "nosuch"]);
    assert.equal(stdout, "b 0\nc 0\na 7\n");
    assert.equal(
      stderr,
      "lxc-autostart: Specifying -a (all) with -g (groups) doesn't make sense. All option overrides\n",
    );
  });
  it("refuses a timeout that is no number", async () => {
    for (const text of ["x", "", "1s", "99999999999"]) {
      const { status, stderr } = await run(["-s", "-t", text]);
      assert.equal(status, 1);
      assert.match(stderr, /lxc-autostart: could not parse command line\n$/);
    }
  });
});
