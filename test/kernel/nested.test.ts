import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cleanup } from "../support/cleanup.js";
import { ok } from "../support/command.js";
import { cgroupMounts, end } from "../support/host.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

describe("lxc-ls --nesting", () => {
  const { started, store } = guests();
  const list = (guest: Guest, ...words: readonly string[]): Promise<string> =>
    ok(["lxc-ls", "-P", store.path, `--filter=^(${guest.name}|inner.*)$`, "--nesting", ...words]);
  /** A container that the guest would have made. */
  const define = (guest: Guest, name: string, config: string): void => {
    const directory = join(guest.rootfs, store.path, name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "config"), config);
  };

  it("lists what a running container keeps in a store of its own, and nothing of one that is stopped", async () => {
    const guest = await started("islt-outer1");
    assert.equal(await list(guest, "-1"), "islt-outer1\n");
    define(guest, "inner1", "lxc.start.auto = 1\nlxc.group = ga\n");
    define(guest, "inner2", "");
    assert.equal(await list(guest, "-1"), "islt-outer1\nislt-outer1/inner1\nislt-outer1/inner2\n");
    assert.match(await list(guest, "-f"), /^\\inner1 {5}STOPPED 1 {9}ga {5}- /m);
    await guest.kill();
    assert.equal(await list(guest, "-1"), "islt-outer1\n");
  });

  it("tells whether one runs, by its socket and its processes", async (t) => {
    const defer = cleanup(t);
    const guest = await started("islt-outer2");
    define(guest, "inner3", "");
    const init = await guest.pid();
    const payloads = cgroupMounts().flatMap((mount) => {
      const path = join(mount, `lxc.payload.${guest.name}`, "lxc.payload.inner3");
      try {
        mkdirSync(path);
        return [path];
      } catch {
        return []; // no container is in this hierarchy
      }
    });
    // Node pads such names with zeros.
    const listen = `use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, pack("S a*", AF_UNIX, "\\0$ARGV[0]")) && listen(S, 1) && sleep 1000`;
    const address = `${store.path}/inner3/command`;
    const inside = ["nsenter", `--net=/proc/${init}/ns/net`, "--"];
    const first = spawn("unshare", ["--pid", "--fork", "--kill-child", ...inside, "sleep", "1000"], {
      stdio: "ignore",
    });
    const server = spawn("nsenter", [...inside.slice(1), "perl", "-e", listen, address], { stdio: "ignore" });
    defer(async () => {
      for (const child of [first, server]) child.kill("SIGKILL");
      await waitFor("the cgroups to be removed", () => {
        try {
          for (const path of payloads.splice(0, 1)) rmdirSync(path);
        } catch {
          return false; // the guest's end removes what is in use still
        }
        return payloads.length === 0;
      }).catch(() => undefined);
    });
    let main = 0;
    await waitFor("the process and the socket", () => {
      main = Number(readFileSync(`/proc/${first.pid}/task/${first.pid}/children`, "utf8").trim());
      return main > 0 && readFileSync(`/proc/${init}/net/unix`, "utf8").includes(`@${address}`);
    });
    assert.match(await list(guest, "-f", "-F", "NAME,STATE"), /^\\inner3 {5}STOPPED/m);
    for (const path of payloads.filter((one) => !one.includes("cpuset")))
      writeFileSync(join(path, "cgroup.procs"), String(main));
    const row = new RegExp(`^\\\\inner3 {5}RUNNING ${main} `, "m");
    assert.match(await list(guest, "-f", "--nesting=1", "-F", "NAME,STATE,PID"), row);
    end(main, "SIGKILL");
    await waitFor("its end", async () => /inner3 +STOPPED/.test(await list(guest, "-f", "-F", "NAME,STATE")));
  });

  it("a hostile guest can neither lead it out of its root nor keep it waiting", async () => {
    const guest = await started("islt-outer3");
    const own = join(guest.rootfs, store.path);
    for (const name of ["inner4", "inner5", "inner6", "inner7"]) mkdirSync(join(own, name), { recursive: true });
    symlinkSync(join(store.path, guest.name, "config"), join(own, "inner4/config"));
    symlinkSync("/proc/1/root/etc/hostname", join(own, "inner5/config"));
    await guest.sh(`mkfifo ${store.path}/inner6/config; mknod ${store.path}/inner7/config c 1 5`);
    define(guest, "inner8", `lxc.include = /etc/passwd\nlxc.group = \u001b[2Jx\n${"#".repeat(1 << 20)}`);
    const before = Date.now();
    const text = await list(guest, "-f", "-F", "NAME,GROUPS");
    assert.ok(Date.now() - before < 3000);
    assert.deepEqual(text.match(/inner\d.*/g), ["inner8     [2Jx   "]);
    // A store on a file system of its own, which the guest may serve itself, is not looked into.
    await guest.sh(
      `mount -t tmpfs none ${store.path} && mkdir ${store.path}/inner9 && touch ${store.path}/inner9/config`,
    );
    assert.equal(await list(guest, "-1"), "islt-outer3\n");
  });
});
