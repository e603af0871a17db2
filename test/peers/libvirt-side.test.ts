import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks } from "../support/skip.js";
import { strace, type TracedCall } from "../support/strace.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** What libvirt does beside the guest: audit. */

const uuid = "11111111-2222-3333-4444-555555555555";

async function define(place: VirshPlace, name: string): Promise<string> {
  const root = place.rootfs(name);
  const file = join(root, "..", `${name}.xml`);
  writeFileSync(
    file,
    `<domain type='lxc'><name>${name}</name><uuid>${uuid}</uuid><memory>262144</memory>
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
  const root = await define(place, "t2");
  const trace = await strace(t, own.pid());
  await ok("start", "t2");
  await ok("destroy", "t2");
  await own.ok(["lxc-start", ...own.store.at("t2")]);
  await own.ok(["lxc-stop", ...own.store.at("t2"), "-k"]);
  const heard = (): readonly string[] =>
    trace
      .calls(own.pid())
      .map(auditText)
      .filter((text) => text !== null);
  await waitFor("the records", () => heard().length >= 12);
  const who = `vm="t2" uuid=${uuid}`;
  const started = [
    `resrc=fs reason=start ${who} old-fs="?" new-fs="${root}"`,
    `resrc=mem reason=start ${who} old-mem=0 new-mem=262144`,
    `resrc=vcpu reason=start ${who} old-vcpu=0 new-vcpu=1`,
    `op=start reason=booted ${who} vm-pid=N`,
    `op=init ${who} vm-pid=N init-pid=N pid-ns=N`,
  ];
  const rest = `exe="${process.execPath}" hostname=? addr=? terminal=? res=success`;
  assert.deepEqual(
    heard().map((text) => text.replaceAll(/(-pid|pid-ns)=[1-9]\d*/g, "$1=N")),
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
