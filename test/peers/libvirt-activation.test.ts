import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import type { CommandResult } from "../support/command.js";
import { ok } from "../support/command.js";
import { type DebianImage, debianRootfs, debianTar, mayMakeDebian } from "../support/debian.js";
import { descriptorCount } from "../support/leaks.js";
import { type Netns, netns } from "../support/netns.js";
import { lacks } from "../support/skip.js";
import { virshPlace, type VirshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** The page's last part: sockets of the host's that start a domain, and are its own then. systemd at both ends, and Debian's ssh. */

/** The same as the one of kernel/debian-services: it is made once. */
const image: DebianImage = {
  release: "bookworm",
  flavour: "systemd",
  extra: ["cloud-init", "openssh-server", "python3"],
};

before(async () => {
  if (mayMakeDebian()) await debianTar(image);
});

const document = (name: string, root: string, os: string, top = ""): string => `
<domain type='lxc'><name>${name}</name><memory>500000</memory>
<os><type>exe</type>${os}</os>${top}<features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`;

/** The page's two units, word for word, another pair, and what Debian's sshd needs besides. */
function addUnits(root: string, publicKey: string): void {
  const units = join(root, "etc/systemd/system");
  mkdirSync(join(units, "sockets.target.wants"), { recursive: true });
  writeFileSync(
    join(units, "sshd.socket"),
    "[Unit]\nDescription=SSH Socket for Per-Connection Servers\n\n[Socket]\nListenStream=23\nAccept=yes\n",
  );
  writeFileSync(
    join(units, "sshd@.service"),
    "[Unit]\nDescription=SSH Per-Connection Server for %I\n\n[Service]\nExecStart=-/usr/sbin/sshd -i\nStandardInput=socket\n",
  );
  writeFileSync(join(units, "echo.socket"), "[Socket]\nListenStream=2323\nAccept=yes\n");
  writeFileSync(join(units, "echo@.service"), "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n");
  for (const name of ["sshd", "echo"])
    symlinkSync(`/etc/systemd/system/${name}.socket`, join(units, `sockets.target.wants/${name}.socket`));
  for (const unit of ["ssh.service", "ssh.socket"]) {
    rmSync(join(units, unit), { force: true });
    symlinkSync("/dev/null", join(units, unit));
  }
  writeFileSync(join(root, "etc/tmpfiles.d/sshd.conf"), "d /run/sshd 0755\n");
  mkdirSync(join(root, "etc/cloud"), { recursive: true });
  writeFileSync(join(root, "etc/cloud/cloud-init.disabled"), "");
  mkdirSync(join(root, "root/.ssh"), { recursive: true, mode: 0o700 });
  writeFileSync(join(root, "root/.ssh/authorized_keys"), publicKey, { mode: 0o600 });
}

/** mycontainer.socket and mycontainer.service: what systemd does for both until the service has started. */
const activate = (
  place: VirshPlace,
  net: Netns,
  ports: readonly number[],
  words: readonly string[],
): Promise<CommandResult> =>
  net.command(
    [
      "systemd-socket-activate",
      ...ports.flatMap((port) => ["-l", String(port)]),
      "-E",
      "PATH",
      ...place.within,
      "virsh",
      "-c",
      "lxc:///system",
      ...words,
    ],
    { timeout: 60_000 },
  );

const mapping =
  "<idmap><uid start='0' target='100000' count='65536'/><gid start='0' target='100000' count='65536'/></idmap>";
const one = { ports: [23], fds: "3", address: "127.0.0.1" };
const two = { ports: [2323, 23], fds: "3,4", address: "::1" };

for (const { ids, shift, top, rounds } of [
  { ids: "privileged", shift: 0, top: "", rounds: [one, two] },
  { ids: "mapped", shift: 100_000, top: mapping, rounds: [two] },
]) {
  test(`Systemd Socket Activation Integration (${ids})`, async (t) => {
    if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "debian")) return;
    if (lacks(t, "systemd-socket-activate") || lacks(t, "ssh") || (shift > 0 && lacks(t, "userns"))) return;
    const place = await virshPlace(t);
    const net = await netns(t);
    const above = join(place.own.store.path, "..");
    const key = join(above, "key");
    await ok(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
    const root = join(above, "root-mycontainer");
    await debianRootfs(image, root, shift, (path) => {
      addUnits(path, readFileSync(`${key}.pub`, "utf8"));
    });
    const file = join(above, "mycontainer.xml");
    writeFileSync(file, document("mycontainer", root, "<init>/sbin/init</init>", top));
    await place.ok("define", file);
    const options = ["ConnectTimeout=60", "LogLevel=ERROR", "BatchMode=yes", "StrictHostKeyChecking=no"];
    const client = ["ssh", "-F", "none", "-i", key, "-p", "23", ...options.flatMap((option) => ["-o", option])];
    const ssh = (address: string, script: string): Promise<CommandResult> =>
      net.command([...client, "-o", "UserKnownHostsFile=/dev/null", `root@${address}`, script], { timeout: 90_000 });
    const listens = async (): Promise<boolean> => (await net.ok(["ss", "-Hltn", "sport = :23"])).includes(":23");
    const open = descriptorCount(place.own.pid());
    for (const { ports, fds, address } of rounds) {
      const starting = activate(place, net, ports, ["start", "--pass-fds", fds, "mycontainer"]);
      await waitFor("the host's socket", listens);
      assert.equal(await place.ok("domstate", "mycontainer"), "shut off\n\n");
      const first = await ssh(address, "hostname; systemctl show -P NAccepted sshd.socket; cat /proc/1/comm");
      assert.deepEqual([first.stdout, first.stderr], ["mycontainer\n1\nsystemd\n", ""]);
      assert.match((await starting).stdout, /^Domain 'mycontainer' started$/m);
      const second = await ssh(address, "systemctl is-active echo.socket; grep -c ':0017 ' /proc/net/tcp6");
      // Its own network, where a systemd that had been given nothing would have opened the port, has none.
      assert.equal(second.stdout, "active\n0\n");
      if (ports.includes(2323))
        assert.equal(
          await net.ok(["bash", "-c", "exec 3<>/dev/tcp/::1/2323; echo heard >&3; head -n 1 <&3"]),
          "heard\n",
        );
      await place.ok("destroy", "mycontainer");
      assert.ok(!(await listens()), "the socket was the guest's alone");
    }
    await waitFor("the descriptors to be closed", () => descriptorCount(place.own.pid()) <= open);
  });
}

