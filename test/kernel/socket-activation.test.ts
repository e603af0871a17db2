import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { closeFd, receiveMessage, syscall } from "../../src/host/addon.js";
import { listenUnix } from "../../src/host/socket.js";
import { probeHost } from "../../src/host/probe.js";
import { sockaddrUnixPath } from "../../src/sys/structs.js";
import { requireSyscall } from "../../src/sys/syscalls.js";
import { cleanup } from "../support/cleanup.js";
import { command, ok, type CommandResult } from "../support/command.js";
import { end, stopDaemons } from "../support/host.js";
import { processesOf } from "../support/instance.js";
import { bin, testDir } from "../support/paths.js";
import { asUser, plainUsers, userClient } from "../support/plain-user.js";
import { lacks } from "../support/skip.js";
import { busybox, type Store } from "../support/store.js";
import { waitFor } from "../support/wait.js";

const arch = probeHost("").arch;

/** What systemd does for a socket unit: it listens, and starts the service with the socket on descriptor 3. */
interface Manager {
  readonly runtimeDir: string;
  readonly path: string;
  readonly listening: number;
  readonly store: Store;
  /** The daemon with the socket given to it; further words are put in front of its environment's. */
  readonly start: (given?: Started) => Daemon;
  readonly command: (argv: readonly string[]) => Promise<CommandResult>;
  readonly ok: (argv: readonly string[]) => Promise<string>;
}

interface Started {
  /** Shell words like LISTEN_FDS=2; $$ is the daemon's own pid. */
  readonly variables?: string;
  /** Descriptor to give in place of the listening socket. */
  readonly fd?: number;
  /** Further ones. */
  readonly more?: readonly number[];
}

interface Daemon {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly stderr: () => string;
  /** Monitors keep its standard error open beyond that. */
  readonly ended: Promise<number | null>;
  /** Ended, and nothing more comes on standard error. */
  readonly closed: Promise<number | null>;
}

function manager(t: TestContext): Manager {
  const defer = cleanup(t);
  const above = mkdtempSync(join(testDir, "islt-act-"));
  const runtimeDir = join(above, "run");
  const path = join(runtimeDir, "socket");
  const storePath = join(above, "store");
  mkdirSync(runtimeDir, { mode: 0o711 });
  mkdirSync(storePath);
  const listening = listenUnix(arch, path, 128, 0o600);
  const env = { ISLET_RUNTIME_DIR: runtimeDir };
  defer(async () => {
    const monitors = (): readonly string[] => processesOf(storePath, ["islt-act"]);
    for (const line of monitors()) end(Number(line.split(" ")[0]), "SIGKILL");
    await waitFor("the containers to end", () => monitors().length === 0);
    closeFd(listening);
    await stopDaemons(runtimeDir);
    rmSync(above, { recursive: true, force: true });
  });
  return {
    runtimeDir,
    path,
    listening,
    store: { path: storePath, at: (name) => ["-P", storePath, "-n", name] },
    start: ({ variables = "LISTEN_PID=$$ LISTEN_FDS=1", fd = listening, more = [] } = {}) => {
      const child = spawn("sh", ["-c", `${variables} exec "$0" daemon`, bin("islet")], {
        env: { ...env, PATH: process.env["PATH"], NODE_EXTRA_CA_CERTS: "/nonexistent" },
        stdio: ["ignore", "ignore", "pipe", fd, ...more],
      });
      let text = "";
      child.stderr?.on("data", (data: Buffer) => (text += data.toString()));
      defer(() => void child.kill("SIGKILL"));
      return {
        child,
        pid: child.pid ?? 0,
        stderr: () => text,
        ended: new Promise((resolve) => child.once("exit", resolve)),
        closed: new Promise((resolve) => child.once("close", resolve)),
      };
    },
    command: (argv) => command(argv, { env }),
    ok: (argv) => ok(argv, { env }),
  };
}

const pidOf = (own: Manager): number => Number(readFileSync(join(own.runtimeDir, "daemon.pid"), "utf8"));

