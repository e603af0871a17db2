import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect as dial } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { before, describe, test } from "node:test";
import { closeFd, syscall } from "../../src/host/addon.js";
import { hostArch } from "../../src/host/probe.js";
import { exportLink } from "../../src/runtime/export-link.js";
import { requireSyscall } from "../../src/sys/syscalls.js";
import { cleanup } from "../support/cleanup.js";
import { command, ok } from "../support/command.js";
import { type DebianImage, debianTar, mayMakeDebian } from "../support/debian.js";
import { bin, runtimeDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { tempStore } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { booted, debianGuest } from "./debian-guest.js";

/** What guests and hosts do together, with Debian's own programs at both ends. */

const image: DebianImage = {
  release: "bookworm",
  flavour: "systemd",
  extra: ["cloud-init", "openssh-server", "python3"],
};

before(async () => {
  if (mayMakeDebian()) await debianTar(image);
});

/** What cloud-init finds of the user's. The last command says that all is done. */
const userData = `#cloud-config
locale: false
ssh_deletekeys: false
ssh_genkeytypes: []
write_files:
  - path: /root/told
    content: by the host
runcmd:
  - - python3
    - -c
    - |
      import socket
      s = socket.socket(socket.AF_UNIX)
      s.connect("/dev/lxd/sock")
      s.sendall(b'PATCH /1.0 HTTP/1.1\\r\\nHost: lxd\\r\\nContent-Length: 17\\r\\n\\r\\n{"state":"Ready"}')
      s.recv(100)
`;

for (const ids of ["privileged", "mapped"] as const) {
  test(`Debian's cloud-init finds the guest's API and does what it is told there (${ids})`, async (t) => {
    if (lacks(t, "debian") || (ids === "mapped" && lacks(t, "userns"))) return;
    const store = tempStore(t);
    const name = `islt-deb-cloud-${ids}`;
    const guest = await debianGuest(store, name, { image, world: "lxd", ids });
    const set = (key: string, input: string): Promise<string> =>
      ok(["islet", "set", "-P", store.path, name, `${key}=-`], { input });
    await set("cloud-init.user-data", userData);
    // Nobody answers a DHCP client here.
    await set("cloud-init.network-config", "network:\n  config: disabled\n");
    await guest.start();
    await ok(["islet", "wait", "-P", store.path, name, "--ready", "-t", "120"], { timeout: 130_000 });
    assert.equal(readFileSync(join(guest.rootfs, "root/told"), "utf8"), "by the host");
    const status = await guest.sh("cloud-init status --wait --long");
    assert.match(status, /^status: done$/m);
    assert.match(status, /DataSourceLXD/);
    assert.equal(await guest.sh("cloud-init query cloud_name"), "lxd");
    await ok(["lxc-stop", ...guest.at], { timeout: 70_000 });
  });
}

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;

/** A listening TCP socket on loopback, and its port. */
function listening(t: Parameters<typeof cleanup>[0]): { readonly fd: number; readonly port: number } {
  const call = (name: Parameters<typeof requireSyscall>[1], words: Parameters<typeof syscall>[1]): number => {
    const result = syscall(requireSyscall(hostArch(), name), words);
    assert.ok(result >= 0, `${name}: ${result}`);
    return result;
  };
  const fd = call("socket", [AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0]);
  cleanup(t)(() => {
    closeFd(fd);
  });
  const address = new Uint8Array(16);
  address.set([AF_INET, 0, 0, 0, 127, 0, 0, 1]);
  call("bind", [fd, address, address.length]);
  call("listen", [fd, 16]);
  call("getsockname", [fd, address, new Uint8Array([16, 0, 0, 0])]);
  return { fd, port: ((address[2] ?? 0) << 8) | (address[3] ?? 0) };
}

/** The first line that a server on the port says. */
const greeting = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = dial(port, "127.0.0.1");
    socket.setTimeout(10_000, () => {
      socket.destroy(new Error("nobody answers"));
    });
    socket.once("data", (data) => {
      resolve(data.toString().split("\r\n")[0] ?? "");
      socket.destroy();
    });
    socket.once("error", reject);
  });

const hostJournal = "/var/log/journal";

