import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseSeccomp } from "../../../../src/plan/seccomp.js";
import { plainGuest } from "../../../../src/spec/guest.js";
import { MS_NODEV } from "../../../../src/sys/flags.js";
import { specOf } from "./helper.js";

const base = "lxc.rootfs.path = dir:/srv/web1\nislet.guest = lxd\n";
const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
const spec = (more: string = ""): ReturnType<typeof specOf> => specOf(base + more);

describe("islet.guest = lxd", () => {
  it("fills in nothing without the key: LXC's containers stay as they are", () => {
    const plain = specOf("lxc.rootfs.path = dir:/srv/web1\n");
    assert.equal(plain.hostname, null);
    assert.equal(plain.security.seccomp, null);
    assert.deepEqual(plain.cgroup.devicesV1, []);
    assert.deepEqual(plain.mounts.auto.proc, null);
    assert.deepEqual(plain.guest, plainGuest);
  });

  it("mounts /proc and /sys guarded for a privileged guest, as they are for an id-mapped one", () => {
    assert.deepEqual([spec().mounts.auto.proc, spec().mounts.auto.sys], ["mixed", "mixed"]);
    assert.deepEqual([spec(map).mounts.auto.proc, spec(map).mounts.auto.sys], ["rw", "rw"]);
    assert.equal(spec("lxc.mount.auto = proc:rw\n").mounts.auto.sys, null);
  });

  it("hides the kernel's directories from a privileged guest and binds them for an id-mapped one", () => {
    const [privileged, mapped] = [spec().guest, spec(map).guest];
    assert.deepEqual(privileged.hidden, mapped.hostDirectories);
    assert.equal(privileged.hidden.length, 7);
    assert.deepEqual([...privileged.hostDirectories, ...mapped.hidden], []);
    assert.deepEqual([privileged.binfmtMisc, mapped.binfmtMisc], ["hidden", "host"]);
  });

  it("leaves to the configuration what it mounts itself", () => {
    const { guest } = spec(
      "lxc.mount.entry = /dev/fuse dev/fuse none bind,create=file\nlxc.mount.entry = mqueue dev/mqueue mqueue create=dir\nlxc.mount.entry = /sys/kernel/debug sys/kernel/debug none rbind\n",
    );
    assert.deepEqual(
      guest.devices.map((node) => node.name),
      ["net/tun"],
    );
    assert.equal(guest.mqueue, false);
    assert.ok(!guest.hidden.includes("/sys/kernel/debug"));
  });

  it("drops five capabilities of a privileged guest, unless the configuration names some", () => {
    assert.deepEqual(spec().security.capabilities, { kind: "drop", capabilities: [25, 16, 17, 33, 32] });
    assert.deepEqual(spec(map).security.capabilities, { kind: "drop", capabilities: [] });
    assert.deepEqual(spec("lxc.cap.drop = mknod\n").security.capabilities, { kind: "drop", capabilities: [27] });
    assert.equal(spec("lxc.cap.keep = chown\n").security.capabilities.kind, "keep");
  });

  it("has a seccomp policy for both kinds, unless the configuration has one", () => {
    for (const more of ["", map]) {
      const { seccomp } = spec(more).security;
      assert.ok(seccomp !== null);
      const parsed = parseSeccomp(seccomp.text, seccomp.file);
      assert.ok(parsed.kind === "policy" && parsed.policy.version === 2);
      assert.deepEqual(parsed.policy.warnings, []);
      assert.deepEqual(parsed.policy.defaultAction, { kind: "allow" });
      assert.deepEqual(
        parsed.policy.rules.map(({ name, action }) => [name, action.kind === "errno" ? action.errno : null]),
        [
          ["umount2", 13],
          ["kexec_load", 38],
          ["open_by_handle_at", 38],
          ["init_module", 38],
          ["finit_module", 38],
          ["delete_module", 38],
        ],
      );
    }
    const own = specOf(`${base}lxc.seccomp.profile = /p\n`, { files: { "/p": "2\nallowlist\nread\n" } });
    assert.equal(own.security.seccomp?.file, "/p");
  });

  it("has device rules for a privileged guest alone, unless the configuration has some", () => {
    const rules = spec().cgroup.devicesV1;
    assert.deepEqual([rules[0]?.allow, rules[0]?.type, rules.length], [false, "a", 14]);
    assert.ok(rules.slice(1).every((rule) => rule.allow && rule.at === null));
    assert.deepEqual(spec(map).cgroup.devicesV1, []);
    assert.equal(spec("lxc.cgroup2.devices.deny = a\n").cgroup.devicesV1.length, 0);
    assert.equal(spec("lxc.cgroup.devices.deny = a\n").cgroup.devicesV1.length, 1);
  });

  it("takes the devices of an image from an id-mapped guest, unless the configuration says dev", () => {
    const nodev = (more: string): boolean => (spec(more).rootfs.options.flags & MS_NODEV) !== 0;
    assert.deepEqual(["", map, `${map}lxc.rootfs.options = dev\n`].map(nodev), [false, true, false]);
    assert.deepEqual([spec().guest.lockedRoot, spec(map).guest.lockedRoot], [false, true]);
  });

  it("names the host after the container and gives it 1024 terminals", () => {
    assert.deepEqual([spec().hostname?.value, spec().console.ptys], ["web1", 1023]);
    assert.deepEqual(
      [spec("lxc.uts.name = other\n").hostname?.value, spec("lxc.pty.max = 7\n").console.ptys],
      ["other", 7],
    );
  });

  it("brings every link up but those that have flags of their own, and lo without any", () => {
    const nics = (more: string): readonly boolean[] => {
      const { network } = spec(more);
      return network.kind === "own" ? network.nics.map((nic) => nic.up) : [];
    };
    assert.deepEqual(nics(""), [true]);
    assert.deepEqual(nics("lxc.net.0.type = veth\nlxc.net.1.type = veth\nlxc.net.1.flags = up\n"), [true, true]);
    assert.deepEqual(nics("lxc.net.0.type = none\n"), []);
  });

  it("keeps the guest's variables from the host's hooks, but for those that are meant for hooks", () => {
    const { environment } = spec("lxc.environment = PATH=/x\nlxc.environment.hooks = FOR=hooks\n").process;
    assert.deepEqual(
      environment.map(({ name, scope }) => [name, scope]),
      [
        ["PATH", "runtime"],
        ["FOR", "hooks"],
        ["container", "runtime"],
      ],
    );
  });

  it("mounts proc and sysfs for nesting where the configuration allows it", () => {
    assert.deepEqual([spec().guest.nesting, spec("lxc.apparmor.allow_nesting = 1\n").guest.nesting], [false, true]);
  });
});
