import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { lacks } from "../support/skip.js";
import { command } from "../support/command.js";
import { bin, runtimeDir } from "../support/paths.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, statusOf } from "./guest.js";

describe("lxc-attach", () => {
  const { started, store } = guests();
  let guest: Guest;
  before(async () => {
    guest = await started("guest", "lxc.pty.max = 16\nlxc.environment = FROM_CONFIG=1\nlxc.cap.drop = net_admin\n");
  });
  const out = async (words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> => {
    const result = await guest.attach(words, { env });
    assert.equal(result.status, 0, result.stderr);
    return result.stdout.trim();
  };

  describe("exit status", () => {
    for (const [what, script, wanted] of [
      ["is the command's", "exit 0", 0],
      ["is the command's, also 1", "exit 1", 1],
      ["is the command's, also 255", "exit 255", 255],
      ["is 128 and the signal's number where one killed it", "kill -TERM $$", 143],
      ["is 137 for SIGKILL", "kill -KILL $$", 137],
    ] as const) {
      it(what, async () => {
        assert.equal((await guest.try(script)).status, wanted);
      });
    }
    it("is 127 for a command that is not there", async () => {
      const { status, stderr } = await guest.attach(["--", "/no/such"]);
      assert.equal(status, 127);
      assert.match(stderr, /Failed to exec "\/no\/such"/);
    });
    it("is 126 for one that cannot be executed", async () => {
      assert.equal((await guest.attach(["--", "/etc/passwd"])).status, 126);
    });
    it("is 1 for a container that does not run", async () => {
      assert.equal((await command(["lxc-attach", "-P", guest.directory, "-n", "nobody", "--", "true"])).status, 1);
    });
  });

  describe("environment", () => {
    it("is the caller's and the container's by default", async () => {
      const text = await out(["--", "env"], { MINE: "yes" });
      for (const line of ["MINE=yes", "FROM_CONFIG=1", "container=lxc"])
        assert.ok(text.split("\n").includes(line), line);
    });
    it("with --clear-env is container=lxc, a PATH and the container's", async () => {
      const text = await out(["--clear-env", "--", "env"], { MINE: "yes" });
      assert.deepEqual(
        text
          .split("\n")
          .map((line) => line.split("=")[0] ?? "")
          .sort(),
        ["FROM_CONFIG", "PATH", "container"].sort(),
      );
    });
    it("--keep-var keeps a variable, -v sets one", async () => {
      const text = await out(
        ["--clear-env", "--keep-var", "MINE", "-v", "NEW=a b", "-v", "FROM_CONFIG=2", "--", "env"],
        { MINE: "yes", OTHER: "no" },
      );
      for (const line of ["MINE=yes", "NEW=a b", "FROM_CONFIG=2"]) assert.ok(text.split("\n").includes(line), line);
      assert.doesNotMatch(text, /OTHER/);
    });
  });

  describe("identity", () => {
    it("is root with no groups of the caller's", async () => {
      assert.equal(await out(["--", "/bin/sh", "-c", "id -u; id -g; grep Groups /proc/self/status"]), "0\n0\nGroups:");
    });
    it("-u and -g choose ids, and root's capabilities go", async () => {
      assert.equal(
        await out(["-u", "1000", "-g", "1001", "--", "/bin/sh", "-c", "id -u; id -g; grep CapEff /proc/self/status"]),
        "1000\n1001\nCapEff:\t0000000000000000",
      );
    });
    it("without a command runs the login shell of the guest's passwd", async () => {
      const { stdout } = await guest.attach([], { input: "echo shell-$0; exit\n" });
      assert.match(stdout, /shell-.*sh/);
    });
    it("capabilities are the container's unless -e keeps the caller's", async () => {
      const caps = async (words: readonly string[]): Promise<bigint> =>
        BigInt(`0x${(await out([...words, "--", "/bin/grep", "CapEff", "/proc/self/status"])).split("\t")[1] ?? ""}`);
      const netAdmin = 1n << 12n;
      assert.equal((await caps([])) & netAdmin, 0n);
      assert.equal((await caps(["-e"])) & netAdmin, netAdmin);
      assert.equal((await caps(["--elevated-privileges=CAP"])) & netAdmin, netAdmin);
      assert.equal((await caps(["--elevated-privileges=CGROUP"])) & netAdmin, 0n);
    });
    it("-a sets the architecture it sees", async (t) => {
      if (lacks(t, "linux32")) return;
      assert.equal(await out(["-a", "i686", "--", "uname", "-m"]), "i686");
    });
  });

  describe("place", () => {
    it("is the caller's directory if it exists inside, else /", async () => {
      const from = async (cwd: string): Promise<string> => (await guest.attach(["--", "pwd"], { cwd })).stdout.trim();
      assert.equal(await from("/etc"), "/etc");
      assert.equal(await from(guest.directory), "/");
    });
    it("is in the container's cgroups unless -e CGROUP leaves the caller's", async () => {
      const paths = async (words: readonly string[]): Promise<Set<string>> =>
        new Set(
          (await out([...words, "--", "/bin/cat", "/proc/self/cgroup"]))
            .split("\n")
            .map((line) => line.split(":")[2] ?? ""),
        );
      assert.deepEqual(await paths([]), new Set(["/"]));
      assert.ok(![...(await paths(["--elevated-privileges=CGROUP"]))].every((path) => path === "/"));
    });
    it("-s enters only the namespaces named", async () => {
      const pid = await guest.pid();
      const { stdout } = await guest.attach([
        "-s",
        "NETWORK|UTSNAME",
        "--",
        "/bin/sh",
        "-c",
        "for k in net uts mnt pid ipc; do readlink /proc/self/ns/$k; done; hostname",
      ]);
      const own = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);
      const theirs = (kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);
      assert.deepEqual(stdout.trim().split("\n"), [
        theirs("net"),
        theirs("uts"),
        own("mnt"),
        own("pid"),
        own("ipc"),
        "guest",
      ]);
    });
    it("-s with PID and -R shows the container's processes in /proc, and the host's stays", async () => {
      const { stdout } = await guest.attach([
        "-s",
        "PID|NETWORK",
        "-R",
        "--",
        "/bin/sh",
        "-c",
        "cat /proc/1/comm; ls /sys/class/net",
      ]);
      assert.equal(stdout, "init\nlo\n");
      assert.notEqual(readFileSync("/proc/1/comm", "utf8"), "init-of-guest");
    });
    it("an unknown namespace is refused", async () => {
      const { status, stderr } = await guest.attach(["-s", "NOSUCH", "--", "true"]);
      assert.equal(status, 1);
      assert.match(stderr, /NOSUCH/);
    });
  });

  describe("descriptors", () => {
    it("pipes stay pipes", async () => {
      assert.match(
        await out(["--", "/bin/sh", "-c", "for n in 0 1 2; do readlink /proc/self/fd/$n; done"]),
        /^(pipe|socket):.*\n(pipe|socket):.*\n(pipe|socket):/,
      );
    });
    it("stdout and stderr stay apart", async () => {
      const { stdout, stderr } = await guest.try("echo to-out; echo to-err >&2");
      assert.deepEqual([stdout, stderr], ["to-out\n", "to-err\n"]);
    });
    it("large input and output pass whole", async () => {
      const input = "0123456789abcde\n".repeat(100_000);
      const { stdout } = await guest.attach(["--", "cat"], { input });
      assert.equal(stdout.length, input.length);
    });
    it("the command has 0, 1 and 2 and no other, whatever the caller has open", async () => {
      const { stdout } = await command([
        "sh",
        "-c",
        `exec 7</dev/zero 8>/dev/null; exec ${bin("lxc-attach")} ${guest.at.join(" ")} -- /bin/sh -c 'ls /proc/$$/fd; true'`,
      ]);
      assert.deepEqual(
        stdout
          .trim()
          .split("\n")
          .filter((name) => Number(name) < 10),
        ["0", "1", "2"],
      );
    });
    it("no signal is blocked, and SIGINT and SIGQUIT are not ignored", async () => {
      const { SigBlk, SigIgn } = statusOf(await out(["--", "/bin/cat", "/proc/self/status"]));
      assert.deepEqual([SigBlk, SigIgn], ["0000000000000000", "0000000000000000"]);
    });
    it("a closed reader ends it", async () => {
      assert.equal(
        (await command(["sh", "-c", `${bin("lxc-attach")} ${guest.at.join(" ")} -- yes | head -n 1`])).stdout,
        "y\n",
      );
    });
  });

  describe("on a terminal", () => {
    /** Below a pty (script(1)); what it shows, without carriage returns and the echo of the end of the input, which comes at any time. */
    const shown = async (words: string, input = ""): Promise<string> =>
      (
        await command(["script", "-qec", `${bin("lxc-attach")} ${guest.at.join(" ")} ${words}`, "/dev/null"], { input })
      ).stdout.replace(/\r|\^@/g, "");

    it("the command has a tty with a name inside", async () => {
      assert.match(
        await shown("-- /bin/sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo all'"),
        /\/dev\/pts\/\d+\nall\n/,
      );
    });
    it("it is its controlling terminal, of a session of its own", async () => {
      assert.match(
        await shown(
          "-- /bin/sh -c 'echo > /dev/tty && echo has-tty; test $(cut -d\" \" -f6 /proc/self/stat) = $$ && echo leads'",
        ),
        /has-tty\nleads/,
      );
    });
    it("what is typed before the command reads is not lost", async () => {
      assert.match(
        await shown("-- /bin/sh -c 'sleep 0.5; read a; read b; echo got-$a-$b'", "one\ntwo\n"),
        /got-one-two/,
      );
    });
    it("its status comes through", async () => {
      assert.equal(
        (
          await command([
            "script",
            "-qec",
            `${bin("lxc-attach")} ${guest.at.join(" ")} -- /bin/sh -c 'exit 42'`,
            "/dev/null",
          ])
        ).status,
        42,
      );
    });
    it("has the size of the caller's terminal", async () => {
      const { stdout } = await command([
        "script",
        "-qec",
        `stty rows 33 cols 101; ${bin("lxc-attach")} ${guest.at.join(" ")} -- stty size`,
        "/dev/null",
      ]);
      assert.match(stdout, /33 101/);
    });
    it("Ctrl-C reaches the command, and only that", async () => {
      const inside = `trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done`;
      const line = `${bin("lxc-attach")} ${guest.at.join(" ")} -- /bin/sh -c '${inside}'`;
      const child = spawn("script", ["-qec", line, "/dev/null"], {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
      });
      let text = "";
      child.stdout.on("data", (data: Buffer) => (text += data.toString()));
      await waitFor("the command", () => text.includes("ready"));
      child.stdin.write("\x03");
      const status = await new Promise((resolve) => child.on("close", resolve));
      assert.equal(status, 9, text);
      assert.match(text, /caught/);
    });
    it("only those of 0 to 2 that are terminals become the pty", async () => {
      assert.match(
        await shown("-- /bin/sh -c 'test -t 0 || echo no-in; test -t 1 && echo is-out' < /dev/null"),
        /no-in\nis-out/,
      );
    });
    /** Without the echo of the end of script's input. */
    const logged = (file: string): string =>
      readFileSync(file, "utf8")
        .replaceAll("\b", "")
        .replace(/\^[@D]/g, "");

    it("-L adds what the terminal shows to a file of mode 0600, and shows it all the same", async () => {
      const log = join(store.path, "pty-log");
      assert.match(await shown(`-L ${log} -- /bin/sh -c 'echo to-out; echo to-err >&2'`), /to-out\nto-err\n/);
      await shown(`-L ${log} -- echo again`);
      assert.equal(logged(log), "to-out\r\nto-err\r\nagain\r\n");
      assert.equal(statSync(log).mode & 0o777, 0o600);
      assert.match(await shown(`-L ${log} -- ls -l /proc/self/fd`), /0 -> /);
      assert.doesNotMatch(readFileSync(log, "utf8"), /pty-log/, "the command has no descriptor of it");
    });
    it("-L logs all of a long output, and nothing where there is no terminal", async () => {
      const log = join(store.path, "long-log");
      await shown(`-L ${log} -- seq 5000`);
      const numbers = Array.from({ length: 5000 }, (_, index) => `${index + 1}\r\n`).join("");
      assert.equal(logged(log), numbers);
      const none = join(store.path, "no-log");
      const piped = await guest.attach(["-L", none, "--", "echo", "piped"]);
      assert.deepEqual([piped.status, piped.stdout, readFileSync(none, "utf8")], [0, "piped\n", ""]);
    });
    it("output of a command that ends at once is complete", async () => {
      const text = await shown("-- seq 5000");
      assert.ok(text.includes("\n5000\n"), text.slice(-100));
    });
  });

  describe("signals and ends", () => {
    it("SIGTERM to lxc-attach reaches the command", async () => {
      const child = spawn(
        bin("lxc-attach"),
        [
          ...guest.at,
          "--",
          "/bin/sh",
          "-c",
          "trap 'echo termed; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
        ],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      let text = "";
      child.stdout.on("data", (data: Buffer) => (text += data.toString()));
      await waitFor("the command", () => text.includes("ready"));
      child.kill("SIGTERM");
      const status = await new Promise((resolve) => child.on("close", resolve));
      assert.deepEqual([status, text], [5, "ready\ntermed\n"]);
    });
    it("the container's end ends it", async () => {
      const other = await started("other", "lxc.init.cmd = /bin/sleep 3600\n");
      const running = other.try("sleep 1000");
      await waitFor("the command", async () => (await other.sh("ps -o args")).includes("sleep 1000"));
      await other.kill();
      assert.equal((await running).status, 137);
    });
    it("many at once work", async () => {
      const results = await Promise.all(Array.from({ length: 20 }, (_, number) => guest.sh(`echo ${number}`)));
      assert.deepEqual(
        results,
        Array.from({ length: 20 }, (_, number) => String(number)),
      );
    });
  });
});
