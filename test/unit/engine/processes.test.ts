import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { containerInText } from "../../../src/engine/processes.js";

const payload = (
  name: string,
  controllers = "pids",
  path = `/lxc.payload.${name}`,
): Parameters<typeof containerInText>[1][0] => ({
  name,
  controllers,
  path,
});

describe("the container of a process", () => {
  it("is the one in or below whose cgroup it is", () => {
    const payloads = [payload("a"), payload("ab")];
    assert.equal(containerInText("8:pids:/lxc.payload.ab\n0::/\n", payloads), "ab");
    assert.equal(containerInText("8:pids:/lxc.payload.a/system.slice/x\n", payloads), "a");
  });

  it("is none for a process of the host, also where a name begins alike or only another hierarchy matches", () => {
    const payloads = [payload("a")];
    assert.equal(containerInText("8:pids:/\n7:memory:/lxc.payload.a\n", payloads), null);
    assert.equal(containerInText("8:pids:/lxc.payload.abc\n", payloads), null);
    assert.equal(containerInText("", payloads), null);
  });

  it("is the outer one for a container in a container, whatever names the guest gives its cgroups", () => {
    const payloads = [payload("inner"), payload("outer")];
    assert.equal(containerInText("8:pids:/lxc.payload.outer/lxc.payload.inner\n", payloads), "outer");
  });

  it("is found in the unified hierarchy", () => {
    assert.equal(containerInText("0::/lxc.payload.u/.lxc\n", [payload("u", "")]), "u");
  });
});
