import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { command, type CommandResult } from "../support/command.js";
import { picture, sweepLxc } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { type Store, tempStore } from "../support/store.js";

/** Standard output, status and what scripts match of standard error: without LXC's FILE: FUNCTION: LINE. */
interface Seen {
  readonly stdout: string;
  readonly status: number;
  readonly messages: readonly string[];
}

function seen({ stdout, status, stderr }: CommandResult): Seen {
  const lines = stderr.split("\n").filter((line) => line !== "");
  return { stdout, status, messages: lines.map((line) => line.replace(/ \.\.\/src\/\S+: \w+: \d+ /, " ")) };
}

/** The same command line through Debian's tool and through ours. */
async function both(
  argv: readonly string[],
  between: () => void = () => undefined,
): Promise<{ readonly theirs: Seen; readonly ours: Seen }> {
  const [name = "", ...args] = argv;
  const theirs = seen(await command([`/usr/bin/${name}`, ...args]));
  between();
  return { theirs, ours: seen(await command([name, ...args])) };
}

function define(store: Store, name: string, config: string): void {
  mkdirSync(join(store.path, name));
  writeFileSync(join(store.path, name, "config"), config);
}

/** Three sound containers and one whose configuration nobody can read. */
function furnish(store: Store): void {
  const rootfs = `lxc.rootfs.path = dir:${store.path}/x/rootfs\n`;
  define(store, "arg1", rootfs);
  const autostart = "lxc.start.auto = 1\nlxc.group = g1\nlxc.group = g2\n";
  const net = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n";
  const mounts = "lxc.mount.auto = cgroup:mixed proc:mixed sys:ro\nlxc.mount.entry = shm dev/shm tmpfs rw 0 0\n";
  define(
    store,
    "none22",
    `${rootfs}${autostart}${net}${mounts}lxc.uts.name = "n22"\nlxc.cap.drop = sys_module mac_admin\n`,
  );
  define(store, "u", `${rootfs}lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n`);
  define(store, "zbroken", "lxc.foo = 1\n");
}

const before = picture();
const store = tempStore({ after });
after(() => sweepLxc(before, { names: [], stores: [store.path] }));
furnish(store);

