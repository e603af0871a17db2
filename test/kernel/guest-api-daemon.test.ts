import assert from "node:assert/strict";
import { chmodSync, copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect, IsletError, type IsletEvent } from "../../src/index.js";
import { cleanup } from "../support/cleanup.js";
import { clientProgram, parseReply, requestText, type Reply } from "../support/guest-client.js";
import { end } from "../support/host.js";
import { type Instance, instance, watchTraces } from "../support/instance.js";
import { descriptorCount } from "../support/leaks.js";
import { netns } from "../support/netns.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";

function define(own: Instance, name: string, config: string): void {
  const rootfs = busybox(own.store, name, config);
  copyFileSync(clientProgram(), join(rootfs, "bin/guest-client"));
  chmodSync(join(rootfs, "bin/guest-client"), 0o755);
}

/** From inside, without asking the daemon for anything: nsenter puts a process into the guest's namespaces, and so into its pid namespace. */
async function askFrom(
  own: Instance,
  pid: number,
  path: string,
  method = "GET",
  body = "",
  milliseconds = 5000,
): Promise<string> {
  const words = ["nsenter", "-t", String(pid), "-m", "-p", "-U", "--preserve-credentials"];
  const privileged = readFileSync(`/proc/${pid}/uid_map`, "utf8").includes("4294967295");
  const argv = [
    ...(privileged ? words.slice(0, 5) : [...words.slice(0, 6), "-S", "0", "-G", "0"]),
    "/bin/guest-client",
    "/dev/lxd/sock",
    "raw",
    String(milliseconds),
  ];
  return (await own.command(argv, { input: requestText(path, method, body) })).stdout;
}

const reply = async (...words: Parameters<typeof askFrom>): Promise<Reply> => parseReply(await askFrom(...words));

const initOf = async (own: Instance, name: string): Promise<number> =>
  Number((await own.ok(["lxc-info", ...own.store.at(name), "-pH"])).trim());

async function killDaemon(own: Instance): Promise<void> {
  const pid = own.pid();
  end(pid, "SIGKILL");
  await waitFor("the daemon to be gone", () => !existsSync(`/proc/${pid}/exe`));
}

for (const [kind, config] of [
  ["privileged", ""],
  ["id-mapped", map],
] as const) {
  test(`guests find their API again after the daemon was killed (${kind})`, async (t) => {
    if (kind === "id-mapped" && lacks(t, "userns")) return;
    const own = await instance(t);
    define(own, "islt-again", `islet.guest = lxd\n${config}`);
    define(own, "islt-off", `islet.guest = lxd\n${config}`);
    await own.ok(["islet", "set", "-P", own.store.path, "islt-again", "user.a=1"]);
    for (const name of ["islt-again", "islt-off"]) await own.ok(["lxc-start", ...own.store.at(name)]);
    await own.ok(["islet", "set", "-P", own.store.path, "islt-off", "security.devlxd=false"]);
    const pid = await initOf(own, "islt-again");
    assert.equal((await reply(own, pid, "/1.0/config/user.a")).body, "1");
    assert.equal((await reply(own, pid, "/1.0", "PATCH", '{"state":"Ready"}')).status, 200);
    for (let round = 0; round < 2; round += 1) {
      await killDaemon(own);
      await waitFor("nobody to answer", async () =>
        /^connect: Connection refused\n$/.test(await askFrom(own, pid, "/1.0")),
      );
      await own.ok(["lxc-ls", "-P", own.store.path]);
      assert.equal((await reply(own, pid, "/1.0/config/user.a")).body, "1");
      assert.match((await reply(own, pid, "/1.0")).body, /"state":"Ready"/);
      assert.match(
        await own.ok(["islet", "ls", "-P", own.store.path, "--format", "json", "islt-again"]),
        /"ready": true/,
      );
      assert.match(await askFrom(own, await initOf(own, "islt-off"), "/1.0"), /^connect: No such file or directory\n$/);
    }
    // What changes afterwards reaches it as well.
    await own.ok(["islet", "set", "-P", own.store.path, "islt-again", "user.a=2", "security.devlxd=false"]);
    assert.match(await askFrom(own, pid, "/1.0"), /^connect: No such file or directory\n$/);
    await own.ok(["islet", "set", "-P", own.store.path, "islt-again", "security.devlxd=true"]);
    assert.equal((await reply(own, pid, "/1.0/config/user.a")).body, "2");
    for (const name of ["islt-again", "islt-off"]) await own.ok(["lxc-stop", ...own.store.at(name), "-k"]);
  });
}

interface Planned {
  readonly index: number;
  readonly note: string;
  readonly block: readonly Planned[] | null;
}

test("whatever step of the API's mount fails, the start leaves nothing", async (t) => {
  const own = await instance(t, { env: { ISLET_TEST: "1" } });
  busybox(own.store, "islt-fault", "islet.guest = lxd\n");
  const at = own.store.at("islt-fault");
  await own.ok(["lxc-start", ...at]);
  await own.ok(["lxc-stop", ...at, "-k"]);
  const { operations } = JSON.parse(
    await own.ok(["islet", "plan", "-P", own.store.path, "-n", "islt-fault", "--json"]),
  ) as { readonly operations: readonly Planned[] };
  const flat = (all: readonly Planned[]): readonly Planned[] =>
    all.flatMap((each) => [each, ...(each.block === null ? [] : flat(each.block))]);
  const wanted = flat(operations).filter(({ note }) => /API|\/dev\/lxd|make it read-only/.test(note));
  assert.ok(wanted.length >= 5, `${wanted.length} steps`);
  const before = await watchTraces(own, ["islt-fault"]);
  let failed = 0;
  for (const { index, note } of wanted) {
    const started = await own.command(["lxc-start", ...at], { env: { ISLET_TEST_FAIL_OPERATION: String(index) } });
    if (started.status === 0) await own.ok(["lxc-stop", ...at, "-k"]);
    else failed += 1;
    await before.assertGone(`"${note}" failed`);
  }
  assert.ok(failed >= 5, `${failed} failed`);
});

