import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { CommandResult } from "../support/command.js";
import { end } from "../support/host.js";
import { type Instance, instance } from "../support/instance.js";
import { descriptorCount } from "../support/leaks.js";
import { pureV2 } from "../support/pure-v2.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** All that a container needs but /dev/full, c 1:7, as the rules of `prefix`. */
const rules = (prefix: "lxc.cgroup" | "lxc.cgroup2"): string =>
  ["a", "c 1:3", "c 1:5", "c 1:8", "c 1:9", "c 5:*", "c 136:*"]
    .map((rule, index) => `${prefix}.devices.${index === 0 ? "deny" : "allow"} = ${rule}${index === 0 ? "" : " rwm"}\n`)
    .join("");
const listed = "c 1:3 rwm\nc 1:5 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:* rwm\nc 136:* rwm\n";

interface Container {
  readonly ok: (name: string, ...words: readonly string[]) => Promise<string>;
  readonly command: (name: string, ...words: readonly string[]) => Promise<CommandResult>;
  readonly inside: (script: string) => Promise<CommandResult>;
}

async function started(own: Instance, name: string, config: string): Promise<Container> {
  busybox(own.store, name, config);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  return {
    ok: (tool, ...words) => own.ok([tool, ...at, ...words]),
    command: (tool, ...words) => own.command([tool, ...at, ...words]),
    inside: (script) =>
      own.command(["lxc-attach", ...at, "--", "/bin/sh", "-c", script], { env: { PATH: "/bin:/sbin" } }),
  };
}

const stateFiles = (own: Instance): readonly string[] =>
  readdirSync(own.runtimeDir).filter((entry) => entry.startsWith("devices-"));

/** What a shell inside says of /dev/full, made anew. */
const tryFull = "rm -f /tmp/full; mknod /tmp/full c 1 7 && echo x > /tmp/full";

