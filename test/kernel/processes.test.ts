import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { openTerminal, readFrom, startClient } from "../support/client.js";
import { bin, runtimeDir } from "../support/paths.js";
import { waitFor } from "../support/wait.js";
import { guests } from "./guest.js";

const { store, started } = guests({ after });

describe("lxc-ps", () => {
  it("shows the processes of a container under its name, the host's with none or not at all", async () => {
    const guest = await started("islt-ps1");
    const other = await started("islt-ps2");
    const pid = String(await guest.pid());
    const otherPid = await other.pid();
    const columns = (line: string): readonly string[] => line.trim().split(/\s+/);
    const rows = (text: string): readonly (readonly string[])[] => text.trimEnd().split("\n").map(columns);

    const all = rows(await ok(["lxc-ps", "-P", store.path, "--", "-e", "-o", "pid,args"]));
    assert.deepEqual(all[0], ["CONTAINER", "PID", "COMMAND"]);
    assert.deepEqual(all.find((row) => row[1] === pid)?.slice(0, 2), ["islt-ps1", pid]);
    assert.equal(all.find((row) => row[0] === "1")?.[0], "1", "process 1 of the host is in no container");

    const some = rows(await ok(["lxc-ps", "-P", store.path, "--lxc", "-o", "pid,args"])).slice(1);
    assert.deepEqual(
      [...new Set(some.map((row) => row[0]))].sort((a = "", b = "") => (a < b ? -1 : 1)),
      ["islt-ps1", "islt-ps2"],
    );

    const one = rows(await ok(["lxc-ps", "-P", store.path, "-n", other.name, "--", "-o", "pid"])).slice(1);
    assert.deepEqual([...new Set(one.map((row) => row[0]))], ["islt-ps2"]);
    assert.ok(one.some((row) => row[1] === String(otherPid)));
  });

  it("says where there is no ps, and gives its exit status", async () => {
    const none = await command(["lxc-ps", "-P", store.path], { env: { PATH: "/nonexistent" } });
    assert.equal(none.status, 1);
    assert.match(none.stderr, /^lxc-ps: the program ps cannot be executed on this host; install the package procps\n$/);
    assert.equal((await command(["lxc-ps", "-P", store.path, "--", "--no-such-option"])).status, 1);
  });
});

describe("lxc-top", () => {
  it("prints what a container uses as comma-separated values", async () => {
    const guest = await started("islt-top1");
    await guest.sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    const { stdout } = await command([
      "timeout",
      "2",
      "/bin/sh",
      "-c",
      `exec ${bin("lxc-top")} -b -d 1 -P ${store.path}`,
    ]);
    const lines = stdout.trimEnd().split("\n");
    assert.match(lines[0] ?? "", /^time_ms,container,cpu_nanos,/);
    const mine = lines.filter((line) => line.split(",")[1] === guest.name);
    assert.ok(mine.length >= 2, stdout);
    const [time, , cpu, , , , , memory] = (mine[0] ?? "").split(",").map(Number);
    assert.ok(Math.abs((time ?? 0) - Date.now()) < 60_000);
    assert.ok((cpu ?? 0) > 1_000_000 && (memory ?? 0) > 100_000, mine[0]);
  });

  it("shows them on the terminal, follows its keys and its size, and gives it back as it was", async (t) => {
    await started("islt-top2");
    await started("islt-top3");
    const terminal = openTerminal(t);
    terminal.resize(40, 160);
    const { slave } = terminal;
    const { child, ended } = startClient(runtimeDir, {
      argv0: "/usr/bin/lxc-top",
      args: ["-d", "100", "-P", store.path],
      stdio: [slave, slave, slave],
    });
    const first = await readFrom(terminal.master, /TOTAL \d+ of \d+ .*\d+/);
    assert.ok(first.indexOf("islt-top2") < first.indexOf("islt-top3"), first);
    assert.equal(terminal.isCooked(), false);
    terminal.type("r");
    const second = await readFrom(terminal.master, /TOTAL \d+ of \d+ .*\d+/);
    assert.ok(second.indexOf("islt-top2") > second.indexOf("islt-top3"), second);
    terminal.resize(4, 160);
    // The terminal is not its controlling one: nobody else tells it.
    child.kill("SIGWINCH");
    await readFrom(terminal.master, /TOTAL 1 of \d+ /);
    terminal.type("q");
    assert.equal((await ended).code, 0);
    assert.equal(terminal.isCooked(), true);
  });
});

describe("lxc-netstat", () => {
  it("shows the sockets of the container, not the host's", async () => {
    const guest = await started("islt-net1");
    await guest.sh("ip link set lo up; (nc -l -p 54321 </dev/null >/dev/null 2>&1 &)");
    const shown = async (): Promise<string> => await ok(["lxc-netstat", ...guest.at, "-tln"]);
    await waitFor("the listening socket", async () => /:54321\s/.test(await shown()));
    assert.equal((await shown()).split("\n").filter((line) => line.startsWith("tcp")).length, 1);
    await guest.kill();
    const gone = await command(["lxc-netstat", ...guest.at]);
    assert.deepEqual([gone.status, gone.stderr], [1, "no process found for 'islt-net1'\n"]);
  });
});
