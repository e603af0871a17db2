import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { finishDebian } from "../../../../src/frontends/lxc/templates/debian-root.js";
import { finishFedora } from "../../../../src/frontends/lxc/templates/fedora-root.js";
import {
  finishUbuntu,
  shellPackages,
  type UbuntuContainer,
} from "../../../../src/frontends/lxc/templates/ubuntu-root.js";
import { defaultUserData, metaData, writeSeed } from "../../../../src/frontends/lxc/templates/ubuntu-cloud.js";
import { parseSourceLines } from "../../../../src/spec/apt-source.js";
import { fakeRoot } from "../../../support/fake-root.js";

const keys = [{ kind: "rsa", private: "secret\n", public: "ssh-rsa AAAA" }];
const image = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
  "/etc/shadow": "root:*:20000:0:99999:7:::\n",
  "/etc/group": "root:x:0:\n",
  "/etc/gshadow": "root:*::\n",
  "/etc/hostname": "builder\n",
  "/etc/resolv.conf": "nameserver 10.1.1.1\n",
  "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
  "/etc/ssh/sshd_config": "",
  "/etc/ssh/ssh_host_rsa_key": "the builder's\n",
  "/lib/systemd/systemd": "",
  "/lib/systemd/system/getty@.service": "",
  "/usr/lib/systemd/systemd": "",
  "/etc/skel/.bashrc": "# bash\n",
  "/root/.profile": "mesg n || true\n",
  "/usr/share/zoneinfo/Europe/Berlin": "",
};
const sources = parseSourceLines("deb [signed-by=/k/a.gpg] http://m.example/debian sid main\n");

describe("a Debian container", () => {
  const container = {
    name: "web",
    ttys: 2,
    timezone: "Europe/Berlin",
    authKey: "ssh-ed25519 AAAA jane\n",
    keys,
    sources,
    keyring: null,
    interpreter: null,
  };
  it("has nothing of the image that every container must have for itself", async () => {
    const root = fakeRoot(image);
    await finishDebian(root, container);
    assert.equal(root.read("/etc/hostname"), "web\n");
    assert.match(root.read("/etc/hosts") ?? "", /^127\.0\.1\.1 +web$/m);
    assert.equal(root.read("/etc/machine-id"), "");
    assert.ok(!root.exists("/etc/resolv.conf"));
    assert.equal(root.read("/etc/ssh/ssh_host_rsa_key"), "secret\n");
    assert.equal(root.read("/etc/apt/sources.list"), "deb http://m.example/debian sid main\n");
  });
  it("has its network by DHCP, logins on its ttys, no udev, and root's key", async () => {
    const root = fakeRoot(image);
    await finishDebian(root, container);
    assert.match(root.read("/etc/network/interfaces") ?? "", /^iface eth0 inet dhcp$/m);
    const units = "/etc/systemd/system";
    assert.deepEqual(root.list(`${units}/getty.target.wants`), ["getty@tty1.service", "getty@tty2.service"]);
    assert.match(root.read(`${units}/getty@.service.d/lxc.conf`) ?? "", /^ConditionPathExists=\/dev\/%I$/m);
    assert.equal(root.links.get(`${units}/systemd-udevd.service`), "/dev/null");
    assert.equal(root.links.get("/etc/localtime"), "/usr/share/zoneinfo/Europe/Berlin");
    assert.equal(root.directories.get("/root/.ssh")?.mode, 0o700);
    assert.equal(root.files.get("/root/.ssh/authorized_keys")?.mode, 0o600);
    assert.equal(root.read("/root/.profile"), "test -t 0 && mesg n || true\n");
  });
  it("with sysvinit has a getty on the console, and knows what lxc-stop sends", async () => {
    const root = fakeRoot({ "/etc/inittab": "Debian's\n" });
    await finishDebian(root, container);
    const inittab = root.read("/etc/inittab") ?? "";
    assert.match(inittab, /^1:2345:respawn:\/sbin\/getty 38400 console$/m);
    assert.match(inittab, /^c2:12345:respawn:\/sbin\/getty 38400 tty2 linux$/m);
    assert.match(inittab, /^p0::powerfail:\/sbin\/init 0$/m);
    assert.ok(!root.exists("/etc/machine-id"));
  });
});

