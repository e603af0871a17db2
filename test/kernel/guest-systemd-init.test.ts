import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect as dial } from "node:net";
import { join } from "node:path";
import { after, before, describe, it, test, type TestContext } from "node:test";
import { connect } from "../../src/index.js";
import { hostArch } from "../../src/host/probe.js";
import { listenUnix } from "../../src/host/socket.js";
import { escapeUnit } from "../../src/host/systemd.js";
import { cleanup } from "../support/cleanup.js";
import { ok } from "../support/command.js";
import { compileGuestInit } from "../support/systemd-like-init.js";
import { bin, runtimeDir, testDir } from "../support/paths.js";
import { busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

/** Points of systemd's container interface that take an init which understands it; test/kernel/guest-systemd.test.ts has the others. */

const { define } = guests();
const firstId = 300_000;
const mapped = `lxc.idmap = u 0 ${firstId} 65536\nlxc.idmap = g 0 ${firstId} 65536\nlxc.rootfs.options = idmap=container\n`;
let program = "";

before(() => {
  program = join(mkdtempSync(join(testDir, "islt-prog-")), "init");
  compileGuestInit(program);
});
after(() => {
  rmSync(join(program, ".."), { recursive: true });
});

/** A guest whose /sbin/init is the program. */
function guestWith(name: string, config = ""): Guest {
  const guest = define(name);
  rmSync(guest.rootfs, { recursive: true, force: true });
  busyboxRootfs(guest.rootfs);
  rmSync(join(guest.rootfs, "sbin/init"));
  copyFileSync(program, join(guest.rootfs, "sbin/init"));
  chmodSync(join(guest.rootfs, "sbin/init"), 0o755);
  writeFileSync(
    join(guest.directory, "config"),
    `lxc.rootfs.path = dir:${guest.rootfs}\nlxc.net.0.type = empty\nislet.guest = systemd\n${config}`,
  );
  return guest;
}

const listens = (guest: Guest): Promise<boolean> =>
  waitFor("init to listen", () => existsSync(join(guest.rootfs, "listens")));
const stoppedWell = (guest: Guest): boolean => existsSync(join(guest.rootfs, "stopped-well"));

for (const [ids, config] of [
  ["privileged", ""],
  ["mapped", mapped],
] as const) {
  describe(`an init that speaks systemd's interface, ${ids}`, () => {
    it("A3: is stopped by SIGRTMIN+3, in good order", async () => {
      const guest = guestWith(`islt-sysi-stop-${ids}`, config);
      await guest.start();
      await listens(guest);
      await ok(["lxc-stop", ...guest.at, "-t", "20"]);
      assert.ok(stoppedWell(guest));
    });

    it("A3: is stopped in good order although it does not listen yet when it is asked", async () => {
      const guest = guestWith(`islt-sysi-slow-${ids}`, config);
      writeFileSync(join(guest.rootfs, "slow"), "");
      await guest.start();
      assert.ok(!existsSync(join(guest.rootfs, "listens")));
      const begin = Date.now();
      await ok(["lxc-stop", ...guest.at, "-t", "20"]);
      assert.ok(stoppedWell(guest));
      assert.ok(Date.now() - begin < 10_000);
    });

    it("A4: gets the sockets of whoever starts it as descriptors 3 and up, and keeps them over a reboot", async (t) => {
      const guest = guestWith(`islt-sysi-socket-${ids}`, config);
      const socket = listening(t);
      const status = await startWith(socket, guest, "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=first");
      assert.equal(status, 0);
      assert.equal(await answer(socket), "pid 1 of 1, named first, alone\n");
      const pid = await guest.pid();
      await ok(["lxc-stop", ...guest.at, "-r", "-t", "20"]);
      assert.notEqual(await guest.pid(), pid);
      assert.equal(await answer(socket), "pid 1 of 1, named first, alone\n");
      await guest.kill();
    });

    it("A4: sockets that are meant for another process are not passed on", async (t) => {
      const guest = guestWith(`islt-sysi-other-${ids}`, config);
      const socket = listening(t);
      assert.equal(await startWith(socket, guest, "LISTEN_FDS=1 LISTEN_PID=1"), 0);
      await listens(guest);
      const pid = await guest.pid();
      const words = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      assert.deepEqual(
        words.filter((word) => word.startsWith("LISTEN_")),
        [],
      );
      assert.deepEqual(
        readdirSync(`/proc/${pid}/fd`).filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:")),
        [],
      );
    });

    it("A4: more sockets than can be passed, and such as are not open, are refused", async (t) => {
      const guest = guestWith(`islt-sysi-many-${ids}`, config);
      const socket = listening(t);
      assert.equal(await startWith(socket, guest, "LISTEN_FDS=17 LISTEN_PID=$$"), 1);
      assert.equal(await startWith(socket, guest, "exec 4>&-; LISTEN_FDS=2 LISTEN_PID=$$"), 1);
      assert.equal(await guest.state(), "STOPPED");
    });

    it("A6: is ready when it says so itself, and nobody else can say it for it or fill its queue", async (t) => {
      const guest = guestWith(`islt-sysi-ready-${ids}`, config);
      const islet = await connect({ runtimeDirectory: runtimeDir, store: join(guest.directory, "..") });
      cleanup(t)(() => islet.close());
      const isReady = async (): Promise<boolean> => (await (await islet.get(guest.name)).info()).isReady === true;
      await guest.start();
      await listens(guest);
      process.kill(await guest.pid(), "SIGUSR1");
      await waitFor("the false claims", () => existsSync(join(guest.rootfs, "claimed")));
      assert.equal(await isReady(), false);
      process.kill(await guest.pid(), "SIGUSR2");
      await waitFor("init to be ready", isReady);
      await ok(["lxc-stop", ...guest.at, "-r", "-t", "20"]);
      assert.equal(await isReady(), false);
      await guest.kill();
    });

    it("A2: islet.journal = guest links the guest's journal on the host, and refuses what is not its own", async (t) => {
      const id = machineId(ids === "mapped" ? 1 : 2);
      const guest = guestWith(`islt-sysi-link-${ids}`, `${config}islet.journal = guest\n`);
      const path = journalOf(t, id);
      mkdirSync(join(guest.rootfs, "var/log/journal", id), { recursive: true });
      writeFileSync(join(guest.rootfs, "etc/machine-id"), `${id}\n`);
      for (let round = 0; round < 2; round += 1) {
        await guest.start();
        await guest.kill();
      }
      assert.equal(readlinkSync(path), join(guest.rootfs, "var/log/journal", id));
      rmSync(path);
      symlinkSync("/somewhere/else", path);
      assert.match(await guest.refuses(), /leads to another container's/);
      rmSync(path);
      mkdirSync(path);
      assert.match(await guest.refuses(), /is in the way/);
      assert.ok(lstatSync(path).isDirectory());
      writeFileSync(join(guest.rootfs, "etc/machine-id"), readFileSync("/etc/machine-id", "utf8"));
      assert.match(await guest.refuses(), /its machine id is the host's/);
    });

    it("A2: islet.journal = host keeps the guest's journal on the host, the guest's root owns it", async (t) => {
      const guest = guestWith(`islt-sysi-keep-${ids}`, `${config}islet.journal = host\nislet.uuid = ${uuidOf(ids)}\n`);
      const id = uuidOf(ids).replaceAll("-", "");
      const path = journalOf(t, id);
      // It becomes the guest's uuid.
      writeFileSync(join(guest.rootfs, "etc/machine-id"), "");
      await guest.start();
      assert.equal(statSync(path).uid, ids === "mapped" ? firstId : 0);
      await guest.sh(`echo entry > /var/log/journal/${id}/system.journal`);
      assert.equal(readFileSync(join(path, "system.journal"), "utf8"), "entry\n");
      await guest.kill();
      assert.ok(existsSync(join(path, "system.journal")));
    });
  });
}

describe("the time zone of a guest with systemd", () => {
  const zone = /zoneinfo\/(.+)$/.exec(
    lstatSync("/etc/localtime").isSymbolicLink() ? readlinkSync("/etc/localtime") : "",
  )?.[1];
  const started = async (name: string, config: string, change: (rootfs: string) => void): Promise<Guest> => {
    const guest = guestWith(name, config);
    change(guest.rootfs);
    await guest.start();
    await guest.kill();
    return guest;
  };
  const addZone = (rootfs: string): void => {
    const file = join(rootfs, "usr/share/zoneinfo", zone ?? "");
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, "TZif");
    symlinkSync("/usr/share/zoneinfo/Nowhere", join(rootfs, "etc/localtime"));
  };

  it("A1: /etc/localtime is a relative link to the guest's own file of the host's zone", async (t) => {
    if (zone === undefined) return t.skip("the host's /etc/localtime is no link into zoneinfo");
    const guest = await started("islt-sysi-zone", "", addZone);
    assert.equal(readlinkSync(join(guest.rootfs, "etc/localtime")), `../usr/share/zoneinfo/${zone}`);
  });

  it("A1: /etc/localtime is a copy of the host's where the guest has no such zone, and with islet.localtime = copy", async () => {
    const wanted = readFileSync("/etc/localtime");
    for (const [name, config, change] of [
      ["islt-sysi-nozone", "", (): void => undefined],
      ["islt-sysi-copy", "islet.localtime = copy\n", zone === undefined ? (): void => undefined : addZone],
    ] as const) {
      const guest = await started(name, config, change);
      assert.deepEqual(readFileSync(join(guest.rootfs, "etc/localtime")), wanted);
      assert.equal(statSync(join(guest.rootfs, "etc/localtime")).mode & 0o777, 0o644);
    }
  });

  it("A1: /etc/localtime is left alone with islet.localtime = off, and with symlink where the guest has no such zone", async () => {
    for (const mode of ["off", "symlink"]) {
      const guest = await started(`islt-sysi-${mode}`, `islet.localtime = ${mode}\n`, (rootfs) => {
        symlinkSync("/usr/share/zoneinfo/Nowhere", join(rootfs, "etc/localtime"));
      });
      assert.equal(readlinkSync(join(guest.rootfs, "etc/localtime")), "/usr/share/zoneinfo/Nowhere");
    }
  });

  it("A1: /etc/localtime is written nowhere else by links that the guest has laid", async () => {
    const trap = mkdtempSync(join(testDir, "islt-trap-"));
    writeFileSync(join(trap, "localtime"), "the host's");
    const guest = await started("islt-sysi-trap", "islet.localtime = copy\n", (rootfs) => {
      rmSync(join(rootfs, "etc"), { recursive: true });
      symlinkSync(trap, join(rootfs, "etc"));
    });
    assert.equal(readFileSync(join(trap, "localtime"), "utf8"), "the host's");
    assert.deepEqual(readdirSync(trap), ["localtime"]);
    assert.ok(existsSync(guest.rootfs));
    rmSync(trap, { recursive: true });
  });
});

test("A5: nothing of a guest is left in any control group when it has stopped", async () => {
  const guest = guestWith("islt-sysi-left");
  await guest.start();
  await listens(guest);
  const groups = (): readonly string[] =>
    readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => / cgroup2? /.test(line))
      // Where systemd runs, it is a scope of its.
      .flatMap((line) => [line.split(" ")[1] ?? "", `${line.split(" ")[1]}/machine.slice`])
      .flatMap((path) => (existsSync(path) ? readdirSync(path) : []))
      .filter((name) => name.includes("islt-sysi-left") || name.includes(escapeUnit("islt-sysi-left")));
  assert.notEqual(groups().length, 0);
  await ok(["lxc-stop", ...guest.at]);
  // Those of its own it has removed by now; scopes are systemd's to remove.
  assert.deepEqual(
    groups().filter((name) => !name.endsWith(".scope")),
    [],
  );
  await waitFor("systemd to remove the scope", () => groups().length === 0);
});

const machineId = (last: number): string => `15f1e7c0de00400080000000000000a${last}`;
const uuidOf = (ids: "privileged" | "mapped"): string =>
  `15f1e7c0-de00-4000-8000-0000000000b${ids === "mapped" ? 1 : 2}`;

/** Its place among the host's journals, which is not there before and after the test. */
function journalOf(t: TestContext, id: string): string {
  const path = `/var/log/journal/${id}`;
  const isNew = !existsSync("/var/log/journal");
  assert.ok(lstatSync(path, { throwIfNoEntry: false }) === undefined, `${path} is there already`);
  cleanup(t)(() => {
    rmSync(path, { recursive: true, force: true });
    if (isNew) rmdirSync("/var/log/journal");
  });
  return path;
}

interface Listening {
  readonly fd: number;
  readonly path: string;
}

/** A socket of the host's that the test does not accept on. */
function listening(t: TestContext): Listening {
  const path = join(mkdtempSync(join(testDir, "islt-sock-")), "s");
  const fd = listenUnix(hostArch(), path, 8, 0o600);
  cleanup(t)(() => {
    closeSync(fd);
    rmSync(join(path, ".."), { recursive: true });
  });
  return { fd, path };
}

/** lxc-start with the socket on descriptor 3; `variables` are a shell's, $$ is its own pid. Its status. */
async function startWith(socket: Listening, guest: Guest, variables: string): Promise<number | null> {
  const child = spawn("/bin/sh", ["-c", `${variables} exec "$0" "$@"`, bin("lxc-start"), ...guest.at], {
    stdio: ["ignore", "ignore", "inherit", socket.fd],
    env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
  });
  return new Promise((resolve) => child.on("close", resolve));
}

async function answer({ path }: Listening): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = dial(path);
    socket.setTimeout(10_000, () => socket.destroy(new Error("no answer")));
    socket.on("data", (part: Buffer) => (text += part.toString()));
    socket.on("end", () => {
      resolve(text);
    });
    socket.on("error", reject);
  });
}
