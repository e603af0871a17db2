import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { hostArch } from "../../../src/host/probe.js";
import { runProgram } from "../../../src/host/run-program.js";
import { escapeUnit, scopeCgroups, scopeRequest, scopeUnit } from "../../../src/host/systemd.js";
import { testDir } from "../../support/paths.js";

test("names are escaped as systemd-escape does it", () => {
  // Output of systemd-escape(1), version 252.
  for (const [plain, escaped] of [
    ["web1", "web1"],
    ["web-1", "web\\x2d1"],
    ["a.b_c:d", "a.b_c:d"],
    [".hidden", "\\x2ehidden"],
    ["a b@c", "a\\x20b\\x40c"],
    ["back\\slash", "back\\x5cslash"],
    ["größe", "gr\\xc3\\xb6\\xc3\\x9fe"],
    ["%n", "\\x25n"],
  ] as const)
    assert.equal(escapeUnit(plain), escaped);
});

test("a unit's name is valid and another for each container, however long its name is", () => {
  assert.match(scopeUnit("/var/lib/lxc", "web-1"), /^islet-web\\x2d1-[0-9a-f]{8}\.scope$/);
  assert.notEqual(scopeUnit("/var/lib/lxc", "web"), scopeUnit("/srv/lxc", "web"));
  const long = "ä".repeat(99);
  assert.notEqual(scopeUnit("/s", `${long}a`), scopeUnit("/s", `${long}b`));
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (name) => {
      const unit = scopeUnit("/s", name);
      assert.ok(unit.length <= 255);
      assert.match(unit, /^islet-(?:[A-Za-z0-9:_.-]|\\x[0-9a-f]{2})*-[0-9a-f]{8}\.scope$/);
    }),
  );
});

test("the request counts what it lists, and names the process and the unit", () => {
  const words = scopeRequest("islet-a-0.scope", "Container a", 4711, 10);
  const at = words.indexOf("ssa(sv)a(sa(sv))");
  assert.deepEqual(words.slice(at - 1, at + 3), ["StartTransientUnit", "ssa(sv)a(sa(sv))", "islet-a-0.scope", "fail"]);
  const rest = words.slice(at + 4);
  const properties = new Map<string, readonly string[]>();
  for (let left = Number(words[at + 3]); left > 0; left -= 1) {
    const [name = "", type = ""] = rest.splice(0, 2);
    const count = type.startsWith("a") ? Number(rest.shift()) : 1;
    properties.set(name, [type, ...rest.splice(0, count)]);
  }
  assert.deepEqual(rest, ["0"]);
  assert.deepEqual(properties.get("PIDs"), ["au", "4711"]);
  assert.deepEqual(properties.get("Delegate"), ["b", "true"]);
  assert.deepEqual(properties.get("Slice"), ["s", "machine.slice"]);
  assert.deepEqual(properties.get("KillSignal"), ["i", "23"]);
  assert.deepEqual(properties.get("Before"), ["as", "islet-autostart.service"]);
});

test("a scope's cgroups are those of /proc/PID/cgroup that end in the unit, and lie below what can be seen", () => {
  const unit = "islet-a-0.scope";
  const hybrid = `9:name=systemd:/machine.slice/${unit}\n4:memory:/islet\n3:cpu,cpuacct:/machine.slice/${unit}\n0::/machine.slice/${unit}\n`;
  assert.deepEqual(scopeCgroups(hybrid, unit), {
    "name=systemd": `/machine.slice/${unit}`,
    "cpu,cpuacct": `/machine.slice/${unit}`,
    "": `/machine.slice/${unit}`,
  });
  assert.equal(scopeCgroups("0::/islet\n", unit), null);
  assert.equal(scopeCgroups(`0::/machine.slice/${unit}/below\n`, unit), null);
  assert.equal(scopeCgroups(`0::/../../machine.slice/${unit}\n`, unit), null);
  assert.equal(scopeCgroups("", unit), null);
});

test("busctl's last line is the reason of its failure, and it has its time", async (t) => {
  const directory = mkdtempSync(join(testDir, "islt-busctl-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const program = join(directory, "busctl");
  const said = async (script: string, time: number): Promise<unknown> => {
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o755);
    return runProgram(hostArch(), program, ["call", directory], time);
  };
  assert.deepEqual(await said("exit 0", 10_000), { kind: "done" });
  assert.deepEqual(await said("echo first; echo 'Call failed: no' >&2; exit 1", 10_000), {
    kind: "refused",
    why: "Call failed: no",
  });
  assert.deepEqual(await said("exit 3", 10_000), { kind: "refused", why: "busctl ended with status 3" });
  assert.deepEqual(await said(': >"$2/begun"; exec sleep 60', 1000), { kind: "late" });
  assert.ok(existsSync(join(directory, "begun")));
  rmSync(program);
  const missing = await runProgram(hostArch(), program, [], 1000);
  assert.equal(missing.kind, "refused");
});
