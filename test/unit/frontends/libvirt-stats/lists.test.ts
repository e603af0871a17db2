import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { type DomainFigures, domainStats, wantedGroups } from "../../../../src/frontends/libvirt/stats/all-domains.js";
import { type FilteredDomain, listFilter } from "../../../../src/frontends/libvirt/stats/flags.js";

const domains: Readonly<Record<string, FilteredDomain>> = {
  running: { isActive: true, isPersistent: true, state: 1, isAutostart: true },
  paused: { isActive: true, isPersistent: true, state: 3, isAutostart: false },
  transient: { isActive: true, isPersistent: false, state: 1, isAutostart: false },
  off: { isActive: false, isPersistent: true, state: 5, isAutostart: false },
};
const all = Object.keys(domains);
const listed = (flags: number): readonly string[] => {
  const filter = listFilter(flags);
  return Object.entries(domains)
    .filter(([, domain]) => filter(domain))
    .map(([name]) => name);
};

describe("list", () => {
  for (const [flags, names] of [
    [0, all],
    [1, ["running", "paused", "transient"]],
    [2, ["off"]],
    [1 | 2, all],
    [4, ["running", "paused", "off"]],
    [8, ["transient"]],
    [1 | 4, ["running", "paused"]],
    [16, ["running", "transient"]],
    [32, ["paused"]],
    [64, ["off"]],
    [128, []],
    [32 | 64, ["paused", "off"]],
    [16 | 8, ["transient"]],
    [256, []],
    [512, all],
    [256 | 512, all],
    [1024, ["running"]],
    [2048, ["paused", "transient", "off"]],
    [4096, []],
    [8192, all],
    [16_384, []],
    [32_768, all],
    [2 | 8, []],
  ] as const)
    it(`shows ${names.length === 0 ? "nothing" : names.join(", ")} with flags ${flags}`, () => {
      assert.deepEqual(listed(flags), names);
    });

  it("shows everything when every group is full", () => {
    assert.deepEqual(listed(0xffff), all);
  });

  it("shows no more when another group is asked for, too", () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.constantFrom(3, 12, 240, 768, 3072, 12_288, 49_152), (flags, group) => {
        const without = listed(flags & ~group);
        for (const name of listed(flags)) assert.ok(without.includes(name));
      }),
    );
  });

  it("refuses a flag that nobody knows in libvirt's words", () => {
    for (const [flags, hex] of [
      [0x10000, "10000"],
      [0x8000_0003, "80000000"],
    ] as const)
      assert.throws(
        () => listFilter(flags >>> 0),
        (error) => {
          assert.ok(error instanceof LibvirtError);
          assert.equal(error.message, `unsupported flags (0x${hex}) in function lxcConnectListAllDomains`);
          assert.equal(error.code, 8);
          return true;
        },
      );
  });
});

const figures: DomainFigures = {
  state: 1,
  reason: 1,
  balloon: { current: 98_304n, maximum: 131_072n },
  vcpu: { current: 1, maximum: 2 },
  running: {
    cpu: { total: 10n, user: 7n, system: 3n },
    memory: 528n,
    interfaces: [
      {
        name: "vnet0",
        figures: {
          rx_bytes: 1n,
          rx_packets: 2n,
          rx_errs: 3n,
          rx_drop: 4n,
          tx_bytes: 5n,
          tx_packets: 6n,
          tx_errs: 7n,
          tx_drop: 8n,
        },
      },
      { name: "eth7", figures: null },
    ],
    blocks: [{ name: "sda", figures: { readBytes: 1n, readRequests: 2n, writeBytes: 3n, writeRequests: 4n } }],
  },
};

describe("domstats", () => {
  const told = (stats: number, of: DomainFigures = figures): readonly string[] =>
    domainStats(of, wantedGroups(stats, 0)).map(({ field, kind, value }) => `${field} ${kind} ${value}`);

  it("tells all that virt-top reads, in its types", () => {
    assert.deepEqual(told(0), [
      "state.state int 1",
      "state.reason int 1",
      "cpu.time ullong 10",
      "cpu.user ullong 7",
      "cpu.system ullong 3",
      "balloon.current ullong 98304",
      "balloon.maximum ullong 131072",
      "balloon.rss ullong 528",
      "vcpu.current uint 1",
      "vcpu.maximum uint 2",
      "net.count uint 2",
      "net.0.name string vnet0",
      "net.0.rx.bytes ullong 1",
      "net.0.rx.pkts ullong 2",
      "net.0.rx.errs ullong 3",
      "net.0.rx.drop ullong 4",
      "net.0.tx.bytes ullong 5",
      "net.0.tx.pkts ullong 6",
      "net.0.tx.errs ullong 7",
      "net.0.tx.drop ullong 8",
      "net.1.name string eth7",
      "block.count uint 1",
      "block.0.name string sda",
      "block.0.rd.reqs ullong 2",
      "block.0.rd.bytes ullong 1",
      "block.0.wr.reqs ullong 4",
      "block.0.wr.bytes ullong 3",
    ]);
  });

  for (const [group, field] of [
    [1, "state."],
    [2, "cpu."],
    [4, "balloon."],
    [8, "vcpu."],
    [16, "net."],
    [32, "block."],
  ] as const)
    it(`tells ${field}* alone with group ${group}`, () => {
      const fields = told(group);
      assert.ok(fields.length > 0);
      for (const each of fields) assert.ok(each.startsWith(field), each);
    });

  it("tells of a stopped domain what it has without running", () => {
    assert.deepEqual(told(0, { ...figures, state: 5, reason: 2, running: null }), [
      "state.state int 5",
      "state.reason int 2",
      "balloon.current ullong 98304",
      "balloon.maximum ullong 131072",
      "vcpu.current uint 1",
      "vcpu.maximum uint 2",
    ]);
  });

  it("passes over groups of other hypervisors, unless the client insists", () => {
    assert.deepEqual(told(64), []);
    assert.throws(
      () => wantedGroups(64 | 1, 2 ** 31),
      (error) => {
        assert.ok(error instanceof LibvirtError);
        assert.equal(error.code, 74);
        assert.equal(error.message, "argument unsupported: Stats types bits 0x40 are not supported by this daemon");
        return true;
      },
    );
    assert.equal(wantedGroups(1, 2 ** 31 + 2 ** 29 + 3), 1);
    assert.throws(() => wantedGroups(1, 2 ** 20), /unsupported flags \(0x100000\)/);
  });
});
