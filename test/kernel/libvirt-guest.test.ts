import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { consoles } from "../support/domain.js";
import { domains } from "./libvirt-guest.js";

test("init of a domain has libvirt's environment, in libvirt's order, and nothing else", async (t) => {
  const host = domains(t);
  const { pid } = await host.start("islt-lv-env", { consoles: consoles(3) });
  assert.deepEqual(readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean), [
    "PATH=/bin:/usr/bin",
    "TERM=linux",
    "container=lxc-libvirt",
    "HOME=/",
    "container_uuid=11111111-2222-3333-4444-555555555555",
    "container_ttys=pts/1 pts/2",
    "LIBVIRT_LXC_UUID=11111111-2222-3333-4444-555555555555",
    "LIBVIRT_LXC_NAME=islt-lv-env",
  ]);
});
