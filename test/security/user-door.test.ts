import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command } from "../support/command.js";
import { EXIT, HELLO, OUT, RESULT, RUN } from "../support/client.js";
import { encodeFrame, string, u32 } from "../support/frames.js";
import { end } from "../support/host.js";
import { descriptorCount } from "../support/leaks.js";
import type { Answer, Assault, Outcome } from "../support/plain-peer.js";
import { plainUsers, userPlace, type UserPlace } from "../support/plain-user.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** The socket that every user of the host may connect to takes one question, and nothing that comes through it does any harm. */

const { ann, bob } = plainUsers;
const CALL = 10;

async function assault(there: UserPlace, how: Partial<Assault>): Promise<Outcome> {
  const input: Assault = {
    path: join(there.own.runtimeDir, "user"),
    uid: ann.id,
    connections: 1,
    bytes: "",
    descriptors: 0,
    areLingering: false,
    patience: 1000,
    ...how,
  };
  const { status, stdout, stderr } = await there.net.command(
    [process.execPath, join(import.meta.dirname, "../support/plain-peer.js")],
    { input: JSON.stringify(input), timeout: 60_000 },
  );
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  return JSON.parse(stdout) as Outcome;
}

async function one(there: UserPlace, bytes: Buffer, how: Partial<Assault> = {}): Promise<Answer> {
  const { answers, errors } = await assault(there, { ...how, bytes: bytes.toString("hex") });
  return answers[0] ?? assert.fail(errors.join());
}

interface Said {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number | null;
}

/** Output and exit status in an answer; anything else in it fails. */
function said({ bytes }: Answer): Said {
  const all = Buffer.from(bytes, "hex");
  const texts = ["", "", ""];
  let exit: number | null = null;
  for (let at = 0; at < all.length;) {
    const [length, type] = [all.readUInt32LE(at), all.readUInt16LE(at + 4)];
    const payload = all.subarray(at + 8, at + 8 + length);
    if (type === OUT) texts[payload.readUInt32LE(0)] += payload.toString("utf8", 4);
    else if (type === EXIT) exit = payload.readUInt32LE(0);
    else assert.fail(`a frame of type ${type}`);
    at += 8 + length;
  }
  return { stdout: texts[1] ?? "", stderr: texts[2] ?? "", exit };
}

const list = (items: readonly string[]): Buffer => Buffer.concat([u32(items.length), ...items.map(string)]);
const hello = (argv: readonly string[], cwd = "", environment: readonly string[] = []): Buffer =>
  encodeFrame(HELLO, Buffer.concat([u32(1, 7, 0, 0), string(cwd), list(argv), list(environment)]));

const nothing: Said = { stdout: "", stderr: "", exit: null };

test("nobody gets more through it than the one question, whatever the client says", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t, { ISLET_TEST: "1" });
  await there.grant(`${ann.name} veth isltbr0 1`);
  const pid = await there.guest(ann);
  // By whatever name it comes, the words are those of this command.
  for (const argv of [["lxc-start", "-n", "x"], ["islet", "net", "up"], ["lxc-usernsexec", "--", "id"], [], [""]]) {
    const answer = said(await one(there, hello(argv)));
    assert.match(answer.stderr, /^Description:\n {2}Manage nics/);
    assert.deepEqual({ ...answer, stderr: "" }, { stdout: "", stderr: "", exit: 1 });
  }
  // Programs' requests, programs to run, and what clients say later.
  const open = Buffer.concat([
    u32(1),
    string("open"),
    string(JSON.stringify([{ version: 1, cwd: "/", environment: {} }])),
  ]);
  for (const [type, payload] of [
    [CALL, open],
    [RUN, u32(2)],
    [RESULT, u32(0, 0)],
    [0, u32()],
    [65535, u32()],
  ] as const) {
    const answer = await one(there, encodeFrame(type, payload));
    assert.deepEqual(said(answer), nothing);
    assert.ok(answer.isEnded);
  }
  // Only one question.
  const words = ["lxc-user-nic", "create", "p", "n", String(pid), "veth", "none"];
  const twice = await one(there, Buffer.concat([hello(words), hello(words)]));
  assert.ok(twice.isEnded);
  // The environment, a directory and terminals mean nothing, not even to a daemon under test.
  const asked = [...words.slice(0, 6), "isltbr0", "islt0"];
  const environment = [
    "ISLET_TEST_FAIL_OPERATION=0",
    "ISLET_LXC_USERNET=/dev/null",
    "ISLET_RUNTIME_DIR=/x",
    "POSIXLY_CORRECT=1",
  ];
  const made = said(await one(there, hello(asked, "/proc/self/cwd", environment)));
  assert.deepEqual({ ...made, stdout: "" }, { stdout: "", stderr: "", exit: 0 });
  assert.match(made.stdout, /^islt0:\d+:veth4711_....:\d+\n$/);
});

test("descriptors come no further than the process of their connection", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  await there.grant(`${ann.name} veth isltbr0 1`);
  const before = descriptorCount(there.own.pid());
  for (const descriptors of [1, 3, 32, 253]) {
    const answer = await one(there, hello(["lxc-user-nic"]), { descriptors });
    assert.match(said(answer).stderr, /^Description:/);
    assert.ok(answer.isEnded);
  }
  await waitFor("the descriptors to be closed", () => descriptorCount(there.own.pid()) <= before);
  // Whoever had to close these would wait three seconds for each: with a whole request, with half of one, behind one, and with nothing.
  const whole = hello(["lxc-user-nic"]);
  for (const bytes of [whole, whole.subarray(0, 3), Buffer.concat([whole, whole]), randomBytes(9000)]) {
    let isOver = false;
    const lingering = { descriptors: 1, areLingering: true, connections: 6, patience: 1500 };
    const raging = one(there, bytes, lingering).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const begin = performance.now();
      await there.own.ok(["lxc-ls", "-P", there.own.store.path]);
      assert.ok(performance.now() - begin < 1000, `root waited ${performance.now() - begin} ms`);
    }
    await raging;
  }
  const pid = await there.guest(bob);
  await there.grant(`${bob.name} veth isltbr0 1`);
  assert.match((await there.userNic(bob, "create", "p", "n", String(pid), "veth", "isltbr0")).stdout, /^eth0:/);
});

