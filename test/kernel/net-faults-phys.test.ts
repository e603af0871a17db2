import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { end } from "../support/host.js";
import { linksOf, processesOf, traces } from "../support/instance.js";
import { linkTable, pidOf, place, type Place } from "../support/place.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** A place where the container islt-np has the host's interface islt-p0 as `lan`, beside a veth pair that takes the first number inside. */
interface Lent extends Place {
  /** Fails unless links and mounts are as before the start, and nothing is written down any more. */
  readonly assertClean: (after: string) => Promise<void>;
  readonly monitor: number;
  /** Fails unless the interface is back under its old name, and it is the same one. */
  readonly assertBack: (after: string) => Promise<void>;
}

async function lent(t: TestContext): Promise<Lent | null> {
  if (lacks(t, "veth") || lacks(t, "bridge")) return null;
  const there = await place(t);
  const { net, own, run } = there;
  await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
  const index = async (): Promise<string> =>
    (await net.ok(["ip", "-o", "link", "show", "islt-p0"])).split("@")[1] ?? "";
  const before = await index();
  // What the daemon says of killed monitors costs it a descriptor for good (Node's stderr): descriptors are not compared here.
  const left = (): readonly string[] => [
    ...linksOf(net.pid),
    ...readdirSync(join(own.runtimeDir, "phys")),
    ...traces(own, ["islt-np"]).filter((line) => !line.startsWith("file ")),
  ];
  const links = left();
  await run(
    "islt-np",
    `lxc.net.0.type = veth
lxc.net.0.link = islt-br
lxc.net.1.type = phys
lxc.net.1.link = islt-p0
lxc.net.1.name = lan`,
  );
  assert.equal(linksOf(net.pid).includes("islt-p0"), false);
  const monitor = Number(processesOf(own.store.path, []).map((line) => line.split(" ")[0])[0]);
  return {
    ...there,
    monitor,
    assertClean: async (after) => {
      await waitFor(
        `all to be as before after ${after}`,
        () => isDeepStrictEqual(left().toSorted(), links.toSorted()),
        {
          timeout: 3000,
        },
      ).catch(() => {
        assert.deepEqual(left(), links, after);
      });
    },
    assertBack: async (after) => {
      await waitFor(`islt-p0 to be back after ${after}`, () => linksOf(net.pid).includes("islt-p0"), { timeout: 5000 });
      // Its other end, which a stranger of the same name would not have.
      assert.match(await index(), new RegExp(`^${(before.split(":")[0] ?? "").replace(/\W/g, "\\$&")}:`));
    },
  };
}

async function killed(pid: number): Promise<void> {
  end(pid, "SIGKILL");
  await waitFor(`the end of ${pid}`, () => !existsSync(`/proc/${pid}`));
}

test("an interface of the host's comes back when the monitor is killed", async (t) => {
  const there = await lent(t);
  if (there === null) return;
  await killed(there.monitor);
  await there.assertBack("the monitor was killed");
  await there.assertClean("the monitor was killed");
  await there.own.ok(["lxc-start", ...there.own.store.at("islt-np")]);
  await there.stop("islt-np");
  await there.assertClean("the next start and stop");
});

for (const how of ["it is stopped", "its monitor is killed"]) {
  test(`it, and no stranger, comes back under its old name when the guest has exchanged their names and ${how}`, async (t) => {
    const there = await lent(t);
    if (there === null) return;
    const { net, own } = there;
    const guest = ["nsenter", `--net=/proc/${await pidOf(own, "islt-np")}/ns/net`, "ip", "link"];
    await net.ok([...guest, "set", "lan", "name", "other"]);
    await net.ok([...guest, "add", "lan", "type", "veth", "peer", "name", "lan2"]);
    if (how === "it is stopped") await there.stop("islt-np");
    else await killed(there.monitor);
    await there.assertBack(how);
    await there.assertClean(how);
  });
}

test("it comes back with the next command when monitor and daemon are killed at once", async (t) => {
  const there = await lent(t);
  if (there === null) return;
  const { net, own, monitor } = there;
  const daemon = own.pid();
  end(daemon, "SIGKILL");
  end(monitor, "SIGKILL");
  await waitFor("both to end", () => ![daemon, monitor].some((pid) => existsSync(`/proc/${pid}`)));
  await waitFor("the guest to end", () => processesOf(own.store.path, ["islt-np"]).length === 0);
  assert.equal(linksOf(net.pid).includes("islt-p0"), false);
  await own.ok(["lxc-ls", "-P", own.store.path]);
  await there.assertBack("the next command");
  await own.ok(["lxc-start", ...own.store.at("islt-np")]);
  await there.stop("islt-np");
  await there.assertBack("the next stop");
});

test("it comes back when only the daemon was killed, and the container ends without one", async (t) => {
  const there = await lent(t);
  if (there === null) return;
  await killed(there.own.pid());
  end(await pidOfInit(there), "SIGKILL");
  await there.assertBack("the guest's end without a daemon");
  await there.own.ok(["lxc-ls", "-P", there.own.store.path]);
  await there.own.ok(["lxc-start", ...there.own.store.at("islt-np")]);
  await there.stop("islt-np");
  await there.assertBack("the next stop");
});

/** Without the daemon. */
async function pidOfInit({ monitor, net }: Lent): Promise<number> {
  const pids = (await net.ok(["cat", `/proc/${monitor}/task/${monitor}/children`])).trim().split(" ");
  return Number(pids[0]);
}

/** The guest puts it into a network namespace of its own. */
async function hide({ inside }: Lent): Promise<void> {
  await inside(
    "islt-np",
    "sh",
    "-c",
    "unshare -n sleep 1000 </dev/null >/dev/null 2>&1 & sleep 1; ip link set lan netns $!",
  );
  assert.equal(linkTable(await inside("islt-np", "ip", "-o", "link")).has("lan"), false);
}

test("what the guest has put into a namespace of its own gets its old name when the kernel gives it back", async (t) => {
  const there = await lent(t);
  if (there === null) return;
  const { net, own } = there;
  await hide(there);
  const init = await pidOf(own, "islt-np");
  const sleeper = await waitFor("the namespace inside", async () => {
    const pids = (await net.ok(["pgrep", "--ns", String(init), "--nslist", "pid", "sleep"])).trim().split("\n");
    return pids.map(Number).find((pid) => linksOf(pid).includes("lan"));
  });
  // The kernel does this with a real interface when the namespace that it is in ends; a virtual one it removes.
  await net.ok(["nsenter", `--net=/proc/${sleeper}/ns/net`, "ip", "link", "set", "lan", "netns", String(net.pid)]);
  assert.ok(linksOf(net.pid).includes("lan"));
  await there.stop("islt-np");
  await there.assertBack("the stop");
  await there.assertClean("the stop");
});

test("a virtual interface that ends with a namespace of the guest's hinders nobody", async (t) => {
  const there = await lent(t);
  if (there === null) return;
  const { own } = there;
  await hide(there);
  const { status, stderr } = await own.command(["lxc-stop", ...own.store.at("islt-np"), "-k"]);
  assert.deepEqual([status, stderr], [0, ""]);
  const again = await own.command(["lxc-start", ...own.store.at("islt-np")]);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /there is no interface islt-p0 on the host/);
});
