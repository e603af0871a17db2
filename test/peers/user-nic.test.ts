import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import type { CommandResult } from "../support/command.js";
import { plainUsers, userPlace, type UserPlace } from "../support/plain-user.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";

/** LXC's own lxc-user-nic and islet's, with the same accounts, grants and users, on one bridge. */

const { ann, bob } = plainUsers;
const lxcUserNic = "/usr/libexec/lxc/lxc-user-nic";

type Who = "lxc" | "islet";

interface Both {
  readonly there: UserPlace;
  readonly run: (who: Who, user: typeof ann | typeof bob, ...words: readonly string[]) => Promise<CommandResult>;
}

async function both(t: TestContext): Promise<Both> {
  const run = mkdtempSync(join(testDir, "islt-run-lxc-"));
  t.after(() => {
    rmSync(run, { recursive: true });
  });
  mkdirSync(join(run, "lxc"));
  const there = await userPlace(t, { ISLET_LXC_NICS: join(run, "lxc/nics") });
  // Its files have fixed places, and what is an Open vSwitch bridge it asks /sys.
  const script = `
    mount --bind ${run} /run && mount --bind ${dirname(there.usernet)} /etc/lxc &&
    mount --bind ${there.accounts}/passwd /etc/passwd && mount --bind ${there.accounts}/group /etc/group &&
    mount -t sysfs none /sys && exec "$@"`;
  return {
    there: { ...there, nics: join(run, "lxc/nics") },
    run(who, user, ...words) {
      if (who === "islet") return there.userNic(user, ...words);
      const drop = ["setpriv", `--reuid=${user.id}`, `--regid=${user.id}`, "--init-groups", "--"];
      const argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", ...drop, lxcUserNic];
      return there.net.command([...argv, ...words]);
    },
  };
}

/** What is the same whoever made it: its numbers and letters are not. */
function shape({ status, stdout, stderr }: CommandResult): unknown {
  const lines = stderr
    .split("\n")
    .map((line) => line.replace(/^\.\.\/src\/lxc\/cmd\/lxc_user_nic\.c: \d+: \w+: /, "lxc-user-nic: "))
    .filter((line) => line !== "" && !line.startsWith("../src/"));
  const cause = lines.map((line) => line.replace(/; .*/, "").replace(/"/g, ""));
  return { status, stdout: stdout.replace(/:\d+:(veth\d+_).{4}:\d+\n/, ":I:$1XXXX:I\n"), stderr: cause };
}

test("LXC's lxc-user-nic and islet's print and refuse the same", async (t) => {
  if (lacks(t, "lxc") || lacks(t, "bridge")) return;
  const { there, run } = await both(t);
  await there.grant(`${ann.name} veth isltbr0 3`);
  const [mine, other] = [String(await there.guest(ann)), String(await there.guest(bob))];
  const cases: readonly (readonly string[])[] = [
    ["create", "p", "n", mine, "veth", "isltbr0"],
    ["create", "p", "n", mine, "veth", "isltbr0", "NAME"],
    ["create", "p", "n", other, "veth", "isltbr0"],
    ["create", "p", "n", "1", "veth", "isltbr0"],
    ["create", "p", "n", "4194304", "veth", "isltbr0"],
    ["create", "p", "n", "abc", "veth", "isltbr0"],
    ["create", "p", "n", mine, "veth", "islt-none"],
    ["create", "p", "n", mine, "macvlan", "isltbr0"],
    ["create", "p", "n", mine, "veth"],
    ["create", "p", "n", mine, "veth", "isltbr0", "a", "b"],
    ["destroy", "p", "n", mine, "veth", "isltbr0"],
    ["delete", "p", "n", "/nope", "veth", "isltbr0", "x"],
    ["delete", "p", "n", "/etc/passwd", "veth", "isltbr0", "x"],
    [],
  ];
  for (const words of cases) {
    const outputs: unknown[] = [];
    for (const who of ["lxc", "islet"] as const) {
      // Each finds the namespace as the other did.
      for (const [, link = ""] of (await there.net.ok(["ip", "-o", "link"])).matchAll(/ (veth4711_\w+)@/g))
        await there.net.ok(["ip", "link", "del", link]);
      const result = await run(who, ann, ...words);
      outputs.push(shape(result));
    }
    assert.deepEqual(outputs[1], outputs[0], words.join(" "));
  }
});

test("both keep the same accounts, and together give no more than is granted", async (t) => {
  if (lacks(t, "lxc") || lacks(t, "bridge")) return;
  const { there, run } = await both(t);
  await there.grant(`${ann.name} veth isltbr0 4`);
  const pid = String(await there.guest(ann));
  const create = (who: Who): Promise<CommandResult> => run(who, ann, "create", "p", "n", pid, "veth", "isltbr0");
  for (const who of ["lxc", "islet"] as const) assert.equal((await create(who)).status, 0);
  const lines = (): readonly string[] => readFileSync(there.nics, "utf8").split("\n").slice(0, -1);
  for (const line of lines()) assert.match(line, /^islt-ann veth isltbr0 veth4711_[A-Za-z0-9]{4}$/);
  const raced = await Promise.all(["lxc", "islet", "lxc", "islet", "islet", "lxc"].map((who) => create(who as Who)));
  assert.equal(raced.filter(({ status }) => status === 0).length, 2, raced.map(({ stderr }) => stderr).join(""));
  assert.equal(lines().length, 4);
  for (const who of ["lxc", "islet"] as const) assert.match((await create(who)).stderr, /Quota reached/);
  // What one has made the other counts, and islet takes away.
  const [first = ""] = lines();
  const nic = first.split(" ")[3] ?? "";
  assert.equal((await run("islet", ann, "delete", "p", "n", `/proc/${pid}/ns/net`, "veth", "isltbr0", nic)).status, 0);
  assert.equal((await create("lxc")).status, 0);
  assert.equal(lines().length, 4);
});