test("a door that somebody has killed is there again, and one of a daemon that was killed goes", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  await there.grant(`${ann.name} veth isltbr0 1`);
  const door = (): number | null => {
    const daemon = there.own.pid();
    const children = readFileSync(`/proc/${daemon}/task/${daemon}/children`, "utf8").trim().split(" ");
    return children.map(Number).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8") === "islet\0door\0") ?? null;
  };
  const first = door() ?? assert.fail("no door");
  end(first, "SIGKILL");
  const second = await waitFor("another door", () => {
    const now = door();
    return now === first ? null : now;
  });
  const pid = await there.guest(ann);
  assert.match((await there.userNic(ann, "create", "p", "n", String(pid), "veth", "isltbr0")).stdout, /^eth0:/);
  end(there.own.pid(), "SIGKILL");
  await waitFor(
    "the door to go",
    () => !existsSync(`/proc/${second}`) || readFileSync(`/proc/${second}/cmdline`, "utf8") === "",
  );
});

test("garbage, halves and floods end their connections, and root and other users are served meanwhile", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  await there.grant(`${ann.name} veth isltbr0 1`, `${bob.name} veth isltbr0 1`);
  const pid = await there.guest(bob);
  const before = descriptorCount(there.own.pid());
  const head = (length: number, type: number): Buffer => Buffer.concat([u32(length), u32(type)]);
  const assaults: readonly Partial<Assault>[] = [
    { bytes: randomBytes(65536).toString("hex"), connections: 50 },
    { bytes: Buffer.alloc(65536).toString("hex"), connections: 50 },
    { bytes: head(8193, HELLO).toString("hex"), connections: 50 },
    { bytes: head(0xffffffff, HELLO).toString("hex"), connections: 50 },
    { bytes: encodeFrame(HELLO, Buffer.concat([u32(1, 0, 0, 0), u32(0xffffffff)])).toString("hex"), connections: 50 },
    { bytes: encodeFrame(HELLO, Buffer.concat([u32(1, 0, 0, 0, 0), u32(0xffff)])).toString("hex"), connections: 50 },
    { bytes: hello(["lxc-user-nic"]).toString("hex"), connections: 500 },
    { bytes: "", connections: 200 },
    { bytes: "01", connections: 200 },
  ];
  for (const how of assaults) {
    let isOver = false;
    const raging = assault(there, { ...how, patience: 500 }).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const begin = performance.now();
      await there.own.ok(["lxc-ls", "-P", there.own.store.path]);
      assert.ok(
        performance.now() - begin < 2000,
        `root waited ${performance.now() - begin} ms: ${JSON.stringify(how).slice(0, 90)}`,
      );
    }
    for (const answer of (await raging).answers) assert.equal(said(answer).stdout, "");
  }
  // Sixteen that say nothing are all that one user gets, and not for long; others do not notice.
  const silent = assault(there, { connections: 40, patience: 8000 });
  assert.match((await there.userNic(bob, "create", "p", "n", String(pid), "veth", "isltbr0")).stdout, /^eth0:/);
  const { answers } = await silent;
  assert.ok(answers.every(({ isEnded }) => isEnded));
  await waitFor("the connections to be closed", () => descriptorCount(there.own.pid()) <= before);
  assert.equal(readFileSync(join(there.own.runtimeDir, "daemon.pid"), "utf8").trim(), String(there.own.pid()));
  assert.match(
    (await there.userNic(ann, "create", "p", "n", String(await there.guest(ann)), "veth", "isltbr0")).stdout,
    /^eth0:/,
  );
});

test("only processes of the host's own pid and user namespaces are served, and root of them elsewhere", async (t) => {
  if (lacks(t, "bridge") || lacks(t, "userns")) return;
  const there = await userPlace(t);
  await there.grant(`${ann.name} veth isltbr0 9`, "root veth isltbr0 9");
  const pid = await there.guest(ann);
  const words = [there.client, "create", "p", "n", String(pid), "veth", "isltbr0"];
  const strange = /^lxc-user-nic: the caller is not in the host's pid and user namespaces\n$/;
  const elsewhere = await there.as(ann, ["unshare", "--map-current-user", "--", ...words]);
  assert.match(elsewhere.stderr, strange);
  const env = { ISLET_RUNTIME_DIR: there.own.runtimeDir };
  const drop = ["setpriv", `--reuid=${ann.id}`, `--regid=${ann.id}`, "--clear-groups", "--"];
  assert.match((await command(["unshare", "--pid", "--fork", "--", ...drop, ...words], { env })).stderr, strange);
  const root = await assault(there, { uid: 0, bytes: hello(words).toString("hex") });
  assert.deepEqual(
    root.answers.map((answer) => [said(answer), answer.isEnded]),
    [[nothing, true]],
  );
  // Whoever made the outermost of the user namespaces may do everything in those within.
  const nested = await there.guest(ann, ["unshare", "--map-root-user"]);
  assert.match((await there.userNic(ann, "create", "p", "n", String(nested), "veth", "isltbr0")).stdout, /^eth0:/);
  assert.match(
    (await there.userNic(bob, "create", "p", "n", String(nested), "veth", "isltbr0")).stderr,
    /User islt-bob may not modify netns/,
  );
});
