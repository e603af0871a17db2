import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressFile,
  type BridgeHost,
  dhcpHostFile,
  hostNameOf,
  parseDhcpHostFile,
} from "../../../src/network/bridge-host.js";
import { withHostEntries } from "../../../src/network/hosts-file.js";
import { parseLeases } from "../../../src/network/leases.js";
import { dhcpRelease } from "../../../src/sys/dhcp.js";

const id = { storePath: "/var/lib/lxc", name: "web" };
const nic = { hwaddr: "00:16:3e:00:00:01", name: "web", reservation: null, fixed: [] };
const host: BridgeHost = { id, nics: [nic] };

test("a container is known by its hardware addresses, with its name and the address that is kept for it", () => {
  const reserved = { ...nic, reservation: { address: "10.0.3.9", at: null } };
  const other = { hwaddr: "00:16:3e:00:00:02", name: null, reservation: null, fixed: ["fd42::7", "10.0.3.7"] };
  const text = dhcpHostFile({ id, nics: [reserved, other, { ...nic, name: null }] });
  assert.equal(
    text,
    '# {"storePath":"/var/lib/lxc","name":"web"}\n00:16:3e:00:00:01,id:*,10.0.3.9,web\n00:16:3e:00:00:02,id:*,10.0.3.7\n00:16:3e:00:00:01,id:*\n',
  );
  assert.deepEqual(parseDhcpHostFile(text), {
    id,
    nics: [
      { hwaddr: "00:16:3e:00:00:01", address: "10.0.3.9", name: "web" },
      { hwaddr: "00:16:3e:00:00:02", address: "10.0.3.7", name: null },
      { hwaddr: "00:16:3e:00:00:01", address: null, name: null },
    ],
  });
  // A path may have anything in it but a zero byte: no line of its own comes of that.
  const odd = { storePath: "/a\n00:16:3e:00:00:09,evil", name: "web" };
  assert.deepEqual(parseDhcpHostFile(dhcpHostFile({ ...host, id: odd })), {
    id: odd,
    nics: [{ hwaddr: nic.hwaddr, address: null, name: "web" }],
  });
});

test("what is none of these files is none", () => {
  for (const text of ["", "# x", "# null", '# {"name":"a"}', "00:16:3e:00:00:01,web\n"])
    assert.equal(parseDhcpHostFile(text), null, text);
});

test("names are those that dnsmasq takes for nothing else", () => {
  assert.equal(hostNameOf("Web-1"), "web-1");
  for (const name of ["12", "3h", "infinite", "IGNORE", "a.b", "-a", "a-", "a b", "a,b", "", "ä", "x".repeat(64)])
    assert.equal(hostNameOf(name), null, name);
});

test("addresses that it has by itself resolve, of both families", () => {
  const fixed = { ...nic, fixed: ["10.0.3.7", "fd42::7"] };
  assert.equal(addressFile({ id, nics: [fixed] }, "lxc"), "10.0.3.7 web.lxc web\nfd42::7 web.lxc web\n");
  assert.equal(addressFile({ id, nics: [fixed] }, null), "10.0.3.7 web\nfd42::7 web\n");
  assert.equal(addressFile({ id, nics: [{ ...fixed, name: null }] }, null), "");
  assert.equal(addressFile(host, null), "");
});

test("leases are those of IPv4, whatever their guests say of themselves", () => {
  const text = [
    "1795393468 00:16:3e:00:00:01 10.0.3.17 web 01:00:16:3e:00:00:01",
    "0 00:16:3e:00:00:02 10.0.3.18 * *",
    "duid 00:01:00:01",
    "1795393468 12345 fd42::5 web 00:01",
    "",
  ].join("\n");
  assert.deepEqual(parseLeases(text), [
    { expires: 1795393468, hwaddr: "00:16:3e:00:00:01", address: "10.0.3.17" },
    { expires: 0, hwaddr: "00:16:3e:00:00:02", address: "10.0.3.18" },
  ]);
});

test("names on the host are between two lines of their own, and leave all others alone", () => {
  const own = "127.0.0.1\tlocalhost\n127.0.1.1 host db # not web\n";
  const entries = [
    { address: "10.0.3.17", name: "web" },
    { address: "10.0.3.18", name: "db" },
  ];
  const block = "# islet: containers on lxcbr0\n10.0.3.17\tweb\n# islet: end of lxcbr0\n";
  const text = withHostEntries(own, "lxcbr0", null, entries);
  assert.equal(text, own + block);
  assert.equal(withHostEntries(text, "lxcbr0", null, entries), text);
  assert.equal(withHostEntries(`${text}10.1.1.1 more\n`, "lxcbr0", null, []), `${own}10.1.1.1 more\n`);
  assert.equal(
    withHostEntries(text, "lxcbr0", "lxc", entries),
    `${own}# islet: containers on lxcbr0\n10.0.3.17\tweb.lxc web\n10.0.3.18\tdb.lxc\n# islet: end of lxcbr0\n`,
  );
  assert.equal(withHostEntries(own, "lxcbr0", null, []), own);
  assert.equal(withHostEntries("", "br1", null, entries.slice(0, 1)).split("\n")[1], "10.0.3.17\tweb");
  // A line that somebody took away makes a block of nothing.
  const torn = text.replace("# islet: end of lxcbr0\n", "");
  assert.ok(withHostEntries(torn, "lxcbr0", null, []).includes("10.0.3.17\tweb"));
});

test("a release is RFC 2131's", () => {
  const bytes = dhcpRelease(
    Uint8Array.from([2, 0, 0, 0, 0, 1]),
    Uint8Array.from([10, 0, 3, 17]),
    Uint8Array.from([10, 0, 3, 1]),
  );
  assert.equal(bytes.length, 300);
  assert.deepEqual([...bytes.subarray(0, 4)], [1, 1, 6, 0]);
  assert.deepEqual([...bytes.subarray(12, 16)], [10, 0, 3, 17]);
  assert.deepEqual([...bytes.subarray(28, 34)], [2, 0, 0, 0, 0, 1]);
  assert.deepEqual([...bytes.subarray(236, 250)], [99, 130, 83, 99, 53, 1, 7, 54, 4, 10, 0, 3, 1, 255]);
});
