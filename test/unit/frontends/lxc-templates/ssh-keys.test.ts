import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeHostKeys, writeHostKeys } from "../../../../src/frontends/lxc/templates/ssh-keys.js";
import { fakeRoot } from "../../../support/fake-root.js";

test("host keys are such as OpenSSH makes: it finds the same public keys in the private ones", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "islt-keys-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const root = fakeRoot({
    "/etc/ssh/ssh_host_dsa_key": "old",
    "/etc/ssh/ssh_host_rsa_key.pub": "old",
    "/etc/ssh/moduli": "",
  });
  writeHostKeys(root, await makeHostKeys("web"), "web");
  const names = [
    "moduli",
    ...["ecdsa", "ed25519", "rsa"].flatMap((kind) => [`ssh_host_${kind}_key`, `ssh_host_${kind}_key.pub`]),
  ];
  assert.deepEqual(root.list("/etc/ssh"), names);
  for (const kind of ["ecdsa", "ed25519", "rsa"]) {
    const secret = root.files.get(`/etc/ssh/ssh_host_${kind}_key`);
    assert.equal(secret?.mode, 0o600);
    const file = join(directory, kind);
    writeFileSync(file, secret.text, { mode: 0o600 });
    const [type = "", key = ""] = execFileSync("ssh-keygen", ["-y", "-f", file], { encoding: "utf8" })
      .trim()
      .split(" ");
    assert.equal(root.read(`/etc/ssh/ssh_host_${kind}_key.pub`), `${type} ${key} root@web\n`);
  }
});

test("no two containers have the same keys", async () => {
  const [a, b] = await Promise.all([makeHostKeys("a"), makeHostKeys("a")]);
  for (const [index, key] of a.entries()) assert.notEqual(key.private, b[index]?.private);
});
