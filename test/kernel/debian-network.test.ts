import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { world } from "../support/bridge-place.js";
import { debianTar, mayMakeDebian } from "../support/debian.js";
import { fresh } from "../support/fresh.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** What LXC's template for Debian installs and writes for the network of a guest. */
const extra = ["ifupdown", "isc-dhcp-client", "iputils-ping", "netbase"];
const interfaces = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n";

test("on a machine where nothing is configured, containers of lxc-create have addresses, names and the world", async (t) => {
  if (lacks(t, "nftables")) return;
  if (!mayMakeDebian()) {
    t.skip("Debian's mirror cannot be reached");
    return;
  }
  const [box, debian] = ["islt-fresh-box", "islt-fresh-deb"];
  const above = mkdtempSync(join(testDir, "islt-template-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const tar = await debianTar({ release: "bookworm", flavour: "systemd", extra });
  // A template script, as LXC's users have theirs.
  const template = join(above, "lxc-unpack");
  const unpack = `#!/bin/sh -e
for word; do case $word in --rootfs=*) root=\${word#*=} ;; --name=*) name=\${word#*=} ;; esac; done
mkdir -p "$root"
tar -x --numeric-owner -f '${tar}' -C "$root"
printf '%s' '${interfaces}' > "$root/etc/network/interfaces"
echo "$name" > "$root/etc/hostname"
`;
  writeFileSync(template, unpack, { mode: 0o755 });
  const there = await fresh(t, [box, debian]);
  const far = await world(t, there);
  await there.ok(["lxc-create", "-n", box, "-t", "busybox"]);
  await there.ok(["lxc-create", "-n", debian, "-t", template]);
  for (const name of [box, debian]) await there.ok(["lxc-start", "-n", name]);

  const addressOf = async (name: string): Promise<string> =>
    await waitFor(
      `the address of ${name}`,
      async () => {
        const [address = ""] = (await there.ok(["lxc-info", "-n", name, "-iH"])).split("\n");
        return address.startsWith("10.0.3.") ? address : undefined;
      },
      { timeout: 60_000 },
    );
  const addresses = { [box]: await addressOf(box), [debian]: await addressOf(debian) };
  const inside = (name: string, ...words: readonly string[]): Promise<string> =>
    there.ok(["lxc-attach", "-n", name, "--", ...words]);
  for (const [name, other] of [
    [box, debian],
    [debian, box],
  ] as const) {
    assert.match(await inside(name, "ping", "-c", "1", "-W", "5", "10.0.3.1"), /1 (packets )?received/);
    const answer = await inside(name, "ping", "-c", "1", "-W", "5", other);
    assert.ok(answer.includes(`(${addresses[other] ?? ""})`), answer);
    assert.match(answer, /1 (packets )?received/);
  }
  // The host beyond knows no way back to the bridge's network: it answers the near host's address.
  const ways = [
    [box, "sh", "-c", "echo hello | nc -w 2 192.0.2.2 7"],
    [debian, "bash", "-c", "exec 3<>/dev/tcp/192.0.2.2/7; echo hello >&3; head -n 1 <&3"],
  ] as const;
  for (const [name, ...words] of ways) {
    const served = far.command(["busybox", "nc", "-l", "-p", "7", "-e", "cat"], { timeout: 60_000 });
    await waitFor("an answer through NAT", async () => {
      const { stdout } = await there.command(["lxc-attach", "-n", name, "--", ...words]);
      return stdout === "hello\n";
    });
    await served;
  }
  await there.ok(["lxc-stop", "-n", debian]);
  await there.ok(["lxc-stop", "-n", box, "-k"]);
  for (const name of [box, debian]) await there.ok(["lxc-destroy", "-n", name]);
  await there.ok(["islet", "net", "down"]);
});
