import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { stopDaemons } from "../support/host.js";
import { bin, testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, statusOf } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";
const zeros = "0000000000000000";
const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";
const environment = async (guest: Guest): Promise<readonly string[]> =>
  readFileSync(`/proc/${await guest.pid()}/environ`, "utf8")
    .split("\0")
    .filter(Boolean)
    .sort();
const status = async (guest: Guest): Promise<Readonly<Record<string, string>>> =>
  statusOf(readFileSync(`/proc/${await guest.pid()}/status`, "utf8"));

/** What a careless shell may hand down: variables, open files, ignored and blocked signals, a strange umask, directory and priority. */
const careless = `import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, signal.SIG_IGN); signal.signal(signal.SIGCHLD, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
os.umask(0o077); os.chdir("/tmp"); os.dup2(os.open("/dev/zero", os.O_RDONLY), 42); os.set_inheritable(42, True)
os.environ["SECRET"] = "of-the-caller"; os.setpriority(os.PRIO_PROCESS, 0, 5)
os.execvp(sys.argv[1], sys.argv[1:])`;

describe("the main process", () => {
  const { define, started } = guests();

  describe("as it is without any key", () => {
    let guest: Guest;
    before(async () => {
      guest = define("plain", sleeper);
      await ok(["python3", "-c", careless, bin("lxc-start"), ...guest.at]);
    });

    it("has container=lxc as its whole environment", async () => {
      assert.deepEqual(await environment(guest), ["container=lxc"]);
    });
    it("has the descriptors 0, 1 and 2, and no other", async () => {
      assert.deepEqual((await guest.sh("ls /proc/1/fd")).split("\n"), ["0", "1", "2"]);
    });
    it("has no signal blocked, ignored or caught, whatever the caller had", async () => {
      const { SigBlk, SigIgn, SigCgt } = await status(guest);
      assert.deepEqual([SigBlk, SigIgn, SigCgt], ["0000000000000000", "0000000000000000", "0000000000000000"]);
    });
    it("has umask 022, cwd / and the priority of the machine, not of the caller", async () => {
      assert.equal((await status(guest))["Umask"], "0022");
      assert.equal(await guest.sh("readlink /proc/1/cwd"), "/");
      assert.equal(await guest.sh("cut -d' ' -f19 /proc/1/stat"), "0");
    });
    it("is root with no other groups, leader of its session", async () => {
      const { Uid, Gid, Groups } = await status(guest);
      assert.deepEqual([Uid, Gid, Groups], ["0\t0\t0\t0", "0\t0\t0\t0", ""]);
      assert.equal(await guest.sh("cut -d' ' -f6 /proc/1/stat"), "1");
    });
    it("is process 1", async () => {
      assert.equal(await guest.sh("cat /proc/1/comm"), "sleep");
    });
    it("has 1024 open files as its soft limit, not what Node raised its own to", async () => {
      assert.match(await guest.sh("grep 'open files' /proc/1/limits"), /Max open files +1024 /);
    });
    it("can dump core and be traced by its own root", async () => {
      await guest.sh("ls -l /proc/1/exe");
    });
    it("keeps no_new_privs off and runs without seccomp", async () => {
      const { NoNewPrivs, Seccomp } = await status(guest);
      assert.deepEqual([NoNewPrivs, Seccomp], ["0", "0"]);
    });
  });

  it("has nothing of whoever happened to start the daemon", async () => {
    const directory = mkdtempSync(join(testDir, "islt-daemon-"));
    const runtime = join(directory, "run");
    mkdirSync(runtime, { mode: 0o711 });
    const env = { ISLET_RUNTIME_DIR: runtime };
    const guest = define("first", sleeper);
    try {
      const caller = ["setpriv", "--inh-caps", "+sys_time", "python3", "-c", careless];
      await ok([...caller, bin("lxc-start"), ...guest.at], { env });
      const pid = (await ok(["lxc-info", ...guest.at, "-pH"], { env })).trim();
      const seen = statusOf(readFileSync(`/proc/${pid}/status`, "utf8"));
      assert.deepEqual([seen["SigBlk"], seen["SigIgn"], seen["Umask"], seen["CapInh"]], [zeros, zeros, "0022", zeros]);
      assert.equal(BigInt(`0x${seen["CapEff"] ?? ""}`) & (1n << 25n), 0n);
      assert.equal(readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[18], "0");
      assert.deepEqual(readdirSync(`/proc/${pid}/fd`), ["0", "1", "2"]);
    } finally {
      await command(["lxc-stop", ...guest.at, "-k"], { env });
      await stopDaemons(runtime);
      rmSync(directory, { recursive: true });
    }
  });

  it("lxc.environment sets variables, and inherits those named alone", async () => {
    const guest = define(
      "env",
      `${sleeper}lxc.environment = ONE=1\nlxc.environment = TWO=a b=c\nlxc.environment = FROM_CALLER\nlxc.environment = ONE=again\n`,
    );
    await guest.start([], { env: { FROM_CALLER: "yes", OTHER: "no" } });
    assert.deepEqual(await environment(guest), ["FROM_CALLER=yes", "ONE=again", "TWO=a b=c", "container=lxc"]);
  });

  it("a variable to inherit that the caller lacks is an error that names it", async () => {
    assert.match(await define("noenv", "lxc.environment = ISLT_NOT_THERE\n").refuses(), /ISLT_NOT_THERE.*config:\d+/);
  });

  it("lxc.environment.hooks is not for init, lxc.environment.runtime is", async () => {
    const guest = await started("scoped", `${sleeper}lxc.environment.hooks = H=1\nlxc.environment.runtime = R=1\n`);
    assert.deepEqual(await environment(guest), ["R=1", "container=lxc"]);
  });

  describe("lxc.init", () => {
    it("cmd may have arguments, also quoted", async () => {
      const guest = await started("args", `lxc.init.cmd = /bin/sh -c "sleep 3600; echo 'a b'"\n`);
      assert.equal(await guest.sh("tr '\\0' '|' < /proc/1/cmdline"), "/bin/sh|-c|sleep 3600; echo 'a b'|");
    });
    it("a command on the command line goes before it", async () => {
      const guest = define("override");
      await guest.start(["--", "/bin/sleep", "1234"]);
      assert.equal(await guest.sh("tr '\\0' ' ' < /proc/1/cmdline"), "/bin/sleep 1234");
    });
    it("cwd is where it begins, and is made if missing", async () => {
      const guest = await started("cwd", `${sleeper}lxc.init.cwd = /srv/deep\n`);
      assert.equal(await guest.sh("readlink /proc/1/cwd"), "/srv/deep");
    });
    it("uid, gid and groups are its ids", async () => {
      const guest = await started(
        "ids",
        `${sleeper}lxc.init.uid = 1000\nlxc.init.gid = 1001\nlxc.init.groups = 5,1002\n`,
      );
      const { Uid, Gid, Groups, CapEff } = await status(guest);
      assert.deepEqual(
        [Uid, Gid, Groups, CapEff],
        ["1000\t1000\t1000\t1000", "1001\t1001\t1001\t1001", "5 1002", "0000000000000000"],
      );
    });
    it("uid and gid are those inside of an id map", async (t) => {
      if (lacks(t, "userns")) return;
      const { Uid, Gid, Groups } = await status(
        await started("mapids", `${map}${sleeper}lxc.init.uid = 1000\nlxc.init.gid = 1001\nlxc.init.groups = 7\n`),
      );
      assert.deepEqual([Uid?.split("\t")[0], Gid?.split("\t")[0], Groups], ["101000", "101001", "100007"]);
    });
    it("in a user namespace there are no groups of the caller's", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = define("mapgroups", map + sleeper);
      await ok(["setpriv", "--groups", "4,24", bin("lxc-start"), ...guest.at]);
      assert.equal((await status(guest))["Groups"], "");
    });
    for (const [name, what, make, wanted] of [
      ["noinit", "that is missing", (rootfs: string) => rmSync(join(rootfs, "sbin/init")), /\/sbin\/init.*ENOENT/],
      [
        "noexec",
        "that cannot be executed",
        (rootfs: string) => (rmSync(join(rootfs, "sbin/init")), writeFileSync(join(rootfs, "sbin/init"), "")),
        /\/sbin\/init.*EACCES/,
      ],
      [
        "notelf",
        "that is no program",
        (rootfs: string) => (
          rmSync(join(rootfs, "sbin/init")),
          writeFileSync(join(rootfs, "sbin/init"), "\x7fELF", { mode: 0o755 })
        ),
        /\/sbin\/init.*ENOEXEC/,
      ],
    ] as const) {
      it(`an init ${what} is an error that names it`, async () => {
        const guest = define(name);
        make(guest.rootfs);
        assert.match(await guest.refuses(), wanted);
        assert.equal(await guest.state(), "STOPPED");
      });
    }
  });

  describe("limits and settings", () => {
    it("lxc.prlimit sets soft and hard limits", async () => {
      const guest = await started(
        "limits",
        `${sleeper}lxc.prlimit.nofile = 2000:3000\nlxc.prlimit.core = unlimited\nlxc.prlimit.nproc = 500\nlxc.prlimit.stack = 1048576:unlimited\nlxc.prlimit.sigpending = 77\n`,
      );
      const text = await guest.sh("cat /proc/1/limits");
      assert.match(text, /Max open files +2000 +3000 /);
      assert.match(text, /Max core file size +unlimited +unlimited /);
      assert.match(text, /Max processes +500 +500 /);
      assert.match(text, /Max stack size +1048576 +unlimited /);
      assert.match(text, /Max pending signals +77 +77 /);
    });
    it("lxc.sysctl sets those of the container's namespaces, though /proc/sys is read-only", async () => {
      const guest = await started(
        "sysctl",
        "lxc.sysctl.net.ipv4.ip_forward = 1\nlxc.sysctl.kernel.msgmax = 4242\nlxc.sysctl.net.ipv4.ip_unprivileged_port_start = 80\n",
      );
      assert.equal(
        await guest.sh(
          "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start",
        ),
        "1\n4242\n80",
      );
      assert.notEqual(readFileSync("/proc/sys/kernel/msgmax", "utf8").trim(), "4242");
    });
    it("a sysctl that is not there is an error that names it", async () => {
      assert.match(
        await define("nosysctl", "lxc.sysctl.net.no.such.thing = 1\n").refuses(),
        /net\/no\/such\/thing.*lxc\.sysctl/,
      );
    });
    it("lxc.proc writes files of init's directory in /proc", async () => {
      const guest = await started("oom", `${sleeper}lxc.proc.oom_score_adj = 321\n`);
      assert.equal(await guest.sh("cat /proc/1/oom_score_adj"), "321");
    });
    it("lxc.arch = i686 makes it a 32-bit machine, also for attach", async (t) => {
      if (lacks(t, "linux32")) return;
      const guest = await started(
        "arch",
        `lxc.arch = i686\nlxc.init.cmd = /bin/sh -c "uname -m > /root/machine; exec sleep 3600"\n`,
      );
      await waitFor(
        "init's machine",
        () =>
          existsSync(join(guest.rootfs, "root/machine")) &&
          readFileSync(join(guest.rootfs, "root/machine"), "utf8") !== "",
      );
      assert.equal(await guest.sh("cat /root/machine; uname -m"), "i686\ni686");
      assert.equal((await guest.attach(["-a", "x86_64", "--", "uname", "-m"])).stdout.trim(), "x86_64");
    });
    it("lxc.uts.name is its host name, and the host's stays", async () => {
      const outside = (await ok(["hostname"])).trim();
      const guest = await started("host", "lxc.uts.name = islt-guest-name\n");
      assert.equal(await guest.sh("hostname"), "islt-guest-name");
      await guest.sh("hostname changed");
      assert.equal((await ok(["hostname"])).trim(), outside);
    });
    it("has a session keyring of its own unless lxc.keyring.session = 1", async () => {
      const keyring = (guest: Guest): Promise<string> => guest.sh("grep -c '_ses' /proc/keys || true");
      assert.match(await keyring(await started("keys")), /^\d+$/);
    });
  });

  describe("privileges", () => {
    const mask = (numbers: readonly number[]): bigint =>
      numbers.reduce((sum, number) => sum | (1n << BigInt(number)), 0n);
    // What this machine lets root have.
    const all = BigInt(`0x${statusOf(readFileSync("/proc/self/status", "utf8"))["CapBnd"] ?? ""}`);
    const hex = (value: bigint): string => value.toString(16).padStart(16, "0");
    const sets = async (guest: Guest): Promise<readonly (string | undefined)[]> => {
      const { CapInh, CapPrm, CapEff, CapBnd, CapAmb } = await status(guest);
      return [CapInh, CapPrm, CapEff, CapBnd, CapAmb];
    };
    const none = hex(0n);

    it("lxc.cap.drop takes exactly these from init and from attached processes", async () => {
      const guest = await started(
        "drops",
        `${sleeper}lxc.cap.drop =\nlxc.cap.drop = sys_time sys_module\nlxc.cap.drop = 12\n`,
      );
      const left = hex(all & ~mask([25, 16, 12]));
      assert.deepEqual(await sets(guest), [none, left, left, left, none]);
      assert.match(await guest.sh("grep CapEff /proc/self/status"), new RegExp(`${left}$`));
      assert.match((await guest.try("ip link set lo up")).stderr, /not permitted/);
    });
    it("lxc.cap.keep keeps exactly these", async () => {
      const guest = await started(
        "keeps",
        `${sleeper}lxc.cap.drop =\nlxc.cap.keep = chown kill net_bind_service sys_chroot\n`,
      );
      const left = hex(mask([0, 5, 10, 18]));
      assert.deepEqual(await sets(guest), [none, left, left, left, none]);
      assert.match(await guest.sh("grep CapBnd /proc/self/status"), new RegExp(`${left}$`));
    });
    it("lxc.cap.keep = none keeps none", async () => {
      const guest = await started("nothing", `${sleeper}lxc.cap.drop =\nlxc.cap.keep = none\n`);
      assert.deepEqual(await sets(guest), [none, none, none, none, none]);
    });
    it("drop and keep together are refused", async () => {
      assert.match(await define("dropkeep", "lxc.cap.keep = chown\n").refuses(), /mutually exclusive|lxc\.cap/);
    });
    it("capabilities that the caller made inheritable do not come back by exec", async () => {
      const guest = define("inherits", `${sleeper}lxc.cap.drop =\nlxc.cap.drop = sys_time\n`);
      await ok(["setpriv", "--inh-caps", "+sys_time", bin("lxc-start"), ...guest.at]);
      assert.equal((await status(guest))["CapEff"], hex(all & ~mask([25])));
      const { stdout } = await command([
        "setpriv",
        "--inh-caps",
        "+sys_time",
        bin("lxc-attach"),
        ...guest.at,
        "--",
        "/bin/grep",
        "CapEff",
        "/proc/self/status",
      ]);
      assert.match(stdout, new RegExp(`${hex(all & ~mask([25]))}$`, "m"));
    });
    it("lxc.no_new_privs holds for init and for attached processes", async () => {
      const guest = await started("nnp", `${sleeper}lxc.no_new_privs = 1\n`);
      assert.equal((await status(guest))["NoNewPrivs"], "1");
      assert.match(await guest.sh("grep NoNewPrivs /proc/self/status"), /1$/);
    });
    it("root of a user namespace has all capabilities there, but for the dropped", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = await started("mapped", map + sleeper);
      assert.equal(
        (await status(guest))["CapEff"],
        hex(
          ((1n << BigInt(Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8")) + 1)) - 1n) &
            ~mask([16, 32, 33, 25]),
        ),
      );
      assert.match((await guest.try("mknod /root/x c 1 3")).stderr, /not permitted/);
    });
  });

  describe("with seccomp", () => {
    let directory: string;
    const policy = (name: string, text: string): string => {
      const path = join(directory, name);
      writeFileSync(path, text);
      return `lxc.seccomp.profile = ${path}\n`;
    };
    before(() => {
      directory = join(testDir, `islt-seccomp-${process.pid}`);
      mkdirSync(directory, { recursive: true });
      process.on("exit", () => {
        rmSync(directory, { recursive: true, force: true });
      });
    });

    it("a denylist of version 2 gives its errno for what it names, and lets the rest be", async (t) => {
      if (lacks(t, "seccomp")) return;
      const guest = await started(
        "deny",
        policy("deny", "2\ndenylist\n[all]\nmkdir errno 13\nmkdirat errno 13\nsethostname errno 1\n"),
      );
      assert.equal((await status(guest))["Seccomp"], "2");
      assert.match((await guest.try("mkdir /root/x")).stderr, /Permission denied/);
      assert.match((await guest.try("hostname x")).stderr, /not permitted/);
      await guest.sh("touch /root/y");
    });
    it("holds for attached processes unless -e LSM lifts it", async (t) => {
      if (lacks(t, "seccomp")) return;
      const guest = await started("attach", policy("attach", "2\nblacklist\nmkdir errno 13\nmkdirat errno 13\n"));
      assert.match(await guest.sh("grep Seccomp: /proc/self/status"), /2$/);
      const lifted = await guest.attach([
        "--elevated-privileges=LSM",
        "--",
        "/bin/grep",
        "Seccomp:",
        "/proc/self/status",
      ]);
      assert.match(lifted.stdout, /0$/m);
    });
    it("kill ends the process that calls it, as SIGSYS", async (t) => {
      if (lacks(t, "seccomp")) return;
      const guest = await started("kill", policy("kill", "2\ndenylist\nmkdir kill\nmkdirat kill\n"));
      assert.equal((await guest.try("mkdir /root/x")).status, 128 + 31);
      assert.equal(await guest.state(), "RUNNING");
    });
    it("arguments are compared", async (t) => {
      if (lacks(t, "seccomp")) return;
      const guest = await started(
        "arguments",
        policy(
          "arguments",
          "2\ndenylist\n[x86_64]\nkill errno 1 [1,10,SCMP_CMP_EQ]\n[arm64]\nkill errno 1 [1,10,SCMP_CMP_EQ]\n",
        ),
      );
      assert.match((await guest.try("kill -USR1 $$")).stderr, /not permitted/);
      await guest.sh("kill -0 $$");
    });
    it("version 1 allows only the numbers that it lists", async (t) => {
      if (lacks(t, "seccomp") || process.arch !== "x64") return;
      const allowed = Array.from({ length: 460 }, (_, number) => number).filter(
        (number) => number !== 83 && number !== 258,
      );
      const guest = await started("version1", policy("version1", `1\nwhitelist\n${allowed.join("\n")}\n`));
      assert.equal((await guest.try("mkdir /root/x")).status, 128 + 31);
      await guest.sh("touch /root/y");
    });
    it("LXC's common.seccomp loads and refuses what it should", async (t) => {
      if (lacks(t, "seccomp") || lacks(t, "lxc")) return;
      const guest = await started("common", "lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp\n");
      await guest.kill();
      assert.equal((await command(["lxc-start", ...guest.at])).stderr, "");
      assert.equal((await status(guest))["Seccomp"], "2");
      await guest.sh("mkdir /root/x && sleep 0.01");
      assert.notEqual((await guest.try("umount -f /mnt")).status, 0);
    });
    it("a missing policy is an error with its line", async () => {
      assert.match(
        await define("nopolicy", "lxc.seccomp.profile = /nowhere/policy\n").refuses(),
        /\/nowhere\/policy.*config:\d+/,
      );
    });
    it("a rule for a call that nobody knows has no effect, which is said on stderr and in the log", async (t) => {
      if (lacks(t, "seccomp")) return;
      const guest = define("typo", policy("typo", "2\ndenylist\nmkdri errno 13\nmkdir errno 13\nmkdirat errno 13\n"));
      const log = join(directory, "typo.log");
      const text = `no system call is called mkdri: the rule has no effect (${join(directory, "typo")}:3 lxc.seccomp.profile)`;
      const made = await command(["lxc-start", ...guest.at, "-o", log, "-l", "WARN"]);
      assert.deepEqual([made.status, made.stdout, made.stderr], [0, "", `lxc-start: typo: ${text}\n`]);
      assert.match(readFileSync(log, "utf8"), /^lxc-start typo \d+\.\d+ WARN .* - no system call is called mkdri/);
      assert.match((await guest.try("mkdir /root/x")).stderr, /Permission denied/);
      await guest.kill();
      assert.equal((await command(["lxc-start", ...guest.at, "-q"])).stderr, "");
    });
    it("a policy with an unknown word is an error that names its line", async () => {
      const guest = define("badpolicy", policy("bad", "2\ndenylist\nmkdir explode\n"));
      assert.match(await guest.refuses(), /bad:3/);
    });
  });
});
