import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { instance } from "../support/instance.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** The commands of docs/how-to/libvirt.md, one after the other in one shell, as they stand there. */

const page = readFileSync(join(root, "docs/how-to/libvirt.md"), "utf8");
const commands = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = ""]) => text);

/** As libvirtd keeps it. */
const old = `<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh edit old
or other application using the libvirt API.
-->

<domain type='lxc'>
  <name>old</name>
  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <metadata>
    <app:note xmlns:app="http://app.example/">kept</app:note>
  </metadata>
  <memory unit='KiB'>65536</memory>
  <currentMemory unit='KiB'>65536</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <resource>
    <partition>/machine</partition>
  </resource>
  <os>
    <type arch='x86_64'>exe</type>
    <init>/bin/sh</init>
  </os>
  <features>
    <privnet/>
  </features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/lib/libvirt/libvirt_lxc</emulator>
    <filesystem type='mount' accessmode='passthrough'>
      <source dir='/srv/guests/db'/>
      <target dir='/'/>
    </filesystem>
    <console type='pty'>
      <target type='lxc' port='0'/>
    </console>
  </devices>
</domain>
`;

/** A process in namespaces of its own: the places that the page uses are empty there, and there is a bridge. */
async function emptyHost(t: Cleaner): Promise<number> {
  mkdirSync("/var/lib/lxc", { recursive: true });
  const script = `mount -t tmpfs none /var/lib/lxc && mount -t tmpfs none /srv && mount -t tmpfs none /run &&
mount -t tmpfs none /etc/libvirt && mkdir -p /etc/libvirt/lxc/autostart && printf %s "$0" > /etc/libvirt/lxc/old.xml &&
ln -s ../old.xml /etc/libvirt/lxc/autostart/old.xml &&
ip link add lxcbr0 type bridge && mount -t tmpfs none /mnt && exec sleep 86400`;
  const holder = spawn("unshare", ["--mount", "--net", "--propagation", "private", "sh", "-c", script, old], {
    stdio: "ignore",
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  cleanup(t)(() => {
    holder.kill("SIGKILL");
  });
  await waitFor("a host of its own", () => readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(" /mnt rw"));
  return pid;
}

test("every command of the page on libvirt does what it says", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt") || lacks(t, "virt-install")) return;
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "fuse and tun")) return;
  assert.ok(commands.length >= 7);
  const pid = await emptyHost(t);
  const own = await instance(t, { mntnsPid: pid, netnsPid: pid, env: { ISLET_LIBVIRT_SOCKETS: "/run/libvirt" } });
  // As the page has it: the daemon's own place.
  await own.ok(["ln", "-s", own.runtimeDir, "/run/islet"]);
  const env = { PATH: `${join(root, "bin")}:${process.env["PATH"] ?? ""}`, HOME: "/srv" };
  const shell = (text: string): ReturnType<typeof own.command> =>
    own.command(["sh", "-c", text], { env, timeout: 120_000 });
  try {
    const { status, stdout, stderr } = await shell(`set -ex\n${commands.join("\n")}`);
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    for (const said of [
      / - +web +shut off\n/,
      /Domain 'web' started/,
      /\b1 .*init/,
      /Domain 'db' defined from/,
      /<memory unit='KiB'>262144<\/memory>/,
      /Domain creation completed/,
      /^web is off$/m,
      /<name>web<\/name>/,
      /  <name>db<\/name>\n(?:.*\n)* +<privnet\/>\n(?:.*\n)*.*<capabilities policy='allow'>/,
    ])
      assert.match(stdout, said);
    assert.equal((await shell("lxc-ls -1")).stdout, "old\nweb\n", "what the page undefines is gone");
    const kept = await shell("virsh -c lxc:///system dumpxml old");
    assert.equal(kept.stdout.trim(), old.slice(old.indexOf("<domain")).trim());
    assert.match((await shell("virsh -c lxc:///system list --all --autostart")).stdout, / - +old +shut off\n/);
    assert.equal((await shell("virsh -c lxc:///system start old")).stderr, "");
    assert.equal((await shell("ls /srv/guests/db/bin/busybox")).status, 0, "root file systems stay");
  } finally {
    await shell("for name in $(lxc-ls -1 --active); do lxc-stop -n $name -k; done");
  }
});