describe("the devices of a running container on a host with cgroup v2 alone", () => {
  it("lxc-device lets it use a device and takes that back, whatever becomes of the daemon", async (t) => {
    if (lacks(t, "cgroup2")) return;
    const own = await instance(t, { mntnsPid: await pureV2(t) });
    const guest = await started(own, "islt-v2d1", rules("lxc.cgroup2"));
    assert.match((await guest.inside(tryFull)).stderr, /not permitted/);

    assert.equal(await guest.ok("lxc-device", "add", "/dev/full", "/dev/islt/full"), "");
    assert.equal((await guest.inside("stat -c %t:%T:%a /dev/islt/full")).stdout, "1:7:666\n");
    assert.match((await guest.inside("echo x > /dev/islt/full")).stderr, /No space left/);
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), `${listed}c 1:7 rwm\n\n`);

    // A daemon that knows nothing but what it finds.
    const { pid } = own;
    const before = pid();
    end(before, "SIGKILL");
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), `${listed}c 1:7 rwm\n\n`);
    assert.notEqual(pid(), before);
    await guest.ok("lxc-freeze");
    await guest.ok("lxc-cgroup", "devices.allow", "c 10:229 rw");
    await guest.ok("lxc-unfreeze");
    assert.match((await guest.inside("echo x > /dev/islt/full")).stderr, /No space left/);

    assert.equal(await guest.ok("lxc-device", "del", "/dev/full", "/dev/islt/full"), "");
    assert.match((await guest.inside(tryFull)).stderr, /not permitted/);
    assert.match((await guest.inside("ls /dev/islt/full")).stderr, /No such file/);
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), `${listed}c 10:229 rw\n\n`);
    await guest.ok("lxc-cgroup", "devices.deny", "c 10:229 rw");
    assert.equal(stateFiles(own).length, 1);
    await guest.ok("lxc-stop", "-k");
    await waitFor("the rules to be forgotten", () => stateFiles(own).length === 0);
    await guest.ok("lxc-start");
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), `${listed}\n`);
    // One that stops while there is no daemon.
    await guest.ok("lxc-cgroup", "devices.allow", "c 1:7 rw");
    const [init, daemon] = [Number((await guest.ok("lxc-info", "-pH")).trim()), pid()];
    end(daemon, "SIGKILL");
    end(init, "SIGKILL");
    await waitFor("the end of the container", () => readdirSync(join(own.runtimeDir, "monitor")).length === 0);
    assert.equal(stateFiles(own).length, 1);
    await guest.command("lxc-info", "-s");
    assert.deepEqual(stateFiles(own), []);
  });

  it("lxc-cgroup changes the rules as the files of v1 would, and refuses what is none", async (t) => {
    if (lacks(t, "cgroup2")) return;
    const own = await instance(t, { mntnsPid: await pureV2(t) });
    const guest = await started(own, "islt-v2d2", "");
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), "a *:* rwm\n\n");
    assert.match((await guest.inside(tryFull)).stderr, /No space left/);
    await guest.ok("lxc-cgroup", "devices.deny", "/dev/full w");
    assert.match((await guest.inside(tryFull)).stderr, /not permitted/);
    assert.equal((await guest.inside("head -c 2 /tmp/full | wc -c")).stdout, "2\n");
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), "a *:* rwm\n\n");
    await guest.ok("lxc-cgroup", "devices.deny", "a");
    assert.match((await guest.inside("true < /dev/null")).stderr, /not permitted|can't open/);
    const open = descriptorCount(own.pid());
    for (let round = 0; round < 20; round += 1)
      await guest.ok("lxc-cgroup", round % 2 === 0 ? "devices.allow" : "devices.deny", "c 1:5 rwm");
    await waitFor("the descriptors to be closed", () => descriptorCount(own.pid()) <= open);
    for (const rule of ["c 1:3 rwm", "c *:* m"]) await guest.ok("lxc-cgroup", "devices.allow", rule);
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), "c 1:3 rwm\nc *:* m\n\n");
    assert.equal((await guest.inside("echo x > /dev/null && echo fine; mknod /tmp/any b 7 7")).stdout, "fine\n");
    for (const [rule, text] of [
      ["c 1:x rwm", /"c 1:x rwm" is not a device rule; write a, c MAJOR:MINOR rwm/],
      ["/dev/islt-none rw", /there is no device "\/dev\/islt-none"/],
      ["/etc/passwd", /"\/etc\/passwd" is not a device/],
    ] as const) {
      const { status, stderr } = await guest.command("lxc-cgroup", "devices.allow", rule);
      assert.equal(status, 1);
      assert.match(stderr, text);
    }
    await guest.ok("lxc-cgroup", "devices.allow", "a");
    assert.match((await guest.inside(tryFull)).stderr, /No space left/);
  });

  it("a reboot from inside goes back to the configuration's rules", async (t) => {
    if (lacks(t, "cgroup2")) return;
    const own = await instance(t, { mntnsPid: await pureV2(t) });
    const guest = await started(
      own,
      "islt-v2d3",
      `${rules("lxc.cgroup")}lxc.init.cmd = /bin/sh -c "trap 'exec reboot -f' USR2; while :; do sleep 0.05; done"\n`,
    );
    const initPid = async (): Promise<number> => Number((await guest.ok("lxc-info", "-pH")).trim());
    await guest.ok("lxc-device", "add", "/dev/full");
    assert.match((await guest.inside("echo x > /dev/full")).stderr, /No space left/);
    const first = await initPid();
    await waitFor("the trap", () => {
      const caught = /^SigCgt:\t(.*)$/m.exec(readFileSync(`/proc/${first}/status`, "utf8"))?.[1] ?? "0";
      return (BigInt(`0x${caught}`) & (1n << 11n)) !== 0n;
    });
    end(first, "SIGUSR2");
    await waitFor("another init", async () => ![0, first].includes(await initPid()));
    assert.deepEqual(stateFiles(own), []);
    assert.equal(await guest.ok("lxc-cgroup", "devices.list"), `${listed}\n`);
    assert.match((await guest.inside(tryFull)).stderr, /not permitted/);
    await guest.ok("lxc-device", "add", "/dev/full");
    assert.match((await guest.inside("echo x > /dev/full")).stderr, /No space left/);
  });
});
