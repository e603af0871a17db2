import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** NAME.log of domains, for starts and ends of every kind. */

const uuid = "11111111-2222-3333-4444-555555555555";
/** Ends when it is to shut down, reboots when it is to reboot. */
const init = `#!/bin/sh
trap 'exit 0' TERM
trap 'reboot -f' HUP
while :; do sleep 0.1; done
`;

async function define(place: VirshPlace, name: string, program = "/init"): Promise<string> {
  const root = place.rootfs(name);
  writeFileSync(join(root, "init"), init, { mode: 0o755 });
  const file = join(root, "..", `${name}.xml`);
  writeFileSync(
    file,
    `<domain type='lxc'><name>${name}</name><uuid>${uuid}</uuid><memory>262144</memory>
<os><type>exe</type><init>${program}</init><initarg>two words</initarg><initenv name='MORE'>&#xd;[31m</initenv></os><features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
  );
  await place.ok("define", file);
  return root;
}

const stamp = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: /;
/** Lines without their times, which lines of command alone have none. */
const linesOf = (file: string): readonly string[] =>
  existsSync(file)
    ? readFileSync(file, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) =>
          line.replace(stamp, "").replace(/^(starting up libvirt version: 9\.0\.0, package: islet).*$/, "$1"),
        )
    : [];

const begin = "starting up libvirt version: 9.0.0, package: islet";
const command = (name: string, listen = "", program = "/init"): string =>
  `PATH=/bin:/usr/bin TERM=linux container=lxc-libvirt HOME=/ container_uuid=${uuid} LIBVIRT_LXC_UUID=${uuid} LIBVIRT_LXC_NAME=${name} ` +
  `MORE=$'\\r[31m' ${listen}${program} 'two words'`;
const end = (reason: string): string => `shutting down, reason=${reason}`;

test("every start and end of a domain is in its log, whoever causes it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok, logs } = place;
  await define(place, "t2");
  const file = join(logs, "t2.log");
  const all: string[] = [];
  const heard = async (...wanted: readonly string[]): Promise<void> => {
    all.push(...wanted);
    await waitFor(`the log to end with ${wanted.at(-1)}`, () => linesOf(file).length >= all.length);
    assert.deepEqual(linesOf(file), all);
  };
  const killed = "init was killed by signal 9";

  await ok("start", "t2");
  assert.deepEqual([statSync(logs).mode & 0o777, statSync(file).mode & 0o777], [0o700, 0o600]);
  await heard(begin, command("t2"));
  await ok("destroy", "t2");
  await heard(killed, end("destroyed"));

  await own.ok(["lxc-start", ...own.store.at("t2")]);
  await heard(begin, command("t2"));
  await ok("reboot", "t2");
  await heard("init asked for a reboot", end("reboot"), begin, command("t2"));
  await ok("shutdown", "t2");
  await heard("init ended with status 0", end("shutdown"));

  // An end that another daemon sees, which nobody has asked anything yet.
  await ok("start", "t2");
  await heard(begin, command("t2"));
  await own.restart();
  await own.ok(["lxc-stop", ...own.store.at("t2"), "-k"]);
  await heard(killed, end("shutdown"));

  const fds = `exec 7</dev/null; exec virsh -c lxc:///system start t2 --pass-fds 7`;
  assert.equal((await place.command(["sh", "-c", fds])).status, 0);
  await heard(begin, command("t2", "LISTEN_FDS=1 LISTEN_PID=1 "));
  await ok("destroy", "t2");
  await heard(killed, end("destroyed"));
  await ok("undefine", "t2");
  assert.ok(existsSync(file));
});

test("a start that fails says why in the log, in more words than the client gets", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, virsh, logs, hooks } = place;
  const root = await define(place, "t2", "/none");
  const file = join(logs, "t2.log");
  const [first, second] = [begin, command("t2", "", "/none")];
  const refused = await virsh(["start", "t2"]);
  assert.equal(refused.status, 1);
  const told = refused.stderr.trim().split("\n").at(-1) ?? "";
  assert.deepEqual(linesOf(file), [first, second, told, end("failed")]);

  // What only the engine finds out: the interpreter of a script.
  writeFileSync(join(root, "none"), "#!/no/such/shell\n", { mode: 0o755 });
  rmSync(file);
  const late = await virsh(["start", "t2"]);
  assert.equal(late.status, 1);
  const lateTold = (late.stderr.trim().split("\n").at(-1) ?? "").replaceAll("\\", "\\\\");
  const facts = "error: code=ISLET_START_FAILED call=execve errno=ENOENT";
  assert.deepEqual(linesOf(file), [first, second, lateTold, facts, end("failed")]);

  rmSync(file);
  const { status } = await own.command(["lxc-start", ...own.store.at("t2")]);
  assert.equal(status, 1);
  assert.deepEqual(linesOf(file), [first, second, lateTold, facts, end("failed")]);

  // An administrator's hook.
  rmSync(file);
  writeFileSync(join(root, "none"), init);
  mkdirSync(hooks);
  writeFileSync(join(hooks, "lxc"), `#!/bin/sh\n[ "$2" != started ] || { echo no; exit 1; }\n`, { mode: 0o755 });
  assert.equal((await virsh(["start", "t2"])).status, 1);
  await waitFor("the end", () => linesOf(file).includes(end("failed")));
  assert.deepEqual(linesOf(file), [
    first,
    second,
    "init was killed by signal 9",
    `error: Hook script execution failed: ${hooks}/lxc t2 started begin -: no`,
    end("failed"),
  ]);
});

test("a log that cannot be written keeps no domain from starting, and a link there leads nowhere", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok, logs } = place;
  await define(place, "t2");
  const victim = join(logs, "..", "victim");
  writeFileSync(victim, "as it was");
  mkdirSync(logs, { mode: 0o700 });
  symlinkSync(victim, join(logs, "t2.log"));
  await ok("start", "t2");
  await ok("destroy", "t2");
  assert.equal(readFileSync(victim, "utf8"), "as it was");
  rmSync(join(logs, "t2.log"));
  chmodSync(logs, 0o777);
  await ok("start", "t2");
  await ok("destroy", "t2");
  assert.ok(!existsSync(join(logs, "t2.log")));
});

test("with log_with_libvirtd there is no log of the domain", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok, logs, lxcConf } = place;
  await define(place, "t2");
  writeFileSync(lxcConf, "log_with_libvirtd = 1\n");
  await ok("start", "t2");
  await ok("destroy", "t2");
  assert.ok(!existsSync(logs));
});
