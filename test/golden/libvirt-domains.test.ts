import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LibvirtError } from "../../src/frontends/libvirt/errors.js";
import { type HostFile, toSpec } from "../../src/frontends/libvirt/spec/to-spec.js";
import { readDomain } from "../../src/frontends/libvirt/xml/read-domain.js";
import { specContext } from "../support/domain.js";
import { hostFacts, type HostKind, layouts, startFacts } from "../support/facts.js";
import { compare, type Outcome, planned, refused } from "../support/golden.js";
import { root } from "../support/paths.js";

/** Domain XML -> specification -> launch program -> text, as for configurations of LXC: NAME.txt or NAME.err, NAME@HOST.txt on the hosts that are not its natural one. */

const directory = join(root, "test/golden/libvirt-domains");

const files: Readonly<Record<string, HostFile>> = {
  "/srv/www": { kind: "dir" },
  "/srv/hosts": { kind: "file" },
  "/dev/sdb": { kind: "b", major: 8, minor: 16 },
  "/dev/vdb": { kind: "b", major: 253, minor: 16 },
  "/dev/net/tun": { kind: "c", major: 10, minor: 200 },
  "/sys/kernel/security/lsm": { kind: "file" },
  "/dev/rtc": { kind: "c", major: 250, minor: 0 },
};

const ext4 = { path: "/dev/vdb", missing: false, fstype: "ext4", other: null, known: [], mountedOn: null };

/** Those that are planned for every kind of host. */
const everywhere = ["limits"];

function outcome(name: string, host: HostKind): Outcome {
  try {
    const doc = readDomain(readFileSync(join(directory, `${name}.xml`), "utf8"), {
      newUuid: () => assert.fail("every document has a uuid"),
      newMac: () => assert.fail("every interface has an address"),
      defaultEmulator: "/usr/lib/libvirt/libvirt_lxc",
      arch: "x86_64",
    });
    const spec = toSpec(doc, specContext(files));
    return planned(spec, hostFacts(host), startFacts({ images: { "/dev/vdb": ext4 } }));
  } catch (error) {
    if (error instanceof LibvirtError) return refused([`${error.code}/${error.domain}: ${error.message}`]);
    throw error;
  }
}

const names = readdirSync(directory)
  .filter((file) => file.endsWith(".xml"))
  .map((file) => file.slice(0, -4));
const expected = new Set<string>();

for (const name of names) {
  for (const host of everywhere.includes(name) ? (Object.keys(layouts) as readonly HostKind[]) : (["v2"] as const)) {
    const stem = host === "v2" ? name : `${name}@${host}`;
    expected.add(stem);
    test(`the plan of the domain ${name} on a host with cgroup ${host} is the one that was reviewed`, () => {
      compare(directory, stem, outcome(name, host));
    });
  }
}

test("every reviewed plan has its domain", () => {
  const kept = readdirSync(directory)
    .filter((file) => /\.(txt|err)$/.test(file))
    .map((file) => file.slice(0, -4));
  assert.deepEqual(kept.filter((stem) => !expected.has(stem)), []);
});