for (const [ids, uuid] of [
  ["privileged", "5c1f0d52-7a3e-8b41-9d60-0a1b2c3d4e5f"],
  ["mapped", "5c1f0d52-7a3e-8b41-9d60-0a1b2c3d4e60"],
] as const) {
  test(`a guest's sshd answers on a port of the host, and the host's journalctl shows the guest's journal (${ids})`, async (t) => {
    if (lacks(t, "debian") || (ids === "mapped" && lacks(t, "userns"))) return;
    const defer = cleanup(t);
    const store = tempStore(t);
    const name = `islt-deb-ssh-${ids}`;
    const socket = listening(t);
    const id = uuid.replaceAll("-", "");
    const hadJournal = existsSync(hostJournal);
    defer(() => {
      rmSync(join(hostJournal, id), { recursive: true, force: true });
      if (!hadJournal && existsSync(hostJournal)) rmdirSync(hostJournal);
    });
    const change = (rootfs: string): void => {
      const units = join(rootfs, "etc/systemd/system");
      mkdirSync(join(units, "sockets.target.wants"), { recursive: true });
      writeFileSync(join(units, "islt-ssh.socket"), `[Socket]\nListenStream=127.0.0.1:${socket.port}\nAccept=yes\n`);
      writeFileSync(
        join(units, "islt-ssh@.service"),
        "[Service]\nExecStartPre=/bin/mkdir -p /run/sshd\nExecStart=-/usr/sbin/sshd -i\nStandardInput=socket\n",
      );
      symlinkSync("../islt-ssh.socket", join(units, "sockets.target.wants/islt-ssh.socket"));
      // No machine id of its own, and nothing of cloud-init's.
      writeFileSync(join(rootfs, "etc/machine-id"), "");
      mkdirSync(join(rootfs, "etc/cloud"), { recursive: true });
      writeFileSync(join(rootfs, "etc/cloud/cloud-init.disabled"), "");
      for (const unit of ["ssh.service", "ssh.socket"]) {
        rmSync(join(units, unit), { force: true });
        symlinkSync("/dev/null", join(units, unit));
      }
    };
    const config = `islet.uuid = ${uuid}\nislet.journal = host\n`;
    const guest = await debianGuest(store, name, { image, world: "systemd", ids, config, change });
    const words = `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`;
    const start = spawn("sh", ["-c", words, "sh", bin("lxc-start"), ...guest.at], {
      stdio: ["ignore", "inherit", "inherit", socket.fd],
      env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
    });
    assert.equal(await new Promise((resolve) => start.on("close", resolve)), 0);
    await booted(guest);
    assert.match(await greeting(socket.port), /^SSH-2\.0-OpenSSH/);
    assert.equal(await guest.sh("cat /etc/machine-id"), id);
    // Its network is its own: the port is the host's alone.
    assert.equal(await guest.sh("grep -c : /proc/net/tcp || true"), "0");
    if (existsSync("/usr/bin/journalctl")) {
      const shown = await waitFor("the guest's journal", async () => {
        const { stdout } = await command(["journalctl", "-m", "-q", "--no-pager", `_MACHINE_ID=${id}`]);
        return stdout.includes("multi-user.target") ? stdout : null;
      });
      assert.match(shown, /systemd\[1\]: Reached target .*multi-user\.target/);
    } else t.diagnostic("there is no journalctl on this host");
    await ok(["lxc-stop", ...guest.at], { timeout: 70_000 });
  });
}

for (const ids of ["privileged", "mapped"] as const) {
  describe(`systemd 257, ${ids}`, () => {
    test("R9: a guest's systemd offers its sshd in /run/host/unix-export, and the host connects to it", async (t) => {
      if (lacks(t, "debian") || (ids === "mapped" && lacks(t, "userns"))) return;
      const store = tempStore(t);
      const name = `islt-deb-export-${ids}`;
      // systemd-ssh-generator came with systemd 256. What it starts for each connection is looked for by name.
      const change = (rootfs: string): void => {
        writeFileSync(join(rootfs, "usr/sbin/sshd"), "#!/bin/sh\necho SSH-2.0-here $(hostname)\n", { mode: 0o755 });
      };
      const guest = await debianGuest(store, name, {
        image: { release: "trixie", flavour: "systemd" },
        world: "systemd",
        ids,
        change,
      });
      await guest.start();
      await booted(guest);
      assert.equal(await guest.sh("systemctl is-active sshd-unix-export.socket"), "active");
      const directory = openSync(exportLink(runtimeDir, store.path, name), "r");
      cleanup(t)(() => {
        closeSync(directory);
      });
      // A path of its own is too long for a socket's address here.
      assert.equal(await text(dial(`/proc/self/fd/${directory}/ssh`)), `SSH-2.0-here ${name}\n`);
      await ok(["lxc-stop", ...guest.at], { timeout: 70_000 });
    });
  });
}