test("twenty guests at once: each is itself, and nothing is left of them", async (t: TestContext) => {
  const own = await instance(t);
  const names = Array.from({ length: 20 }, (_, index) => `islt-m${index}`);
  for (const name of names) {
    define(own, name, "islet.guest = lxd\n");
  }
  await Promise.all(names.map((name) => own.ok(["islet", "set", "-P", own.store.path, name, `user.me=${name}`])));
  const one = async (name: string): Promise<void> => {
    await own.ok(["lxc-start", ...own.store.at(name)]);
    const pid = await initOf(own, name);
    const answers = await Promise.all(["/1.0/config/user.me", "/1.0/meta-data"].map((path) => reply(own, pid, path)));
    assert.equal(answers[0]?.body, name);
    assert.match(answers[1]?.body ?? "", new RegExp(`\nlocal-hostname: ${name}\n`));
    await own.ok(["lxc-stop", ...own.store.at(name), "-k"]);
  };
  await one(names[0] ?? "");
  const descriptors = descriptorCount(own.pid());
  await Promise.all(names.map(one));
  await waitFor("the daemon's descriptors to be as before", () => descriptorCount(own.pid()) <= descriptors);
});

for (const inProcess of [false, true]) {
  test(`a program changes settings and waits for a guest to be ready (${inProcess ? "in process" : "over the daemon's socket"})`, async (t) => {
    const own = await instance(t);
    const islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path, inProcess });
    cleanup(t)(() => islet.close());
    define(own, "islt-lib", "islet.guest = lxd\n");
    const stopped = await islet.get("islt-lib");
    assert.ok(stopped.state === "STOPPED");
    await stopped.settings.set({ "user.a": "1", "cloud-init.user-data": "#cloud-config\n" });
    assert.equal(await stopped.settings.get("user.a"), "1");
    assert.equal(await stopped.settings.get("user.b"), null);
    await assert.rejects(
      () => stopped.settings.set({ "user.c": "1", nonsense: "2" }),
      (error) => error instanceof IsletError && error.code === "ISLET_BAD_REQUEST" && /nonsense/.test(error.message),
    );
    await using web = await stopped.start();
    const { initPid } = await web.info();
    const pid = initPid ?? 0;
    const seen: IsletEvent[] = [];
    const stop = new AbortController();
    const events = (async (): Promise<void> => {
      for await (const event of web.events({ signal: stop.signal })) seen.push(event);
    })();
    assert.equal(await web.isReady(), false);
    await assert.rejects(
      () => web.waitReady({ timeout: 50 }),
      (error) => error instanceof IsletError && error.code === "ISLET_TIMEOUT",
    );
    const ready = web.waitReady({ timeout: 10_000 });
    assert.equal((await reply(own, pid, "/1.0", "PATCH", '{"state":"Ready"}')).status, 200);
    await ready;
    assert.equal(await web.isReady(), true);
    await waitFor("the event", () => seen.some((event) => event.kind === "ready" && event.ready));
    assert.equal((await reply(own, pid, "/1.0/config/user.a")).body, "1");
    await web.settings.set({ "security.devlxd": "false" });
    assert.match(await askFrom(own, pid, "/1.0"), /^connect: No such file or directory\n$/);
    await web.settings.unset("security.devlxd");
    assert.equal((await reply(own, pid, "/1.0")).status, 200);
    stop.abort();
    await events;
  });
}

test("an interface that comes and goes is an event and a device of the guest's", async (t) => {
  if (lacks(t, "veth")) return;
  const net = await netns(t);
  await net.ok(["ip", "link", "add", "islt-d0", "type", "veth", "peer", "name", "islt-d1"]);
  const own = await instance(t, { netnsPid: net.pid });
  define(own, "islt-nics", "islet.guest = lxd\n");
  const at = own.store.at("islt-nics");
  await own.ok(["lxc-start", ...at]);
  const pid = await initOf(own, "islt-nics");
  const events = askFrom(own, pid, "/1.0/events?type=device", "GET", "", 2500);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await own.ok(["lxc-device", ...at, "add", "islt-d0", "eth7"]);
  const { hwaddr, ...device } =
    (JSON.parse((await reply(own, pid, "/1.0/devices")).body) as Record<string, Record<string, string>>)["eth7"] ?? {};
  const config = { name: "eth7", nictype: "physical", parent: "islt-d0", type: "nic" };
  assert.deepEqual(device, config);
  assert.equal(
    hwaddr,
    await own.ok(["lxc-attach", ...at, "--", "cat", "/sys/class/net/eth7/address"]).then((all) => all.trim()),
  );
  await own.ok(["lxc-device", ...at, "del", "eth7", "islt-d5"]);
  const lines = (await events).split("\r\n\r\n")[1]?.trimEnd().split("\n") ?? [];
  assert.deepEqual(
    lines.map((line) => {
      const { timestamp: _, ...rest } = JSON.parse(line) as Record<string, unknown>;
      return rest;
    }),
    ["added", "removed"].map((action) => ({ type: "device", metadata: { action, config, name: "eth7" } })),
  );
  assert.equal((await reply(own, pid, "/1.0/devices")).body.includes("eth7"), false);
});
