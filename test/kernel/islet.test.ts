import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command, fails, ok } from "../support/command.js";
import { instance } from "../support/instance.js";
import { peerStore } from "../support/peer.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { guests } from "./guest.js";

interface Listed {
  readonly name: string;
  readonly state: string;
  readonly uptimeSeconds: number | null;
  readonly pid: number | null;
  readonly memoryBytes: number | null;
  readonly memoryLimitBytes: number | null;
  readonly cpuNanoseconds: number | null;
  readonly autostart: boolean;
  readonly idMapped: boolean;
}

interface Section {
  readonly title: string;
  readonly findings: readonly { readonly level: string; readonly what: string; readonly remedy: string | null }[];
}

describe("islet ls", () => {
  it("shows real containers: state, uptime, process, memory against its limit", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const { started, define, store } = guests(t);
    const limited = await started("ls-limited", "lxc.cgroup.memory.limit_in_bytes = 64M\nlxc.start.auto = 1\n");
    const frozen = await started("ls-frozen");
    define("ls-stopped");
    await ok(["lxc-freeze", ...frozen.at]);
    const listed = JSON.parse(await ok(["islet", "ls", "-P", store.path, "--format", "json"])) as readonly Listed[];
    assert.deepEqual(
      listed.map(({ name, state }) => [name, state]),
      [
        ["ls-frozen", "FROZEN"],
        ["ls-limited", "RUNNING"],
        ["ls-stopped", "STOPPED"],
      ],
    );
    const [, row, stopped] = listed;
    assert.equal(row?.pid, await limited.pid());
    assert.equal(row?.memoryLimitBytes, 64 * 1024 * 1024);
    assert.equal(row?.autostart, true);
    assert.ok(row.memoryBytes !== null && row.memoryBytes > 4096 && row.memoryBytes < 64 * 1024 * 1024);
    assert.ok(row.cpuNanoseconds !== null && row.cpuNanoseconds > 0);
    assert.ok(row.uptimeSeconds !== null && row.uptimeSeconds < 30);
    assert.deepEqual([stopped?.pid, stopped?.uptimeSeconds, stopped?.memoryBytes], [null, null, null]);
    const env = { LC_ALL: "C" };
    const table = await ok(["islet", "ls", "-P", store.path], { env });
    assert.match(table, /^NAME +STATE +UPTIME +PID +MEMORY +CPU +AUTO\nls-frozen +# frozen /);
    assert.match(table, /^ls-limited +\* running +\d+s +\d+ +\[[#.]{6}\] +[\d.]+[KM]\/64M +\d\.\d\ds +yes$/m);
    assert.equal(await ok(["islet", "ls", "-P", store.path, "--running", "--format=names"]), "ls-frozen\nls-limited\n");
    assert.equal(await ok(["islet", "ls", "-P", store.path, "--format=names", "*stop*"]), "ls-stopped\n");
    // LXC's own is a word away.
    assert.equal(await ok(["islet", "lxc-ls", "-P", store.path, "-1"]), "ls-frozen\nls-limited\nls-stopped\n");
  });
});

describe("islet doctor", () => {
  const sections = (text: string): readonly Section[] => JSON.parse(text) as readonly Section[];
  const problemsOf = (found: readonly Section[], title: string): readonly string[] =>
    found
      .filter((section) => section.title === title)
      .flatMap(({ findings }) => findings)
      .filter(({ level }) => level !== "ok")
      .map(({ level, what, remedy }) => `${level}: ${what} | ${remedy}`);

  it("finds nothing wrong with a host on which containers run", async (t) => {
    const { started, store } = guests(t);
    await started("doctor-sound");
    const { status, stdout, stderr } = await command(["islet", "doctor", "-P", store.path, "--format", "json"]);
    assert.equal(stderr, "");
    const found = sections(stdout);
    assert.deepEqual(
      found.map(({ title }) => title),
      ["Kernel", "Control groups", "Security", "Privileges", "Programs", "islet", "Containers"],
    );
    assert.deepEqual(problemsOf(found, "Containers"), []);
    const errors = found.flatMap(({ findings }) => findings).filter(({ level }) => level === "error");
    assert.deepEqual([errors, status], [[], 0]);
  });

  it("names faults with file and line, what is missing, and half-made containers; and changes nothing", async (t) => {
    const { define, store } = guests(t);
    const bad = define("doctor-bad", "lxc.bogus = 1\n");
    define("doctor-link", "lxc.net.1.type = veth\nlxc.net.1.link = islt-nobr\n");
    const moved = define("doctor-moved");
    appendFileSync(join(moved.directory, "config"), "lxc.rootfs.path = dir:/nonexistent/rootfs\n");
    const half = join(store.path, "doctor-half");
    mkdirSync(half);
    writeFileSync(join(half, "config"), "");
    writeFileSync(join(half, "partial"), "");
    const text = await ok(["islet", "doctor", "-P", store.path, "--format", "json"]);
    const found = problemsOf(sections(text), "Containers");
    assert.equal(found.length, 4, found.join("\n"));
    assert.match(found[0] ?? "", new RegExp(`^warning: .*"lxc\\.bogus" \\(${bad.directory}/config:\\d+ `));
    assert.match(found[1] ?? "", /^warning: doctor-link wants the interface islt-nobr, .*ip link add islt-nobr/);
    assert.match(found[2] ?? "", /^warning: doctor-moved: its root file system \/nonexistent\/rootfs is missing/);
    assert.match(found[3] ?? "", /^warning: doctor-half is half made.*lxc-destroy -P .* -n doctor-half$/);
    assert.ok(existsSync(join(half, "partial")));
  });

  it("finds sockets of monitors that are gone", async (t) => {
    const own = await instance(t);
    busybox(own.store, "doctor-own");
    await own.ok(["lxc-start", ...own.store.at("doctor-own")]);
    writeFileSync(join(own.runtimeDir, "monitor/0123456789abcdef01234567"), "");
    const { stdout } = await own.command(["islet", "doctor", "-P", own.store.path, "--format", "json"]);
    // Others may use LXC on this machine meanwhile.
    const found = problemsOf(sections(stdout), "islet").filter((line) => !line.includes("LXC's own monitors"));
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0] ?? "", /^warning: 1 sockets .*monitor\/0123456789abcdef01234567$/);
  });

  it("sees LXC's own monitors", async (t) => {
    if (lacks(t, "lxc")) return;
    const store = peerStore(t);
    busybox(store, "doctor-theirs");
    await store.ok(["lxc-start", ...store.at("doctor-theirs")]);
    const titles = readdirSync("/proc").map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8");
      } catch {
        return "";
      }
    });
    if (!titles.some((title) => title.startsWith(`[lxc monitor] ${store.path} doctor-theirs`))) {
      t.skip("LXC cannot name its monitors here: the kernel has no PR_SET_MM");
      return;
    }
    const found = problemsOf(sections(await ok(["islet", "doctor", "-P", store.path, "--format", "json"])), "islet");
    assert.ok(
      found.some((line) => /^warning: LXC's own monitors run .*\bdoctor-theirs\b/.test(line)),
      found.join("\n"),
    );
  });

  it("an unknown command is named with the one that was meant", async () => {
    const { stderr } = await fails(["islet", "docter"], 1);
    assert.equal(stderr, 'islet: there is no command "docter"; did you mean doctor? islet help lists them\n');
  });
});