test("a daemon takes the socket that it is given, serves commands and containers, and leaves it behind", async (t) => {
  const own = manager(t);
  busybox(own.store, "islt-act");
  const at = own.store.at("islt-act");
  const before = statSync(own.path).ino;

  // The connection comes first, as it does where it is what starts the daemon.
  const early = own.ok(["lxc-ls", "-P", own.store.path, "-1"]);
  const first = own.start();
  assert.equal(await early, "islt-act\n");
  assert.equal(pidOf(own), first.pid, "no client has started another");
  assert.match(readFileSync(`/proc/${first.pid}/fdinfo/3`, "utf8"), /^flags:\t02\d{6}$/m, "close-on-exec");
  await own.ok(["lxc-start", ...at]);
  assert.equal(await own.ok(["lxc-attach", ...at, "--", "hostname"]), "islt-act\n");
  const init = (await own.ok(["lxc-info", ...at, "-pH"])).trim();

  first.child.kill("SIGTERM");
  assert.equal(await first.ended, 0);
  assert.equal(first.stderr(), "");
  assert.equal(statSync(own.path).ino, before, "the socket is the service manager's");
  assert.ok(!existsSync(join(own.runtimeDir, "daemon.pid")));
  assert.ok(existsSync(`/proc/${init}/exe`), "containers go on");

  const waiting = own.ok(["lxc-info", ...at, "-pH"]);
  const second = own.start();
  assert.equal((await waiting).trim(), init);
  assert.equal(pidOf(own), second.pid);

  second.child.kill("SIGKILL");
  await second.ended;
  const third = own.start();
  assert.equal(await own.ok(["lxc-info", ...at, "-sH"]), "RUNNING\n");
  await own.ok(["lxc-stop", ...at, "-k"]);
  assert.equal(pidOf(own), third.pid);
  third.child.kill("SIGTERM");
  await third.ended;
});

test("a daemon tells the service manager when it is ready and when it leaves", async (t) => {
  const own = manager(t);
  const address = join(own.runtimeDir, "notify");
  const SOCK_DGRAM = 2;
  const receiver = syscall(requireSyscall(arch, "socket"), [1, SOCK_DGRAM, 0]);
  t.after(() => void closeFd(receiver));
  const name = sockaddrUnixPath(address);
  assert.equal(syscall(requireSyscall(arch, "bind"), [receiver, name, name.length]), 0);
  const message = async (): Promise<string> => {
    const buffer = new Uint8Array(4096);
    const bytes = await waitFor("a message", () => {
      const received = receiveMessage(receiver, buffer, 0);
      return received.bytes > 0 ? received.bytes : null;
    });
    return new TextDecoder().decode(buffer.subarray(0, bytes));
  };
  const daemon = own.start({ variables: `NOTIFY_SOCKET=${address} LISTEN_PID=$$ LISTEN_FDS=1` });
  assert.equal(await message(), "READY=1");
  assert.equal(pidOf(own), daemon.pid);
  daemon.child.kill("SIGTERM");
  assert.equal(await message(), "STOPPING=1");
  assert.equal(await daemon.ended, 0);
});

test("a manager that does not listen for messages keeps no daemon from serving", async (t) => {
  const own = manager(t);
  const daemon = own.start({ variables: `NOTIFY_SOCKET=${own.runtimeDir}/nobody LISTEN_PID=$$ LISTEN_FDS=1` });
  assert.equal((await own.command(["lxc-ls", "-P", own.store.path])).status, 0);
  assert.match(daemon.stderr(), /^cannot notify .*nobody: sendto: ENOENT\n$/);
});

test("a daemon takes the socket for users as well, in either order, and leaves it behind", async (t) => {
  const own = manager(t);
  const above = dirname(own.runtimeDir);
  chmodSync(above, 0o711);
  const client = userClient(above);
  const path = join(own.runtimeDir, "user");
  const users = listenUnix(arch, path, 16, 0o666);
  t.after(() => void closeFd(users));
  const asks = (): Promise<CommandResult> =>
    own.command([...asUser(plainUsers.ann), client, "create", "p", "n", "1", "veth", "isltbr0"]);
  for (const given of [{ more: [users] }, { fd: users, more: [own.listening] }]) {
    const daemon = own.start({ variables: "LISTEN_PID=$$ LISTEN_FDS=2", ...given });
    assert.match((await asks()).stderr, /^lxc-user-nic: Failed to get username: 4711; /);
    await own.ok(["lxc-ls", "-P", own.store.path]);
    daemon.child.kill("SIGTERM");
    assert.equal(await daemon.ended, 0);
    assert.equal(daemon.stderr(), "");
    assert.ok(existsSync(path), "the socket is the service manager's");
  }
  const alone = own.start({ fd: users });
  assert.equal(await alone.closed, 1);
  assert.match(alone.stderr(), /the socket is .*\/user, but clients look for .*\/socket/);
});

