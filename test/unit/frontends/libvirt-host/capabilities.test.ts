import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { noSecurityModel, readCapabilities } from "../../../../src/frontends/libvirt/host/capabilities-facts.js";
import { writeCapabilities } from "../../../../src/frontends/libvirt/host/capabilities.js";
import { root } from "../../../support/paths.js";
import { filesOf, machine, recorded } from "./host.js";

const options = {
  arch: "x86_64",
  uuid: "344a7834-7afc-4c6b-8600-9d6d9cd6ea46",
  emulator: "/usr/lib/libvirt/libvirt_lxc",
  pageSize: 4,
  securityModel: noSecurityModel,
} as const;

/** A cache of `level` in the directory of one processor. */
const cache = (cpu: number, index: number, level: number, type: string, size: string, shared: string) => {
  const directory = `/sys/devices/system/cpu/cpu${cpu}/cache/index${index}`;
  return {
    [`${directory}/id`]: "0\n",
    [`${directory}/level`]: `${level}\n`,
    [`${directory}/type`]: `${type}\n`,
    [`${directory}/size`]: `${size}\n`,
    [`${directory}/shared_cpu_list`]: `${shared}\n`,
  };
};

describe("capabilities", () => {
  it("are libvirt's own document of the machine of the vectors, byte for byte", () => {
    const files = filesOf({
      ...recorded,
      ...cache(0, 0, 1, "Data", "32K", "0"),
      ...cache(0, 3, 3, "Unified", "33792K", "0-1"),
      ...cache(1, 3, 3, "Unified", "33792K", "0-1"),
    });
    const golden = readFileSync(join(root, "test/golden/libvirt/capabilities.xml"), "utf8");
    assert.equal(writeCapabilities(readCapabilities(files, options)), golden);
  });

  it("tell each node's memory less what its huge pages take, and how far the nodes are apart", () => {
    const cpus = [0, 1].map((node) => ({ node, socket: node, core: 0, siblings: String(node) }));
    const files = filesOf({
      ...machine(cpus, [8_388_608, 4_194_304]),
      "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages": "512\n",
    });
    const [near, far] = readCapabilities(files, options).cells;
    assert.deepEqual(near?.pages[0], { size: 4, count: 2_097_152n });
    assert.deepEqual(far?.pages, [
      { size: 4, count: (4_194_304n - 512n * 2048n) / 4n },
      { size: 2048, count: 512n },
      { size: 1_048_576, count: 0n },
    ]);
    assert.deepEqual(far?.distances, [
      { node: 0, value: 21 },
      { node: 1, value: 10 },
    ]);
  });

  it("have the firmware's uuid, unless nobody filled it in", () => {
    const uuidOf = (text: string): string =>
      readCapabilities(filesOf({ ...recorded, "/sys/class/dmi/id/product_uuid": text }), options).uuid;
    assert.equal(uuidOf("4C4C4544-0042-3510-8052-B4C04F335A31\n"), "4c4c4544-0042-3510-8052-b4c04f335a31");
    for (const text of ["ffffffff-ffff-ffff-ffff-ffffffffffff\n", "Not Settable", ""])
      assert.equal(uuidOf(text), options.uuid);
  });

  it("escape what an administrator named", () => {
    const text = writeCapabilities(
      readCapabilities(filesOf(recorded), {
        ...options,
        emulator: "/a'b<c>&d",
        securityModel: { model: "selinux", doi: "0", baseLabels: [{ type: "lxc", label: "a:b<c" }] },
      }),
    );
    assert.match(text, /<emulator>\/a&apos;b&lt;c&gt;&amp;d<\/emulator>/);
    assert.match(text, /<baselabel type='lxc'>a:b&lt;c<\/baselabel>/);
  });

  it("name only what an arm64 host can run", () => {
    const text = writeCapabilities(readCapabilities(filesOf(recorded), { ...options, arch: "aarch64" }));
    assert.deepEqual(
      [...text.matchAll(/<arch name='(\w+)'>/g)].map(([, name]) => name),
      ["aarch64"],
    );
  });
});
