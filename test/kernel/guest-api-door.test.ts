import assert from "node:assert/strict";
import { chmodSync, copyFileSync, existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { clientProgram, parseReply, requestText } from "../support/guest-client.js";
import { end } from "../support/host.js";
import { type Instance, instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** The API of guests on kernels that cannot keep descriptors of strangers away from the daemon (before 6.16), which this daemon takes any kernel for. */

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";

interface Guest {
  readonly own: Instance;
  readonly at: readonly string[];
  /** Runs the client inside. */
  readonly inside: (...words: readonly string[]) => Promise<string>;
  readonly ask: (path: string, how?: readonly string[]) => Promise<{ readonly status: number; readonly body: string }>;
}

async function started(t: TestContext, config = ""): Promise<Guest> {
  const own = await instance(t, { env: { ISLET_TEST: "1", ISLET_TEST_DOORS: "1" } });
  const name = "islt-door";
  const rootfs = busybox(own.store, name, `islet.guest = lxd\n${config}`);
  copyFileSync(clientProgram(), join(rootfs, "bin/guest-client"));
  chmodSync(join(rootfs, "bin/guest-client"), 0o755);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const client = (input: string, words: readonly string[]): Promise<string> =>
    own
      .command(["lxc-attach", ...at, "--", "/bin/guest-client", "/dev/lxd/sock", ...words], { input })
      .then(({ stdout }) => stdout);
  return {
    own,
    at,
    inside: (...words) => client("", words),
    ask: async (path, how = []) => parseReply(await client(requestText(path), [...how, "raw", "5000"])),
  };
}

/** The processes that stand between guests and this daemon: its children. */
const doors = (daemon: number): readonly number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
        const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
        return parent === daemon && readFileSync(`/proc/${pid}/cmdline`, "latin1") === "islet\0door\0guest\0";
      } catch {
        return false;
      }
    });

for (const [kind, config] of [
  ["privileged", ""],
  ["id-mapped", map],
] as const) {
  test(`through a door, root of a guest is answered and nobody else (${kind})`, async (t) => {
    if (kind === "id-mapped" && lacks(t, "userns")) return;
    const guest = await started(t, config);
    assert.equal(doors(guest.own.pid()).length, 1);
    assert.equal((await guest.ask("/1.0")).status, 200);
    assert.equal((await guest.ask("/1.0", ["newpid"])).status, 200);
    const denied = await guest.ask("/1.0", ["as", "1000"]);
    assert.deepEqual([denied.status, denied.body.trim()], [401, "Access denied for non-root user"]);
    const [directory = ""] = readdirSync(join(guest.own.runtimeDir, "devlxd"));
    const socket = join(guest.own.runtimeDir, "devlxd", directory, "sock");
    const host = await guest.own.command([clientProgram(), socket, "raw", "5000"], { input: requestText("/1.0") });
    assert.equal(parseReply(host.stdout).status, 500);
    // Two requests on one connection, with a pause between them.
    assert.match(await guest.inside("twice", "200", "/1.0"), /200[^]*200/);
  });
}

test("behind a door, a guest cannot keep the daemon waiting by descriptors that it sends", async (t) => {
  const guest = await started(t);
  const handing = guest.inside("linger", "3");
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (let round = 0; round < 5; round += 1) {
    const began = performance.now();
    await guest.own.ok(["lxc-info", ...guest.at, "-s"]);
    assert.ok(performance.now() - began < 1000, `a command took ${performance.now() - began} ms`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  // The kernel did let them through.
  assert.equal(await handing, "sent\n");
  // They are still waiting to be closed somewhere when it ends.
  const again = guest.inside("linger", "3");
  await new Promise((resolve) => setTimeout(resolve, 200));
  const began = performance.now();
  await guest.own.ok(["lxc-stop", ...guest.at, "-k"]);
  assert.ok(performance.now() - began < 2000, `the end took ${performance.now() - began} ms`);
  await again;
});

test("a door has places for 64, gives them free again, and whoever does not listen keeps nobody", async (t) => {
  const guest = await started(t);
  const flood = guest.inside("flood", "200", "1500");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [door = 0] = doors(guest.own.pid());
  const children = readFileSync(`/proc/${door}/task/${door}/children`, "latin1").trim().split(" ").length;
  assert.ok(children > 0 && children <= 64, `${children} visitors`);
  const began = performance.now();
  await guest.own.ok(["lxc-info", ...guest.at, "-s"]);
  assert.ok(performance.now() - began < 1000);
  await flood;
  assert.equal((await guest.ask("/1.0")).status, 200);
});

test("a door that somebody kills is there again; it goes with its guest, with the API and with the daemon", async (t) => {
  const guest = await started(t);
  const { own } = guest;
  const [door = 0] = doors(own.pid());
  end(door, "SIGKILL");
  await waitFor("another door", () => doors(own.pid()).some((pid) => pid !== door));
  assert.equal((await guest.ask("/1.0")).status, 200);

  await own.ok(["islet", "set", "-P", own.store.path, "islt-door", "security.devlxd=false"]);
  await waitFor("no door", () => doors(own.pid()).length === 0);
  await own.ok(["islet", "set", "-P", own.store.path, "islt-door", "security.devlxd=true"]);
  assert.equal((await guest.ask("/1.0")).status, 200);

  const [last = 0] = doors(own.pid());
  await own.restart();
  await waitFor("the old door's end", () => !existsSync(`/proc/${last}`));
  assert.equal((await guest.ask("/1.0")).status, 200);
  assert.equal(doors(own.pid()).length, 1);
  await own.ok(["lxc-stop", ...guest.at, "-k"]);
  await waitFor("no door", () => doors(own.pid()).length === 0);
});
