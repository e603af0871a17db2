import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

const host = ["pre-start", "pre-mount", "mount", "autodev", "start-host"] as const;
const ending = ["stop", "post-stop"] as const;
const kinds = [...host, ...ending] as const;
type Kind = (typeof kinds)[number];

/** What a hook saw, by its kind; the first of several runs. */
interface Seen {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly namespaces: Readonly<Record<string, string>>;
}

describe("hooks", () => {
  const { define, started, store } = guests();

  /** A hook script that writes down what it sees. In the container's namespaces the host's paths are still there, but for start. */
  const recorder = (directory: string): string => {
    const path = join(directory, "hook.sh");
    writeFileSync(
      path,
      `#!/bin/sh
kind=$1; shift
echo $kind >> ${directory}/order
{ for a in "$@"; do echo "arg $a"; done; echo "cwd $(pwd)"; env | sed 's/^/env /'; for k in mnt pid net user; do echo "ns $k $(readlink /proc/self/ns/$k)"; done; } > ${directory}/seen.$kind.$(grep -cx $kind ${directory}/order)
`,
      { mode: 0o755 },
    );
    return path;
  };
  const recording = (name: string, extra = ""): Guest => {
    const directory = join(store.path, name);
    mkdirSync(directory, { recursive: true });
    const script = recorder(directory);
    return define(
      name,
      kinds.map((kind) => `lxc.hook.${kind} = ${script} ${kind}\n`).join("") +
        `lxc.hook.start = /bin/sh -c 'env > /root/env-of-start; pwd >> /root/env-of-start; readlink /proc/self/ns/pid >> /root/env-of-start'\n${extra}`,
    );
  };
  const seen = (guest: Guest, kind: Kind, run = 1): Seen => {
    const lines = readFileSync(join(guest.directory, `seen.${kind}.${run}`), "utf8")
      .trim()
      .split("\n");
    const of = (word: string): readonly string[] =>
      lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
    const pairs = (list: readonly string[], separator: string): Readonly<Record<string, string>> =>
      Object.fromEntries(
        list.map((line) => [line.slice(0, line.indexOf(separator)), line.slice(line.indexOf(separator) + 1)]),
      );
    return { args: of("arg"), env: pairs(of("env"), "="), cwd: of("cwd")[0] ?? "", namespaces: pairs(of("ns"), " ") };
  };
  const order = (guest: Guest): readonly string[] =>
    readFileSync(join(guest.directory, "order"), "utf8").trim().split("\n");

  describe("of one run, version 0", () => {
    let guest: Guest;
    let pid = 0;
    let own: Readonly<Record<string, string>> = {};
    before(async () => {
      guest = recording("zero", `lxc.environment = FROM_CONFIG=1\nlxc.console.logfile = ${store.path}/zero.console\n`);
      await guest.start([], { env: { FROM_CALLER: "2" } });
      pid = await guest.pid();
      own = Object.fromEntries(
        await Promise.all(
          ["mnt", "pid", "net"].map(async (kind) => {
            const link = await ok(["readlink", `/proc/${pid}/ns/${kind}`]);
            return [kind, link.trim()] as const;
          }),
        ),
      );
      await guest.kill();
    });

    it("run in their order", () => {
      assert.deepEqual(order(guest), [...kinds]);
    });
    for (const kind of host) {
      it(`${kind} gets NAME lxc ${kind} as arguments`, () => {
        assert.deepEqual(seen(guest, kind).args, ["zero", "lxc", kind]);
      });
    }
    for (const kind of ending) {
      it(`${kind} gets the namespaces after them`, () => {
        const { args, env } = seen(guest, kind);
        assert.deepEqual(args.slice(0, 3), ["zero", "lxc", kind]);
        assert.deepEqual(
          args
            .slice(3)
            .map((word) => word.split(":")[0] ?? "")
            .sort(),
          ["cgroup", "ipc", "mnt", "net", "pid", "uts"],
        );
        for (const word of args.slice(3)) {
          const [name = "", path = ""] = word.split(":");
          assert.match(path, /^\/proc\/\d+\/fd\/\d+$/);
          assert.equal(env[`LXC_${name.toUpperCase()}_NS`], path);
        }
      });
    }
    for (const kind of kinds) {
      it(`${kind} knows the container, and begins in /`, () => {
        const { env, cwd } = seen(guest, kind);
        assert.equal(env["LXC_NAME"], "zero");
        assert.equal(env["LXC_CONFIG_FILE"], join(guest.directory, "config"));
        assert.equal(env["LXC_ROOTFS_PATH"], guest.rootfs);
        assert.ok(env["LXC_ROOTFS_MOUNT"]?.startsWith("/"));
        assert.equal(env["LXC_CONSOLE_LOGPATH"], `${store.path}/zero.console`);
        assert.equal(env["LXC_CGNS_AWARE"], "1");
        assert.equal(env["LXC_HOOK_VERSION"], "0");
        assert.equal(env["LXC_LOG_LEVEL"], "ERROR");
        assert.equal(cwd, "/");
      });
    }
    it("those on the host have the caller's environment", () => {
      for (const kind of ["pre-start", "start-host", "stop", "post-stop"] as const)
        assert.equal(seen(guest, kind).env["FROM_CALLER"], "2", kind);
    });
    it("start-host, stop and post-stop have LXC_PID or LXC_TARGET", () => {
      assert.equal(seen(guest, "start-host").env["LXC_PID"], String(pid));
      assert.equal(seen(guest, "stop").env["LXC_TARGET"], "stop");
      assert.equal(seen(guest, "post-stop").env["LXC_TARGET"], "stop");
      assert.equal(seen(guest, "pre-start").env["LXC_TARGET"], undefined);
    });
    it("pre-start, start-host, stop and post-stop are in the host's namespaces; pre-mount, mount and autodev in the container's", async () => {
      const outside = (await ok(["readlink", "/proc/self/ns/mnt"])).trim();
      for (const kind of ["pre-start", "start-host", "stop", "post-stop"] as const)
        assert.equal(seen(guest, kind).namespaces["mnt"], outside, kind);
      for (const kind of ["pre-mount", "mount", "autodev"] as const) {
        assert.equal(seen(guest, kind).namespaces["mnt"], own["mnt"], kind);
        assert.equal(seen(guest, kind).namespaces["net"], own["net"], kind);
      }
    });
    it("start runs inside, with the container's root", () => {
      const text = readFileSync(join(guest.rootfs, "root/env-of-start"), "utf8");
      assert.match(text, /^LXC_NAME=zero$/m);
      assert.match(text, /^FROM_CONFIG=1$/m);
      assert.ok(text.trim().endsWith(own["pid"] ?? "?"));
    });
  });

  it("version 1 gives name, section and type in the environment instead of arguments", async () => {
    const guest = recording("one", "lxc.hook.version = 1\n");
    await guest.start();
    await guest.kill();
    for (const kind of kinds) {
      const { args, env } = seen(guest, kind);
      assert.deepEqual(args, [], kind);
      assert.deepEqual(
        [env["LXC_HOOK_TYPE"], env["LXC_HOOK_SECTION"], env["LXC_HOOK_VERSION"]],
        [kind, "lxc", "1"],
        kind,
      );
    }
    assert.match(seen(guest, "stop").env["LXC_NET_NS"] ?? "", /^\/proc\/\d+\/fd\/\d+$/);
  });

  it("several of one kind run in the order of their lines", async () => {
    const log = join(store.path, "many.log");
    const line = (word: string): string => `lxc.hook.pre-start = /bin/sh -c 'echo ${word} >> ${log}'\n`;
    await started("many", line("first") + line("second") + line("third"));
    assert.equal(readFileSync(log, "utf8"), "first\nsecond\nthird\n");
  });

  it("the stop hook reaches the container's network namespace, whose processes are gone", async () => {
    const log = join(store.path, "netns.log");
    const guest = await started(
      "reaches",
      `lxc.hook.stop = /bin/sh -c 'nsenter --net=$LXC_NET_NS ip -o link show lo > ${log}; readlink $LXC_NET_NS >> ${log}'\n`,
    );
    const namespace = (await ok(["readlink", `/proc/${await guest.pid()}/ns/net`])).trim();
    await guest.kill();
    assert.match(readFileSync(log, "utf8"), /: lo: /);
    assert.ok(readFileSync(log, "utf8").includes(namespace));
  });

  it("mount hooks mount what the container sees", async () => {
    const guest = await started(
      "mounts",
      "lxc.hook.mount = /bin/sh -c 'mount -t tmpfs islt-hook $LXC_ROOTFS_MOUNT/mnt && touch $LXC_ROOTFS_MOUNT/mnt/by-hook'\n",
    );
    assert.equal(await guest.sh("ls /mnt"), "by-hook");
    assert.doesNotMatch(await ok(["cat", "/proc/self/mountinfo"]), /islt-hook/);
  });

  it("autodev hooks fill /dev before the nodes are made, and only with autodev", async () => {
    const line = "lxc.hook.autodev = /bin/sh -c 'mknod $LXC_ROOTFS_MOUNT/dev/mine c 10 200'\n";
    assert.equal(await (await started("autodev", line)).sh("stat -c %t:%T /dev/mine"), "a:c8");
    const without = define("noautodev", `lxc.autodev = 0\nlxc.hook.autodev = /bin/touch ${store.path}/ran-autodev\n`);
    mkdirSync(join(without.rootfs, "dev/pts"));
    await without.start();
    assert.ok(!existsSync(join(store.path, "ran-autodev")));
  });

  for (const kind of [...host, "start"] as const) {
    it(`a ${kind} hook that fails ends the start, names itself with its output, and stop and post-stop hooks still run`, async () => {
      const name = `fails-${kind}`;
      const log = join(store.path, `${name}.log`);
      const guest = define(
        name,
        `lxc.hook.${kind} = /bin/sh -c 'echo reason-given >&2; exit 7'\nlxc.hook.stop = /bin/sh -c 'echo stop >> ${log}'\nlxc.hook.post-stop = /bin/sh -c 'echo post-stop >> ${log}'\n`,
      );
      const text = await guest.refuses();
      assert.match(text, new RegExp(`${kind} hook.*(status 7|7)`));
      assert.match(text, new RegExp(`config:\\d+ lxc\\.hook\\.${kind}`));
      assert.match(text, /reason-given/);
      await waitFor("the end hooks", () => existsSync(log) && readFileSync(log, "utf8").includes("post-stop"));
      assert.equal(readFileSync(log, "utf8"), "stop\npost-stop\n");
      assert.equal(await guest.state(), "STOPPED");
    });
  }

  it("a hook that a signal kills is a failure", async () => {
    assert.match(
      await define("killed", "lxc.hook.pre-start = /bin/sh -c 'kill -9 $$'\n").refuses(),
      /pre-start hook.*(137|signal 9|SIGKILL)/,
    );
  });

  it("a hook that is not there is an error that names it", async () => {
    assert.match(await define("absent", "lxc.hook.pre-start = /nowhere/hook\n").refuses(), /\/nowhere\/hook/);
  });

  it("failures of stop and post-stop hooks do not matter to a stop", async () => {
    const guest = await started("badend", "lxc.hook.stop = /bin/false\nlxc.hook.post-stop = /bin/false\n");
    await guest.kill();
    assert.equal(await guest.state(), "STOPPED");
    await guest.start();
  });

  it("the output of hooks does not reach the caller's terminal", async () => {
    const guest = define("quiet", "lxc.hook.pre-start = /bin/echo islt-chatter\n");
    const result = await command(["lxc-start", ...guest.at]);
    assert.equal(result.stdout + result.stderr, "");
  });

  it("hooks get no descriptor but 0 to 2, and default signals", async () => {
    const log = join(store.path, "fds.log");
    await started(
      "clean",
      `lxc.hook.start-host = /bin/sh -c 'ls /proc/$$/fd > ${log}; exec grep Sig.[lg] /proc/self/status >> ${log}'\n`,
    );
    const lines = readFileSync(log, "utf8").trim().split("\n");
    // 255 or 10: what the shell opens for itself.
    assert.deepEqual(
      lines.filter((line) => /^\d+$/.test(line) && Number(line) < 10),
      ["0", "1", "2"],
    );
    assert.ok(
      lines.some((line) => /SigBlk:\t0{16}/.test(line)) && lines.some((line) => /SigIgn:\t0{16}/.test(line)),
      lines.join(),
    );
  });

  it("a start hook that is missing in the container is refused", async () => {
    const guest = define("nostart", "lxc.hook.start = /nowhere/inside\n");
    assert.match(await guest.refuses(), /\/nowhere\/inside/);
    rmSync(guest.directory, { recursive: true });
  });

  it("a reboot runs them all again, with LXC_TARGET=reboot before", async () => {
    const guest = recording(
      "again",
      "lxc.init.cmd = /bin/sh -c 'test -e /root/second && exec sleep 3600; touch /root/second; reboot -f'\n",
    );
    await guest.start();
    await waitFor(
      "the second run",
      () => order(guest).length >= kinds.length + host.length && existsSync(join(guest.rootfs, "root/second")),
    );
    await waitFor("RUNNING", async () => (await guest.state()) === "RUNNING");
    assert.deepEqual(order(guest), [...kinds, ...host]);
    assert.equal(seen(guest, "stop").env["LXC_TARGET"], "reboot");
    assert.equal(seen(guest, "post-stop").env["LXC_TARGET"], "reboot");
    await guest.kill();
    assert.equal(seen(guest, "post-stop", 2).env["LXC_TARGET"], "stop");
  });

  it("a post-stop hook that fails turns a reboot into a stop", async () => {
    const guest = define(
      "halts",
      "lxc.hook.post-stop = /bin/false\nlxc.init.cmd = /bin/sh -c 'echo x >> /root/runs; reboot -f'\n",
    );
    await guest.start();
    await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
    assert.equal(readFileSync(join(guest.rootfs, "root/runs"), "utf8"), "x\n");
  });
});