describe("an Ubuntu container", () => {
  const notices: string[] = [];
  const container: UbuntuContainer = {
    name: "web",
    timezone: null,
    locale: "en_US.UTF-8",
    login: { kind: "new", name: "ubuntu", hash: "$6$a$b" },
    authKey: "ssh-ed25519 AAAA jane\n",
    keys,
    sources,
    keyring: null,
    trim: false,
    notice: (text) => notices.push(text),
  };
  it("has its user, who may use sudo, with a home and a key of their own", async () => {
    const root = fakeRoot(image);
    await finishUbuntu(root, container);
    assert.match(root.read("/etc/passwd") ?? "", /^ubuntu:x:1000:1000::\/home\/ubuntu:\/bin\/bash$/m);
    assert.match(root.read("/etc/shadow") ?? "", /^ubuntu:\$6\$a\$b:\d+:0:99999:7:::$/m);
    assert.match(root.read("/etc/group") ?? "", /^sudo:x:\d{3}:ubuntu$/m);
    assert.deepEqual(root.files.get("/home/ubuntu/.bashrc"), { text: "# bash\n", mode: 0o644, uid: 1000, gid: 1000 });
    assert.equal(root.files.get("/home/ubuntu/.ssh/authorized_keys")?.uid, 1000);
    assert.deepEqual(notices, []);
  });
  it("has netplan where there is netplan, and ifupdown otherwise", async () => {
    const [old, later] = [fakeRoot(image), fakeRoot({ ...image, "/usr/sbin/netplan": "" })];
    for (const root of [old, later]) await finishUbuntu(root, container);
    assert.ok(old.exists("/etc/network/interfaces") && !old.exists("/etc/netplan"));
    assert.equal(later.files.get("/etc/netplan/10-lxc.yaml")?.mode, 0o600);
  });
  it("takes a user of the host's as they are there", async () => {
    const root = fakeRoot(image);
    const passwd = "jdoe:x:1234:1235:J:/home/jdoe:/usr/bin/zsh";
    const login = {
      kind: "host",
      name: "jdoe",
      user: { passwd, shadow: "jdoe:$y$h:1:::::: ", group: "jdoes:x:1235:" },
    } as const;
    await finishUbuntu(root, { ...container, login });
    assert.ok(root.read("/etc/passwd")?.includes(`${passwd}\n`));
    assert.match(root.read("/etc/group") ?? "", /^jdoes:x:1235:$/m);
    assert.match(root.read("/etc/group") ?? "", /^sudo:x:\d+:jdoe$/m);
    assert.ok(!(root.read("/etc/passwd") ?? "").includes("ubuntu"));
    assert.deepEqual([root.directories.get("/home/jdoe")?.uid, root.directories.get("/home/jdoe")?.gid], [1234, 1235]);
    assert.deepEqual(shellPackages(login), ["zsh"]);
    assert.deepEqual(notices, ["shell /usr/bin/zsh for user jdoe was not found in the container"]);
  });
  it("when trimmed never starts what a container can do without", async () => {
    const root = fakeRoot(image);
    await finishUbuntu(root, { ...container, trim: true });
    assert.equal(root.links.get("/etc/systemd/system/fstrim.timer"), "/dev/null");
  });
});

describe("a container of Ubuntu's cloud images", () => {
  it("tells cloud-init its name, instance and keys", () => {
    assert.equal(
      metaData("web", { hostId: "h1", authKeys: "ssh-rsa A a\n\nssh-rsa B b\n" }),
      "instance-id: lxc-h1\nlocal-hostname: web\npublic-keys:\n- ssh-rsa A a\n- ssh-rsa B b\n",
    );
    const root = fakeRoot({});
    writeSeed(root, "web", {
      hostId: "h1",
      authKeys: null,
      userData: defaultUserData({ LANG: "C.UTF-8" }),
      vendorData: null,
    });
    assert.deepEqual(root.list("/var/lib/cloud/seed/nocloud-net"), ["meta-data", "user-data"]);
    const user = root.read("/var/lib/cloud/seed/nocloud-net/user-data") ?? "";
    assert.match(user, /^#cloud-config\n/);
    assert.match(user, /^locale: C\.UTF-8$/m);
    assert.match(user, /^apt_mirror: http:\/\/archive\.ubuntu\.com\/ubuntu$/m);
  });
});

describe("a Fedora container", () => {
  const container = { hostname: "web.example", timezone: null, hash: "$6$a$b", masksTmp: true };
  it("has networkd where there is networkd, and a first password that has to be changed", () => {
    const unit = "/usr/lib/systemd/system";
    const root = fakeRoot({
      ...image,
      [`${unit}/systemd-networkd.service`]: "",
      "/etc/selinux/config": "SELINUX=enforcing\n",
    });
    finishFedora(root, container);
    assert.match(root.read("/etc/shadow") ?? "", /^root:\$6\$a\$b:0:/m);
    assert.equal(root.read("/etc/selinux/config"), "SELINUX=disabled\n");
    assert.ok(root.links.has("/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"));
    assert.equal(root.links.get("/etc/systemd/system/tmp.mount"), "/dev/null");
    assert.ok(!root.exists("/etc/ssh/ssh_host_rsa_key"));
  });
  it("of old has the network scripts", () => {
    const root = fakeRoot({ "/etc/passwd": "" });
    finishFedora(root, container);
    assert.match(root.read("/etc/sysconfig/network-scripts/ifcfg-eth0") ?? "", /^BOOTPROTO=dhcp$/m);
  });
});
