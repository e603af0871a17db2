import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
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