test("a daemon takes the sockets for libvirt's clients as well, in any order, and leaves them behind", async (t) => {
  if (lacks(t, "virsh")) return;
  const own = manager(t);
  const [writing = "", reading = "", elsewhere = ""] = ["run/libvirt-sock", "run/libvirt-sock-ro", "libvirt-sock"].map(
    (name) => join(own.runtimeDir, "..", name),
  );
  const listen = (path: string): number => {
    const fd = listenUnix(arch, path, 16, 0o600);
    t.after(() => void closeFd(fd));
    return fd;
  };
  const [write, read] = [listen(writing), listen(reading)];
  const before = [writing, reading].map((path) => statSync(path).ino);
  const variables = "LISTEN_PID=$$ LISTEN_FDS";
  const virsh = (path: string, ...words: readonly string[]): Promise<CommandResult> =>
    own.command(["virsh", "-c", `lxc+unix:///system?socket=${path}`, ...words]);
  const orders = [
    { fd: write, more: [own.listening, read] },
    { fd: read, more: [write, own.listening] },
  ];
  for (const given of orders) {
    // The connection comes first, as it does where it is what starts the daemon.
    const early = virsh(writing, "hostname");
    const daemon = own.start({ variables: `${variables}=3`, ...given });
    assert.equal((await early).stdout, `${hostname()}\n\n`);
    assert.equal((await virsh(reading, "-r", "hostname")).stdout, `${hostname()}\n\n`);
    assert.match((await virsh(reading, "define", "/dev/null")).stderr, /read only access prevents/);
    assert.doesNotMatch((await virsh(writing, "define", "/dev/null")).stderr, /read only access prevents/);
    await own.ok(["lxc-ls", "-P", own.store.path]);
    daemon.child.kill("SIGTERM");
    assert.equal(await daemon.ended, 0);
    assert.equal(daemon.stderr(), "");
    assert.deepEqual(
      [writing, reading].map((path) => statSync(path).ino),
      before,
      "the sockets are the service manager's",
    );
  }
  const refused = async (more: readonly number[], words: RegExp): Promise<void> => {
    const daemon = own.start({ variables: `${variables}=${1 + more.length}`, more });
    assert.equal(await daemon.closed, 1);
    assert.match(daemon.stderr(), words);
    assert.equal(daemon.stderr().split("\n").length, 2, daemon.stderr());
  };
  await refused([listen(elsewhere)], /the socket is .*\/libvirt-sock, but clients look for .*\/socket/);
  await refused([write, write], /two sockets are .*\/libvirt-sock;/);
  await refused(
    Array.from({ length: 4 }, () => write),
    /5 descriptors, but there are 4 sockets at most/,
  );
  chmodSync(reading, 0o666);
  await refused([read], /libvirt-sock-ro has mode 0666: others than its owner may connect/);
});

test("a socket that others could connect to, or that is none of ours, is refused in one line", async (t) => {
  const own = manager(t);
  const refused = async (given: Started, words: RegExp): Promise<void> => {
    const daemon = own.start(given);
    assert.equal(await daemon.closed, 1);
    assert.match(daemon.stderr(), words);
    assert.equal(daemon.stderr().split("\n").length, 2, daemon.stderr());
    assert.ok(existsSync(own.path), "the socket is still there");
  };
  chmodSync(own.path, 0o666);
  await refused({}, /socket has mode 0666: others than its owner may connect; SocketMode=0600/);
  chmodSync(own.path, 0o600);
  await refused({ variables: "LISTEN_PID=$$ LISTEN_FDS=2" }, /LISTEN_FDS: descriptor 4 is no listening stream socket/);
  const elsewhere = listenUnix(arch, join(own.runtimeDir, "other"), 1, 0o600);
  t.after(() => void closeFd(elsewhere));
  await refused({ fd: elsewhere }, /the socket is .*\/other, but clients look for .*\/run\/socket/);
  const connected = connect(own.path);
  await new Promise((resolve) => connected.once("connect", resolve));
  t.after(() => void connected.destroy());
  await refused(
    { fd: (connected as unknown as { readonly _handle: { readonly fd: number } })._handle.fd },
    /descriptor 3 is no listening stream socket/,
  );
  const tcp = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => tcp.once("listening", resolve));
  t.after(() => void tcp.close());
  await refused(
    { fd: (tcp as unknown as { readonly _handle: { readonly fd: number } })._handle.fd },
    /the socket is no unix socket with a path/,
  );
});

test("descriptors meant for another process are left alone, and a daemon takes only its own socket away", async (t) => {
  const own = manager(t);
  const daemon = own.start({ variables: "LISTEN_PID=1 LISTEN_FDS=1" });
  // Somebody listens there: ourselves.
  assert.equal(await daemon.closed, 1);
  assert.match(daemon.stderr(), /^another daemon serves .*\/socket already\n$/);

  rmSync(own.path);
  const alone = own.start({ variables: "LISTEN_PID=1 LISTEN_FDS=1" });
  await waitFor("the daemon", () => existsSync(join(own.runtimeDir, "daemon.pid")));
  rmSync(own.path);
  const replaced = listenUnix(arch, own.path, 1, 0o600);
  t.after(() => void closeFd(replaced));
  alone.child.kill("SIGTERM");
  assert.equal(await alone.ended, 0);
  assert.ok(existsSync(own.path), "what a service manager has put in its place stays");
});