describe("stopped containers, side by side with Debian's tools", () => {
  const keys = [
    "lxc.uts.name",
    "lxc.cap.drop",
    "lxc.group",
    "lxc.idmap",
    "lxc.net",
    "lxc.net.0.link",
    "lxc.mount.auto",
    "lxc.mount.entry",
    "lxc.rootfs.path",
    "lxc.start.auto",
    "lxc.tty.max",
    "lxc.bogus",
  ].flatMap((key) => ["-c", key]);
  const same: readonly (readonly string[])[] = [
    ["lxc-ls"],
    ["lxc-ls", "-1"],
    ["lxc-ls", "-f"],
    ["lxc-ls", "-f", "-F", "name,STATE,pid,ram,swap,autostart,groups,interface,ipv4,ipv6,unprivileged"],
    ["lxc-ls", "-f", "-F", "unprivileged, name"],
    ["lxc-ls", "-F", "name,state"],
    ["lxc-ls", "-1", "--filter", "^[a-n].*[0-9]$"],
    ["lxc-ls", "-1", "^u|1$"],
    ["lxc-ls", "-1", "-g", "g1,g2"],
    ["lxc-ls", "-1", "-g", "g1,g3"],
    ["lxc-ls", "-1", "--stopped"],
    ["lxc-ls", "-1", "--defined"],
    ["lxc-ls", "--running"],
    ["lxc-ls", "--frozen", "-f"],
    ["lxc-ls", "--active"],
    ["lxc-autostart", "-L"],
    ["lxc-autostart", "-L", "-a"],
    ["lxc-autostart", "-LA"],
    ["lxc-autostart", "-L", "-a", "-A", "-g", "g1"],
    ["lxc-autostart", "-L", "-g", "g1,nosuch"],
    ["lxc-autostart", "-L", "-A", "-g", "g2,"],
    ["lxc-autostart", "-L", "-s", "-a", "-A"],
    ["lxc-autostart", "-t", "soon"],
    ["lxc-info", "arg1"],
    ["lxc-info", "-n", "none22", "-s"],
    ["lxc-info", "-n", "none22", "-sH"],
    ["lxc-info", "-n", "none22", "-pHiS"],
    ["lxc-info", "-n", "none22", ...keys],
    ["lxc-info", "-n", "none22", "-Hc", "lxc.cap.drop"],
    ["lxc-info", "-n", "none22", "-Hsc", "lxc.uts.name"],
    ["lxc-info", "nosuch"],
    ["lxc-stop", "arg1"],
    ["lxc-stop", "nosuch", "-k"],
    ["lxc-stop", "arg1", "-k", "-t", "1"],
    ["lxc-stop", "arg1", "--nolock"],
    ["lxc-start", "nosuch"],
    ["lxc-destroy", "nosuch"],
    ["lxc-create", "arg1", "-t", "none"],
    ["lxc-create", "new", "-B", "dir"],
    ["lxc-create", "new", "-t", "none", "--dir", "relative"],
    ["lxc-create", "new", "-t", "none", "-B", "nosuch"],
    ["lxc-execute", "nosuch", "--", "true"],
    ["lxc-console", "arg1"],
    ["lxc-console", "nosuch", "-t", "1"],
    ["lxc-console", "arg1", "-t", "x"],
    ["lxc-console", "arg1", "-t", "-1"],
  ];
  for (const argv of same) {
    it(`${argv.join(" ")} prints the same and has the same status`, async (t) => {
      if (lacks(t, "lxc")) return;
      const { theirs, ours } = await both([argv[0] ?? "", "-P", store.path, ...argv.slice(1)]);
      assert.deepEqual([ours.stdout, ours.status], [theirs.stdout, theirs.status]);
      // Ours may say more; nothing that a script may look for is missing. Of a broken container that a filter leaves out we do not speak.
      const expected = theirs.messages.filter((line) => !line.includes("zbroken"));
      assert.deepEqual(
        expected.filter((line) => !ours.messages.includes(line)),
        [],
      );
    });
  }
  it("a container with a broken configuration is missing from lists, and the message is the same", async (t) => {
    if (lacks(t, "lxc")) return;
    const list = await both(["lxc-ls", "-P", store.path, "-1"]);
    assert.deepEqual(list.theirs.messages, ["Failed to load config for zbroken"]);
    assert.ok(list.ours.messages.includes("Failed to load config for zbroken"));
    for (const tool of ["lxc-info", "lxc-start"]) {
      const { theirs, ours } = await both([tool, "-P", store.path, "zbroken"]);
      assert.equal(ours.status, theirs.status);
      const last = theirs.messages.at(-1) ?? "";
      assert.ok(ours.messages.includes(last), `${tool}: "${last}" is missing from ${ours.messages.join(" / ")}`);
    }
  });
  for (const [index, args] of [
    ["-t", "busybox", "-f", "/dev/null"],
    ["-t", "none", "-f", "/dev/null"],
    ["-t", "busybox", "-f", "/dev/null", "--", "--busybox-path", "/bin/busybox"],
  ].entries()) {
    it(`lxc-create ${args.join(" ")} writes the same config`, async (t) => {
      if (lacks(t, "lxc")) return;
      const name = `new${index}`;
      const file = join(store.path, name, "config");
      let config = "";
      const { theirs, ours } = await both(["lxc-create", "-P", store.path, "-n", name, ...args], () => {
        config = readFileSync(file, "utf8");
        rmSync(join(store.path, name), { recursive: true });
      });
      assert.deepEqual([ours.status, theirs.status, ours.messages], [0, 0, []]);
      assert.equal(readFileSync(file, "utf8"), config);
    });
  }
});
