import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { debianRootfs } from "../support/debian.js";
import { domain, filesystem } from "../support/domain.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { domains } from "./libvirt-guest.js";

describe("a domain of Debian's", () => {
  for (const [release, shift] of [
    ["bookworm", 0],
    ["trixie", 0],
    ["bookworm", 100_000],
  ] as const)
    test(`boots ${release}${shift === 0 ? "" : " with ids of its own"} to the end, and systemd knows where it is`, async (t) => {
      if (lacks(t, "debian")) return;
      const host = domains(t);
      const name = `islt-lv-${release}-${shift}`;
      const root = join(host.store.path, name, "rootfs");
      await debianRootfs({ release, flavour: "systemd" }, root, shift);
      const ids = [{ start: 0, target: shift, count: 65536 }];
      const guest = await host.start(name, {
        os: { ...domain().os, init: "/sbin/init" },
        idmap: shift === 0 ? null : { uids: ids, gids: ids },
        memory: 1048576n,
        filesystems: [filesystem({ kind: "mount", dir: root }, "/")],
        // With this capability systemd would mount debugfs, which is not for another user namespace.
        features: {
          privnet: true,
          capabilities: { policy: "default", states: [{ name: "sys_rawio", on: false }] },
          others: [],
        },
      });
      let state = "";
      await waitFor(
        "systemd",
        async () => {
          state = (await guest.try("systemctl is-system-running")).stdout.trim();
          return ["running", "degraded", "maintenance"].includes(state);
        },
        { timeout: 60_000 },
      );
      const failed = await guest.try(
        "systemctl --failed --plain --no-legend; systemd-detect-virt; systemctl show --property=Virtualization",
      );
      assert.deepEqual([state, failed.stdout.trim()], ["running", "lxc-libvirt\nVirtualization=lxc-libvirt"]);
    });
});
