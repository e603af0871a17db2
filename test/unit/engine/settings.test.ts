import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { openSettings, settingsFileOf } from "../../../src/engine/settings.js";
import { instanceIdKey, keyProblem, maxValue, valueProblem } from "../../../src/spec/settings.js";

function container(t: TestContext, name: string = "c1"): { readonly storePath: string; readonly name: string } {
  const storePath = mkdtempSync(join(tmpdir(), "islt-settings-"));
  t.after(() => {
    rmSync(storePath, { recursive: true, force: true });
  });
  mkdirSync(join(storePath, name));
  return { storePath, name };
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("settings of a container", () => {
  it("are in a file that only root reads, sorted, and there is none without any", (t) => {
    const id = container(t);
    const store = openSettings(id);
    assert.deepEqual(store.read(), {});
    assert.deepEqual(readdirSync(join(id.storePath, id.name)), []);
    assert.deepEqual(store.change({ "user.b": "2", "user.a": "1\n" }), [
      { key: "user.b", before: "", after: "2" },
      { key: "user.a", before: "", after: "1\n" },
    ]);
    assert.equal(statSync(settingsFileOf(id)).mode & 0o7777, 0o600);
    assert.deepEqual(Object.entries(openSettings(id).read()), [
      ["user.a", "1\n"],
      ["user.b", "2"],
    ]);
    assert.deepEqual(readdirSync(join(id.storePath, id.name)), ["settings.json"]);
  });

  it("change all or not at all, and tell what really changed", (t) => {
    const id = container(t);
    const store = openSettings(id);
    store.change({ "user.a": "1", "user.b": "2" });
    assert.throws(() => store.change({ "user.a": "x", "limits.memory": "1" }), { code: "ISLET_BAD_REQUEST" });
    assert.equal(store.read()["user.a"], "1");
    assert.deepEqual(store.change({ "user.a": "1", "user.b": null, "user.c": null }), [
      { key: "user.b", before: "2", after: "" },
    ]);
    assert.deepEqual(store.read(), { "user.a": "1" });
  });

  it("what somebody else writes to the file is seen at once", (t) => {
    const id = container(t);
    const store = openSettings(id);
    store.change({ "user.a": "1" });
    openSettings(id).change({ "user.a": "2" });
    assert.equal(store.read()["user.a"], "2");
    store.change({ "user.b": "3" });
    assert.deepEqual(openSettings(id).read(), { "user.a": "2", "user.b": "3" });
  });

  for (const [what, text] of [
    ["no JSON", "{"],
    ["another version", '{"version":2,"name":"c1","settings":{},"nics":null,"readyRun":null}'],
    ["a value that is no text", '{"version":1,"name":"c1","settings":{"user.a":1},"nics":null,"readyRun":null}'],
    ["nothing", ""],
  ] as const) {
    it(`a file that is broken (${what}) is one error that names it, and stays as it is`, (t) => {
      const id = container(t);
      writeFileSync(settingsFileOf(id), text);
      const store = openSettings(id);
      const expected = { code: "ISLET_BAD_CONFIG", message: /settings\.json is broken: [^\n]*$/ };
      assert.throws(() => store.read(), expected);
      assert.throws(() => store.change({ "user.a": "1" }), expected);
      assert.throws(() => store.instanceId(), expected);
      assert.equal(readFileSync(settingsFileOf(id), "utf8"), text);
    });
  }

  it("the instance id is made once, and again when cloud-init has to do its work anew", (t) => {
    const id = container(t);
    const store = openSettings(id);
    const first = store.instanceId();
    assert.match(first, uuid);
    assert.equal(openSettings(id).instanceId(), first);
    store.change({ "user.foo": "1", "user.meta-data": "a: b", "security.devlxd": "false" });
    assert.equal(store.instanceId(), first);
    let last = first;
    for (const key of [
      "cloud-init.vendor-data",
      "cloud-init.user-data",
      "cloud-init.network-config",
      "user.vendor-data",
      "user.user-data",
      "user.network-config",
      "cloud-init.ssh-keys.me",
    ]) {
      for (const value of ["root:x", null]) {
        store.change({ [key]: value });
        assert.notEqual(store.instanceId(), last, `${key}=${value}`);
        last = store.instanceId();
        store.change({ [key]: value });
        assert.equal(store.instanceId(), last, `${key}=${value} again`);
      }
    }
    store.noteNics(["eth0", "eth1"]);
    assert.equal(store.instanceId(), last, "the first start");
    store.noteNics(["eth1", "eth0"]);
    assert.equal(store.instanceId(), last, "the same nics");
    store.noteNics(["eth0"]);
    assert.notEqual(store.instanceId(), last, "other nics");
  });

  it("a container under another name is another instance, however it came to that name", (t) => {
    const id = container(t);
    const first = openSettings(id).instanceId();
    renameSync(join(id.storePath, "c1"), join(id.storePath, "c2"));
    const renamed = { ...id, name: "c2" };
    const second = openSettings(renamed).instanceId();
    assert.match(second, uuid);
    assert.notEqual(second, first);
    assert.equal(openSettings(renamed).instanceId(), second);
  });

  it("a container without a directory has an instance id as long as it is known", (t) => {
    const id = { ...container(t), name: "elsewhere" };
    const store = openSettings(id);
    assert.equal(store.instanceId(), store.instanceId());
    store.setReadyRun("1");
    assert.equal(store.readyRun(), "1");
  });
});

describe("names and values of settings", () => {
  it("are user.*, cloud-init's and the switches; what looks like one of them is asked about", () => {
    for (const key of ["user.x", "user.user-data", "cloud-init.user-data", "cloud-init.ssh-keys.a", "security.devlxd"])
      assert.equal(keyProblem(key), null, key);
    for (const key of ["user.", "user.a b", "user.a/b", "user.a=b", "user.a\n", "", "x".repeat(300), "limits.cpu"])
      assert.ok(keyProblem(key) !== null, key);
    assert.match(keyProblem("cloud-init.userdata") ?? "", /cloud-init\.user-data is one$/);
    assert.match(keyProblem("volatile.cloud-init.instance-id") ?? "", /islet's own/);
    assert.equal(keyProblem(instanceIdKey) === null, false);
  });

  it("values are bounded, and switches are true or false in one of LXD's ways", () => {
    assert.equal(valueProblem("user.a", "x".repeat(maxValue)), null);
    assert.ok(valueProblem("user.a", "x".repeat(maxValue + 1)) !== null);
    assert.ok(valueProblem("user.a", "a\0b") !== null);
    for (const value of ["true", "False", "1", "0", "on", "OFF", "yes", "no", ""])
      assert.equal(valueProblem("security.devlxd", value), null, value);
    assert.match(valueProblem("security.devlxd", "maybe") ?? "", /true and false are$/);
    assert.ok(valueProblem("cloud-init.ssh-keys.a", "no key") !== null);
  });
});
