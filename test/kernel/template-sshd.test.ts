import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fresh } from "../support/fresh.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** The guide's own words: its commands are run as they stand there, on a machine where nothing is configured. */

const name = "islt-ssh1";
const ssh = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"];

test("a container of the template sshd lets root of the host's key in, by its name, and nobody else", async (t) => {
  if (lacks(t, "nftables")) return;
  if (!existsSync("/usr/sbin/sshd")) {
    t.skip("this host has no sshd");
    return;
  }
  const above = mkdtempSync(join(testDir, "islt-sshd-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const there = await fresh(t, [name]);
  await there.ok(["lxc-create", "-t", "sshd", "-n", name]);
  const key = join(above, "id");
  await there.ok(["ssh-keygen", "-q", "-N", "", "-f", key]);
  await there.ok(["mkdir", `/var/lib/lxc/${name}/rootfs/root/.ssh`]);
  await there.ok(["cp", `${key}.pub`, `/var/lib/lxc/${name}/rootfs/root/.ssh/authorized_keys`]);
  await there.ok(["lxc-start", "-n", name, "-d"]);
  const address = await waitFor(
    "an address",
    async () => {
      const [found = ""] = (await there.ok(["lxc-info", "-n", name, "-iH"])).split("\n");
      return found.startsWith("10.0.3.") ? found : undefined;
    },
    { timeout: 30_000 },
  );
  const command = "id -un; hostname; ls /home; test -w /usr || echo read-only";
  const said = await waitFor("sshd to answer", async () => {
    const { status, stdout } = await there.command([...ssh, "-i", key, `root@${address}`, command]);
    return status === 0 ? stdout : undefined;
  });
  assert.equal(said, `root\n${name}\nread-only\n`);
  // The resolver of the bridge knows it by its name.
  const { stdout } = await there.command(["busybox", "nslookup", "-type=a", `${name}.`, "10.0.3.1"]);
  assert.ok(stdout.includes(address), stdout);
  const without = await there.command([
    ...ssh,
    "-o",
    "IdentitiesOnly=yes",
    "-i",
    "/dev/null",
    `root@${address}`,
    "true",
  ]);
  assert.equal(without.status, 255);
  assert.match(without.stderr, /Permission denied/);
  await there.ok(["lxc-stop", "-n", name, "-t", "20"]);
  await there.ok(["lxc-destroy", "-n", name]);
  await there.ok(["islet", "net", "down"]);
});