test("descriptors that are passed are init's from 3 on, in their order, also after a reboot, and wrong ones start nothing", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const root = place.rootfs("a");
  const above = join(root, "..");
  const file = join(above, "a.xml");
  for (const name of ["one", "two"]) writeFileSync(join(above, name), `${name}\nmore\n`);
  const script =
    'trap "reboot -f" HUP; read a &lt;&amp;3; read b &lt;&amp;4; ls /proc/self/fd | wc -l > /count; echo "$LISTEN_FDS $LISTEN_PID $a $b" > /new; mv /new /told; while :; do sleep 1000 &amp; wait $!; done';
  writeFileSync(file, document("a", root, `<init>/bin/sh</init><initarg>-c</initarg><initarg>${script}</initarg>`));
  const virsh = (words: string): Promise<CommandResult> =>
    place.command(["sh", "-c", `exec virsh -c lxc:///system ${words} 7<"$0/one" 8<"$0/two"`, above]);
  const told = async (): Promise<string> => {
    const path = join(root, "told");
    const text = await waitFor("its init's words", () => (existsSync(path) ? readFileSync(path, "utf8") : null));
    rmSync(path);
    return text;
  };
  const open = descriptorCount(place.own.pid());
  assert.equal((await virsh(`create --pass-fds 8,7 '${file}'`)).status, 0);
  assert.equal(await told(), "2 1 two one\n");
  // Its reboot is no new start: it has them still, where its last life has read to.
  await place.ok("reboot", "a");
  assert.equal(await told(), "2 1 more more\n");
  await place.ok("destroy", "a");
  // Nothing but those two, its standard streams and ls's directory.
  assert.equal(readFileSync(join(root, "count"), "utf8").trim(), "6");
  await place.ok("define", file);
  assert.equal((await virsh("start --pass-fds 7,8 a")).status, 0);
  assert.equal(await told(), "2 1 one two\n");
  await place.ok("destroy", "a");
  const many = (count: number): string => ["7", "8", ...Array.from({ length: count - 2 }, () => "8")].join(",");
  assert.equal((await virsh(`start --pass-fds ${many(32)} a`)).status, 0);
  assert.equal(await told(), "32 1 one two\n");
  await place.ok("destroy", "a");
  for (const [fds, words] of [
    ["x", /^error: Unable to parse FD number 'x'$/m],
    ["7,", /^error: Unable to parse FD number ''$/m],
    ["99", /^error: Cannot duplicate FD 99: Bad file descriptor$/m],
    [many(33), /^error: Too many FDs to send 33, expected 32 maximum$/m],
  ] as const) {
    const { status, stderr } = await virsh(`start --pass-fds ${fds} a`);
    assert.equal(status, 1, fds);
    assert.match(stderr, words);
    assert.equal(await place.ok("domstate", "a"), "shut off\n\n");
  }
  // Those are for one start: the next has none.
  await place.ok("start", "a");
  assert.match(await told(), /^ *\n$/);
  await place.ok("destroy", "a");
  await waitFor("the descriptors to be closed", () => descriptorCount(place.own.pid()) <= open);
});
