import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks } from "../support/skip.js";
import { strace, type TracedCall } from "../support/strace.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** What libvirt does beside the guest: audit records, hooks, starts with the host, lxc.conf. */

const uuid = "11111111-2222-3333-4444-555555555555";

async function define(place: VirshPlace, name: string, id: string): Promise<string> {
  const root = place.rootfs(name);
  const file = join(root, "..", `${name}.xml`);
  writeFileSync(
    file,
    `<domain type='lxc'><name>${name}</name><uuid>${id}</uuid><memory>262144</memory>
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os><features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
  );
  await place.ok("define", file);
  return root;
}

test("the kernel's audit hears of every start and end of a domain, whoever causes it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "strace")) return;
  const place = await virshPlace(t);
  const { own, ok } = place;
  const root = await define(place, "t2", uuid);
  const trace = await strace(t, own.pid(), "alone");
  await ok("start", "t2");
  await ok("destroy", "t2");
  await own.ok(["lxc-start", ...own.store.at("t2")]);
  await own.ok(["lxc-stop", ...own.store.at("t2"), "-k"]);
  const heard = (): readonly string[] =>
    trace
      .calls(own.pid())
      .map(auditText)
      .filter((text) => text !== null);
  await waitFor("the records", () => heard().length >= 14);
  const who = `vm="t2" uuid=${uuid}`;
  const started = [
    `resrc=fs reason=start ${who} old-fs="?" new-fs="${root}"`,
    `resrc=chardev reason=start ${who} old-chardev="?" new-chardev="/dev/pts/N"`,
    `resrc=mem reason=start ${who} old-mem=0 new-mem=262144`,
    `resrc=vcpu reason=start ${who} old-vcpu=0 new-vcpu=1`,
    `op=start reason=booted ${who} vm-pid=N`,
    `op=init ${who} vm-pid=N init-pid=N pid-ns=N`,
  ];
  const rest = `exe="${process.execPath}" hostname=? addr=? terminal=? res=success`;
  assert.deepEqual(
    heard().map((text) => text.replaceAll(/((?:-pid|pid-ns)=(?=[1-9])|\/dev\/pts\/)\d+/g, "$1N")),
    [...started, `op=stop reason=destroyed ${who} vm-pid=0`, ...started, `op=stop reason=shutdown ${who} vm-pid=0`].map(
      (text) => `virt=lxc ${text} ${rest}`,
    ),
  );
});

/** What a call of sendto tells audit: strace shows it byte by byte. */
function auditText({ name, args }: TracedCall): string | null {
  const [, bytes = ""] = /nlmsg_type=0x9c[45] .*"((?:\\x[0-9a-f]{2})+)\\x00"/.exec(args[1] ?? "") ?? [];
  return name === "sendto" && bytes !== "" ? Buffer.from(bytes.replaceAll("\\x", ""), "hex").toString() : null;
}

test("the administrator's hook is asked before and told after, and may refuse a start", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok, virsh, hooks } = place;
  await define(place, "t2", uuid);
  mkdirSync(hooks);
  const [log, veto] = [join(hooks, "log"), join(hooks, "veto")];
  const script = `#!/bin/sh
[ -e ${veto}.slow ] && sleep 0.5
echo "$@" $(grep -o '<domain type=.lxc.' ) >> ${log}
[ "$2" = "$(cat ${veto} 2>/dev/null)" ] || exit 0
echo no $2 here >&2
exit 3
`;
  // Not executable: it is nobody's business.
  writeFileSync(join(hooks, "lxc"), script, { mode: 0o644 });
  await ok("start", "t2");
  await ok("destroy", "t2");
  assert.equal(existsSync(log), false);
  rmSync(join(hooks, "lxc"));
  writeFileSync(join(hooks, "lxc"), script, { mode: 0o755 });
  const lines = (): readonly string[] => {
    const all = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
    return all.map((line) => line.replace("t2 ", "").replace(" - <domain type='lxc'", ""));
  };
  const heard = async (...wanted: readonly string[]): Promise<void> => {
    await waitFor("the hooks", () => lines().length >= wanted.length);
    assert.deepEqual(lines(), wanted);
    rmSync(log);
  };
  const [before, after] = [
    ["prepare begin", "start begin", "started begin"],
    ["stopped end", "release end"],
  ];
  await ok("start", "t2");
  await heard(...before);
  await own.restart();
  await ok("list");
  await heard("reconnect begin");
  // What comes after an end comes before the next start.
  writeFileSync(`${veto}.slow`, "");
  await ok("destroy", "t2");
  await ok("start", "t2");
  await heard(...after, ...before);
  rmSync(`${veto}.slow`);
  await own.ok(["lxc-stop", ...own.store.at("t2"), "-k"]);
  await heard(...after);

  const refused = async (operation: string, ...wanted: readonly string[]): Promise<void> => {
    writeFileSync(veto, operation);
    const { status, stderr } = await virsh(["start", "t2"]);
    assert.equal(status, 1);
    assert.equal(
      stderr.trim(),
      `error: Failed to start domain 't2'\nerror: Hook script execution failed: ${hooks}/lxc t2 ${operation} begin -: no ${operation} here`,
    );
    assert.equal(await ok("domstate", "t2"), "shut off\n\n");
    await heard(...wanted);
  };
  await refused("prepare", "prepare begin");
  await refused("start", "prepare begin", "start begin", "release end");
  await refused("started", ...before, ...after);
  // An end cannot be refused.
  writeFileSync(veto, "stopped");
  await ok("start", "t2");
  await ok("destroy", "t2");
  await heard(...before, ...after);
});

test("the first daemon of a boot starts the domains that are to be started, and no other", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t, { env: { ISLET_LIBVIRT_AUTOSTART: "1" } });
  const { own, ok } = place;
  const names = ["broken", "first", "plain", "second"];
  for (const [index, name] of names.entries()) await define(place, name, uuid.replace(/.$/, String(index)));
  for (const name of ["broken", "first", "second"]) await ok("autostart", name);
  rmSync(join(own.store.path, "../root-broken"), { recursive: true });
  busybox(own.store, "container", "lxc.start.auto = 1\n");
  const marker = join(own.runtimeDir, "libvirt-autostarted");
  const running = async (): Promise<string> => (await ok("list", "--name")).trim().split("\n").sort().join(" ");
  // Its own boot was without any of them.
  await own.restart();
  assert.equal(await running(), "");
  await ok("start", "second");
  const before = await ok("domid", "second");
  // As after a boot.
  await own.restart(() => {
    rmSync(marker);
    return Promise.resolve();
  });
  await waitFor("the domains", async () => (await running()) === "first second");
  assert.equal(await ok("domid", "second"), before);
  assert.ok(existsSync(marker));
  await ok("destroy", "first");
  await own.restart();
  assert.equal(await running(), "second");
});

test("lxc.conf keeps unconfined domains from starting, and a bad line is one error", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok, virsh, lxcConf } = place;
  await define(place, "t2", uuid);
  const refused = async (text: string): Promise<string> => {
    writeFileSync(lxcConf, text);
    const { status, stderr } = await virsh(["start", "t2"]);
    assert.equal(status, 1);
    assert.equal(await ok("domstate", "t2"), "shut off\n\n");
    return stderr.trim().split("\n").slice(1).join("\n");
  };
  assert.equal(
    await refused("# of the host\n\nsecurity_require_confined = 1\n"),
    "error: unsupported configuration: Unconfined guests are not allowed on this host",
  );
  const syntax = `error: configuration file syntax error: ${lxcConf}`;
  assert.equal(
    await refused("log_with_libvirtd = 1\nsecurity_require_confined = yes\n"),
    `${syntax}:2: security_require_confined is 0 or 1, not yes`,
  );
  assert.equal(await refused("security_model = 1\n"), `${syntax}:1: there is no setting security_model`);
  assert.equal(await refused("hello\n"), `${syntax}:1: expecting a name, = and a value`);
  writeFileSync(lxcConf, `security_driver = "none" # no other\nsecurity_default_confined = 0\n`);
  await ok("start", "t2");
});
