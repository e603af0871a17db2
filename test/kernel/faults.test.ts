import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { cleanup } from "../support/cleanup.js";
import { hostUsers } from "../support/host-users.js";
import { testDir } from "../support/paths.js";
import { busybox } from "../support/store.js";
import { netns } from "../support/netns.js";
import { allowForwarding, neighbour, watchRoutes } from "../support/routes.js";
import { lacks } from "../support/skip.js";
import { instance, watchTraces, type Instance } from "../support/instance.js";
import { lxdContainer } from "./guest-lxd.js";

interface Planned {
  readonly index: number;
  readonly process: string;
  readonly operation: string;
  readonly note: string;
  readonly block: readonly Planned[] | null;
}

/** All operations of the program, in the order of its image. */
async function operationsOf(own: Instance, name: string): Promise<readonly Planned[]> {
  const json = JSON.parse(await own.ok(["islet", "plan", "-P", own.store.path, "-n", name, "--json"])) as {
    readonly operations: readonly Planned[];
  };
  const flat = (operations: readonly Planned[]): readonly Planned[] =>
    operations.flatMap((each) => [each, ...(each.block === null ? [] : flat(each.block))]);
  return [...flat(json.operations)].sort((a, b) => a.index - b.index);
}

/** Starts with one operation failing; whatever comes of it, nothing may be left. Gives back what went wrong. */
async function startFailing(own: Instance, name: string, operation: Planned): Promise<"failed" | "ran"> {
  const at = own.store.at(name);
  const started = await own.command(["lxc-start", ...at], {
    env: { ISLET_TEST_FAIL_OPERATION: String(operation.index) },
    timeout: 10_000,
  });
  if (started.status === 0) {
    const stopped = await own.command(["lxc-stop", ...at, "-k"], { timeout: 10_000 });
    assert.ok(stopped.status === 0 || stopped.status === 2, `lxc-stop: status ${stopped.status}: ${stopped.stderr}`);
    return "ran";
  }
  assert.equal(started.status, 1);
  assert.match(started.stderr, /EIO/);
  // Names of links are made up anew for each start.
  const bare = (text: string): string => text.replace(/veth[0-9a-f]{6}/g, "veth");
  assert.ok(
    bare(started.stderr).includes(bare(operation.note)),
    `the error does not name the step:\n${started.stderr}`,
  );
  return "failed";
}

async function failEvery(
  t: TestContext,
  own: Instance,
  name: string,
  isWanted: (operation: Planned) => boolean,
  netnsPid: number | "self" = "self",
  isClean: (after: string) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  await own.ok(["lxc-stop", ...at, "-k"]);
  const operations = (await operationsOf(own, name)).filter(isWanted);
  const before = await watchTraces(own, [name], netnsPid);
  const faults: string[] = [];
  let failed = 0;
  for (const operation of operations) {
    const what = `after operation ${operation.index} (${operation.process}: ${operation.note})`;
    if (faults.length > 10) break;
    try {
      if ((await startFailing(own, name, operation)) === "failed") failed += 1;
      await before.assertGone(what);
      await isClean(what);
    } catch (error) {
      faults.push(`${what}: ${error instanceof Error ? error.message : String(error)}`.slice(0, 600));
    }
  }
  t.diagnostic(`${operations.length} operations, ${failed} of them end the start`);
  if (faults.length > 0) throw new Error(faults.join("\n"));
  assert.ok(failed > operations.length / 3);
}

/** Arithmetic of the interpreter's own has no way to fail. */
const arithmetic = ["set", "load", "store", "jump", "end"];

test("whichever operation of a start fails, nothing is left and the error names the step", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(own.store, "islt-fault");
  await failEvery(t, own, "islt-fault", () => true);
});

test("with an id map, nics and hooks a failing operation leaves nothing either", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "userns")) return;
  const net = await netns(t);
  await net.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
  await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
  const own = await instance(t, { env: { ISLET_TEST: "1" }, netnsPid: net.pid });
  const hooks = ["pre-start", "pre-mount", "mount", "autodev", "start-host", "stop", "post-stop"];
  busybox(
    own.store,
    "islt-fault",
    `lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.net.1.type = veth
lxc.net.1.link = islt-br
lxc.net.1.flags = up
lxc.net.1.ipv4.address = 10.9.0.2/24
lxc.net.1.ipv4.gateway = 10.9.0.1
lxc.net.1.script.up = /bin/true
lxc.net.1.script.down = /bin/true
lxc.net.2.type = phys
lxc.net.2.link = islt-p0
lxc.hook.start = /bin/true
islet.guest.api = 1
${hooks.map((kind) => `lxc.hook.${kind} = /bin/true\n`).join("")}`,
  );
  const step = Number(process.env["ISLET_FAULT_STEP"] ?? 3);
  await failEvery(
    t,
    own,
    "islt-fault",
    ({ index, operation }) => index % step === 0 && !arithmetic.includes(operation),
    net.pid,
  );
});

