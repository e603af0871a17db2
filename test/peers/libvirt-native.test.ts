import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { nativeFromDomain } from "../../src/frontends/libvirt/native/to-native.js";
import { domainFromNative } from "../../src/frontends/libvirt/native/from-native.js";
import type { DomainDoc } from "../../src/frontends/libvirt/xml/domain.js";
import { guests } from "../kernel/guest.js";
import { command } from "../support/command.js";
import { picture, sweepLxc } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** What domxml-to-native writes is started, by Debian's lxc-start and by islet's, and the guest looks around. */
describe("a domain as an LXC configuration", () => {
  const before = picture();
  const name = "islt-native";
  after(() => {
    sweepLxc(before, { names: [name], stores: [store.path] });
  });
  const { store } = guests();
  const directory = join(store.path, name);
  const [root, data, report] = ["rootfs", "my data", "rootfs/report"].map((each) => join(directory, each));

  const script = `exec > /report.new
echo "args $# <$1> <$2>"; echo "env $FLAVOUR"; echo "cwd $PWD"; echo "host $(hostname)"
echo "data $(cat /data/file)"; touch /data/x 2>/dev/null || echo "data is read-only"
grep -o '^none /tmp tmpfs.*size=[0-9]*k\\|^tmpfs /tmp tmpfs.*size=[0-9]*k' /proc/mounts | sed 's/^[a-z]* //;s/ .*size=/ size=/'
grep CapBnd /proc/self/status
for each in null zero full random urandom tty ptmx; do test -c /dev/$each || echo "no $each"; done
test -c /dev/fuse && echo "fuse"
ip -o link show dev wan0 | grep -o 'link/ether [0-9a-f:]*'; ip -o -4 addr show dev wan0 | grep -o 'inet [0-9./]*'
ip route | grep -o '^default via [0-9.]*'
dd if=/dev/zero of=/dev/full 2>&1 | grep -o 'No space.*'
mv /report.new /report
exec sleep 1000`;

  const document = (): DomainDoc => {
    const doc = domainFromNative(
      [
        `lxc.uts.name = ${name}`,
        `lxc.rootfs.path = dir:${root}`,
        `lxc.mount.entry = ${data?.replace(" ", "\\040")} data none bind,ro 0 0`,
        "lxc.mount.entry = none tmp tmpfs size=2m 0 0",
        "lxc.net.0.type = veth",
        "lxc.net.0.name = wan0",
        "lxc.net.0.hwaddr = 02:00:15:8f:05:c1",
        "lxc.net.0.ipv4.address = 10.97.0.2/24",
        "lxc.net.0.ipv4.gateway = 10.97.0.1",
        "lxc.cgroup.memory.limit_in_bytes = 128M",
        "lxc.cgroup.cpu.shares = 512",
      ].join("\n"),
      { newUuid: () => "", newMac: () => "", arch: "x86_64", emulator: "" },
    );
    return {
      ...doc,
      os: {
        ...doc.os,
        init: "/bin/sh",
        initArgs: ["/look", "a;b", 'c"d'],
        initEnv: [{ name: "FLAVOUR", value: "plum jam" }],
        initDir: "/root",
      },
      features: { ...doc.features, capabilities: null },
      hostdevs: [{ kind: "misc", char: "/dev/fuse" }],
    };
  };

  const started = async (program: (tool: string) => string): Promise<string> => {
    const at = store.at(name);
    await waitFor(
      "the last monitor's end",
      () => !readFileSync("/proc/net/unix", "latin1").includes(`${directory}/command`),
    );
    const run = await command([program("lxc-start"), ...at, "-d"]);
    assert.equal(run.status, 0, run.stderr);
    try {
      let text = "";
      await waitFor("the guest's report", () => {
        try {
          text = readFileSync(report ?? "", "utf8");
        } catch {
          return false;
        }
        return true;
      });
      const memory = await command([program("lxc-cgroup"), ...at, "memory.limit_in_bytes"]);
      return `${text}memory ${memory.stdout.trim()}\n`;
    } finally {
      await command([program("lxc-stop"), ...at, "-k"]);
      await command(["rm", "-f", report ?? ""]);
    }
  };

  it("runs under LXC's own lxc-start and under islet's, and is there what it was", async (t) => {
    if (lacks(t, "lxc")) return;
    mkdirSync(data ?? "", { recursive: true });
    writeFileSync(join(data ?? "", "file"), "plums\n");
    busyboxRootfs(root ?? "");
    writeFileSync(join(root ?? "", "look"), script);
    const text = nativeFromDomain(document(), {
      deviceNumbers: (path) => {
        const { rdev } = statSync(path);
        return { kind: "c", major: (rdev >> 8) & 0xfff, minor: rdev & 0xff };
      },
      isDirectory: (path) => statSync(path).isDirectory(),
      bridgeOf: () => null,
    });
    writeFileSync(join(directory, "config"), text);
    const theirs = await started((tool) => `/usr/bin/${tool}`);
    const ours = await started((tool) => tool);
    assert.equal(ours, theirs);
    assert.match(
      ours,
      /^args 2 <a;b> <c"d>\nenv plum jam\ncwd \/root\nhost islt-native\ndata plums\ndata is read-only\n/,
    );
    assert.match(ours, /^\/tmp size=2048k$/m);
    assert.match(ours, /^fuse\nlink\/ether 02:00:15:8f:05:c1\ninet 10\.97\.0\.2\/24\ndefault via 10\.97\.0\.1$/m);
    assert.doesNotMatch(ours, /^no /m);
    assert.match(ours, /^memory 134217728$/m);
  });
});
