import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { appendedConfig, arrangedConfig, commonLines } from "../../../../src/frontends/lxc/templates/distro-config.js";
import { withAddress } from "../../../../src/frontends/lxc/templates/distro.js";
import { fedoraConfig } from "../../../../src/frontends/lxc/templates/fedora.js";
import { sshdConfigLines } from "../../../../src/frontends/lxc/templates/sshd.js";

/** What lxc-create hands over. */
const given = `# a comment

lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.apparmor.profile = generated
lxc.rootfs.path = dir:/var/lib/lxc/web/rootfs
`;
const address = (): string => "00:16:3e:01:02:03";
const map = [{ type: "uid", inside: 0, outside: 100_000, count: 65_536, at: null }] as const;
const everything = (): boolean => true;
const nothing = (): boolean => false;

describe("the lines that templates of distributions add", () => {
  it("are for Debian those of lxc-debian, behind what is there, with an address for the one nic", () => {
    const own = ["lxc.tty.max = 4", "lxc.uts.name = web"];
    const common = commonLines("debian", "bookworm", [], (path) => path.endsWith("debian.common.conf"));
    assert.equal(
      appendedConfig(withAddress(given, address), "/var/lib/lxc/web/rootfs", common, own),
      `# a comment

lxc.net.0.type = veth
lxc.net.0.hwaddr = 00:16:3e:01:02:03
lxc.net.0.link = lxcbr0
lxc.apparmor.profile = generated
lxc.rootfs.path = dir:/var/lib/lxc/web/rootfs

# Common configuration
lxc.include = /usr/share/lxc/config/debian.common.conf

# Container specific configuration
lxc.tty.max = 4
lxc.uts.name = web
`,
    );
    assert.match(appendedConfig("", "/r", [], []), /^lxc\.rootfs\.path = \/r$/m);
  });
  it("are for Ubuntu arranged as lxc-ubuntu does it: other keys behind the included files, the network last", () => {
    assert.equal(
      arrangedConfig(withAddress(given, address), "/r", ["lxc.include = /x"], ["lxc.uts.name = web"]),
      `# a comment


# Common configuration
lxc.include = /x

# Container specific configuration
lxc.apparmor.profile = generated
lxc.rootfs.path = dir:/var/lib/lxc/web/rootfs
lxc.uts.name = web

# Network configuration
lxc.net.0.type = veth
lxc.net.0.hwaddr = 00:16:3e:01:02:03
lxc.net.0.link = lxcbr0
`,
    );
  });
  it("are for Fedora those of lxc-fedora: never another container's address", () => {
    const config = fedoraConfig(
      `${given}lxc.net.0.hwaddr = 00:00:00:00:00:01\n`,
      "/r",
      ["lxc.include = /x"],
      ["lxc.arch = x86_64"],
      address,
    );
    assert.deepEqual(config.match(/^lxc\.net\.0\.(link|hwaddr).*$/gm), [
      "lxc.net.0.link = lxcbr0",
      "lxc.net.0.hwaddr = 00:16:3e:01:02:03",
    ]);
    assert.match(
      config,
      /# Include common configuration\nlxc\.include = \/x\n\n# Container specific configuration\nlxc\.arch = x86_64\n/,
    );
  });
  it("are for sshd mounts of the directories that the host has, and islet's init", () => {
    const lines = sshdConfigLines("", "/r", "ssh1", "/opt/my islet", (path) => path !== "/lib64").split("\n");
    assert.ok(lines.includes("lxc.init.cmd = /init/islet init -- /etc/rc.sshd"));
    assert.ok(lines.includes("lxc.mount.entry = /opt/my\\040islet init/islet none ro,bind 0 0"));
    assert.ok(lines.includes("lxc.mount.entry = /usr usr none ro,bind 0 0"));
    assert.ok(!lines.some((line) => line.includes("lib64")));
  });
  it("give an address to a nic that has none, and to no other kind of network", () => {
    const has = "lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:00:00:00\n";
    assert.equal(withAddress(has, address), has);
    assert.equal(withAddress("lxc.net.0.type = empty\n", address), "lxc.net.0.type = empty\n");
    assert.match(withAddress("lxc.net.0.type=veth\n"), /^lxc\.net\.0\.hwaddr = 00:16:3e(:[0-9a-f]{2}){3}$/m);
  });
  it("include LXC's files for the distribution, its release and id-mapped containers, and drop what those may not have", () => {
    assert.deepEqual(commonLines("ubuntu", "lucid", map, everything), [
      "lxc.include = /usr/share/lxc/config/ubuntu.common.conf",
      "lxc.include = /usr/share/lxc/config/ubuntu.lucid.conf",
      "lxc.include = /usr/share/lxc/config/ubuntu.userns.conf",
      "lxc.cap.drop = sys_rawio sys_module",
    ]);
  });
  it("have the same keys themselves where LXC's files are not there", () => {
    const lines = commonLines("debian", "bookworm", [], nothing);
    for (const line of [
      "lxc.tty.dir =",
      "lxc.cgroup2.devices.deny = a",
      "lxc.cgroup2.devices.allow = c 136:* rwm",
      "lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed",
    ])
      assert.ok(lines.includes(line), line);
    assert.ok(!lines.some((line) => line.startsWith("lxc.include")));
  });
});