test("a router's container whose start fails at some step leaves no routes and answers for nobody", async (t) => {
  if (lacks(t, "veth")) return;
  const net = await netns(t);
  await neighbour(t, net);
  await allowForwarding(net);
  const own = await instance(t, { env: { ISLET_TEST: "1" }, netnsPid: net.pid });
  busybox(
    own.store,
    "islt-fault",
    `lxc.net.0.type =
lxc.net.0.type = veth
lxc.net.0.veth.mode = router
lxc.net.0.link = islt-up
lxc.net.0.l2proxy = 1
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.6.0.50/32
lxc.net.0.ipv4.gateway = 169.254.0.1
lxc.net.0.ipv6.address = fd06::50/128
lxc.net.0.ipv6.gateway = fe80::1`,
  );
  const about = /islt-up|veth|forwarding|proxy_ndp|answer for|let the container go on/;
  await failEvery(
    t,
    own,
    "islt-fault",
    // What undoes cannot be undone.
    ({ process, note, operation }) => process === "monitor" && about.test(note) && !arithmetic.includes(operation),
    net.pid,
    await watchRoutes(net),
  );
});

test("a guarded nic whose start fails at some step is gone with all that hung on it", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "tc-tbf")) return;
  const net = await netns(t);
  await net.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
  const own = await instance(t, { env: { ISLET_TEST: "1" }, netnsPid: net.pid });
  busybox(
    own.store,
    "islt-fault",
    `lxc.net.0.type =
lxc.net.0.type = veth
lxc.net.0.link = islt-br
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.9.0.2/24
islet.net.0.limit.in = 10mbit
islet.net.0.limit.out = 10mbit
islet.net.0.filter = all`,
  );
  const about = /veth|limit what|comes out by|let out by|its counter|close the program/;
  await failEvery(
    t,
    own,
    "islt-fault",
    ({ process, note, operation }) => process === "monitor" && about.test(note) && !arithmetic.includes(operation),
    net.pid,
  );
});

test("in a shared user namespace a failing guide leaves nothing either", async (t) => {
  if (lacks(t, "userns")) return;
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
  busybox(own.store, "islt-donor", map);
  busybox(
    own.store,
    "islt-fault",
    `${map}lxc.namespace.share.user = islt-donor\nlxc.namespace.share.net = islt-donor\nlxc.net =`,
  );
  await own.ok(["lxc-start", ...own.store.at("islt-donor")]);
  await failEvery(
    t,
    own,
    "islt-fault",
    ({ process, note, operation }) =>
      (process === "guide" || note.includes("guide")) && !arithmetic.includes(operation),
  );
});

for (const kind of ["privileged", "id-mapped"] as const) {
  test(`a failing operation in the start of a guest of the profile lxd leaves nothing either (${kind})`, async (t) => {
    if (kind !== "privileged" && lacks(t, "userns")) return;
    const own = await instance(t, { env: { ISLET_TEST: "1" } });
    const name = `islt-fault-lxd-${kind}`;
    lxdContainer(own.store, kind, name, { mode: null });
    const step = Number(process.env["ISLET_FAULT_STEP"] ?? 3);
    await failEvery(
      t,
      own,
      name,
      ({ index, operation }) => index % step === 0 && !arithmetic.includes(operation) && operation !== "rt_sigaction",
    );
  });
}

test("what is made for users of the host's is undone when a part of it fails", async (t) => {
  if (lacks(t, "userns")) return;
  const directory = mkdtempSync(join(testDir, "islt-fault-users-"));
  cleanup(t)(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const { accounts } = hostUsers(directory, [{ name: "alice", id: 21_001, hash: "$6$salt$hash" }]);
  const own = await instance(t, { env: { ISLET_TEST: "1", ISLET_ACCOUNTS: accounts } });
  busybox(
    own.store,
    "islt-fault",
    `lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.mount.auto =
islet.guest = systemd
islet.bind.user = alice
`,
  );
  const ours = /alice|userdb|home|user namespace|[ug]id map|its p/;
  await failEvery(t, own, "islt-fault", ({ note, operation }) => ours.test(note) && !arithmetic.includes(operation));
});

test("what a guest with systemd finds is undone when a part of it fails", async (t) => {
  if (lacks(t, "userns")) return;
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(
    own.store,
    "islt-fault",
    `lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.mount.auto =
lxc.tty.max = 2
islet.guest = systemd
islet.credential.word = secret
`,
  );
  const ours = /\/run|credential|notify|senders|init says|time zone|the pty|cgroup hierarchy|audit|device rules/;
  await failEvery(t, own, "islt-fault", ({ note, operation }) => ours.test(note) && !arithmetic.includes(operation));
});
