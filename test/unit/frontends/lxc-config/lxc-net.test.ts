import assert from "node:assert/strict";
import { test } from "node:test";
import { errorLines } from "../../../../src/base/errors.js";
import { parseLxcNet } from "../../../../src/frontends/lxc/config/lxc-net.js";
import { lxcbr0 } from "../../../support/bridge.js";
import type { BridgeNetwork } from "../../../../src/spec/bridge.js";

const parse = (text: string): BridgeNetwork => parseLxcNet([{ file: "lxc-net", text }]).network;
const faults = (text: string): readonly string[] => {
  try {
    parse(text);
  } catch (error) {
    return errorLines(error);
  }
  return assert.fail("it was accepted");
};

test("without any variable it is LXC's lxcbr0", () => {
  assert.deepEqual(parse(""), lxcbr0);
  assert.deepEqual(parseLxcNet([]), { network: lxcbr0, isWanted: true });
});

test("every variable counts, quoted or not, the last one wins, other lines of a shell do not matter", () => {
  const text = `# Leave USE_LXC_BRIDGE as "true"
USE_LXC_BRIDGE="true"
[ -f /etc/default/lxc-net ] && . /etc/default/lxc-net
LXC_BRIDGE=br9
LXC_BRIDGE='islt-br'   # ours
export LXC_BRIDGE_MAC="00:16:3E:1:2:3";
LXC_ADDR=10.7.1.1
LXC_NETMASK="255.255.252.0"
LXC_NETWORK=10.7.0.0/22
LXC_DHCP_RANGE=10.7.1.2,10.7.3.9,12h
LXC_DHCP_MAX=9
LXC_DHCP_CONFILE=/etc/lxc/dnsmasq.conf
LXC_DHCP_PING=false
LXC_DOMAIN=lxc
LXC_USE_NFT=false
LXC_IPV6_ADDR=fd42:0::1
LXC_IPV6_MASK=64
LXC_IPV6_NETWORK=fd42::/64
LXC_IPV6_NAT=true
ISLET_HOST_NAMES=true
LXC_AUTO="$(anything)"
`;
  assert.deepEqual(parse(text), {
    name: "islt-br",
    hwaddr: "00:16:3e:01:02:03",
    ipv4: {
      address: "10.7.1.1",
      prefix: 22,
      network: { address: "10.7.0.0", prefix: 22 },
      dhcp: { range: "10.7.1.2,10.7.3.9,12h", most: 9, ping: false, confFile: "/etc/lxc/dnsmasq.conf" },
    },
    ipv6: { address: "fd42::1", prefix: 64, network: { address: "fd42::", prefix: 64 }, nat: true },
    domain: "lxc",
    hostNames: true,
    nft: false,
  });
});

test("a later file overrules an earlier one", () => {
  const files = [
    { file: "lxc", text: "LXC_DOMAIN=a\nLXC_DHCP_MAX=5" },
    { file: "lxc-net", text: "LXC_DOMAIN=b" },
  ];
  const { network } = parseLxcNet(files);
  assert.deepEqual([network.domain, network.ipv4.dhcp.most], ["b", 5]);
});

test("no bridge is wanted, but what it is called is known", () => {
  const text = 'USE_LXC_BRIDGE="false"\nLXC_BRIDGE=br9';
  const { network, isWanted } = parseLxcNet([{ file: "lxc-net", text }]);
  assert.deepEqual([network.name, isWanted], ["br9", false]);
});

test("what is wrong is told with its file, line and name, all of it at once", () => {
  assert.deepEqual(faults("\nUSE_LXC_BRIDGE=yes\nLXC_ADDR=10.0.3\n"), [
    '"yes" is neither true nor false (lxc-net:2 USE_LXC_BRIDGE)',
    '"10.0.3" is no IPv4 address (lxc-net:3 LXC_ADDR)',
  ]);
  const rows: readonly (readonly [string, RegExp])[] = [
    [
      "LXC_BRIDGE=a-name-too-long-x",
      /^"a-name-too-long-x" cannot be the name of a bridge: .* \(lxc-net:1 LXC_BRIDGE\)$/,
    ],
    ['LXC_BRIDGE="a b"', /cannot be the name/],
    ["LXC_BRIDGE=../x", /cannot be the name/],
    ["LXC_BRIDGE=", /cannot be the name/],
    ["LXC_BRIDGE=$(hostname)", /^\$\(hostname\) needs a shell \(lxc-net:1 LXC_BRIDGE\); write the value itself/],
    ['LXC_BRIDGE="$X"', /needs a shell/],
    ["LXC_BRIDGE_MAC=00:16", /^"00:16" is no hardware address/],
    ["LXC_NETMASK=255.0.255.0", /^"255\.0\.255\.0" is no network mask/],
    ["LXC_NETMASK=24", /is no network mask/],
    ["LXC_NETWORK=10.0.3.0", /^"10\.0\.3\.0" is no network, as 10\.0\.3\.0\/24 is one/],
    ["LXC_ADDR=10.0.4.1", /^10\.0\.4\.1 is not in 10\.0\.3\.0\/24 \(lxc-net:1 LXC_ADDR\)$/],
    ["LXC_DHCP_RANGE=10.0.3.2,10.0.4.9", /^10\.0\.4\.9 is not in 10\.0\.3\.0\/24 \(lxc-net:1 LXC_DHCP_RANGE\)$/],
    ["LXC_DHCP_RANGE=static", /^"static" is no IPv4 address/],
    ["LXC_DHCP_MAX=many", /^"many" is no number of leases/],
    ["LXC_DHCP_CONFILE=dnsmasq.conf", /is no absolute path/],
    ["LXC_DOMAIN=a/b", /is no domain/],
    ["LXC_USE_NFT=no", /^"no" is neither true nor false/],
    ["LXC_IPV6_ADDR=fd42::1\nLXC_IPV6_MASK=64", /go together: LXC_IPV6_NETWORK is missing/],
    ["LXC_IPV6_ADDR=fd43::1\nLXC_IPV6_MASK=64\nLXC_IPV6_NETWORK=fd42::/64", /^fd43::1 is not in fd42::\/64/],
    ["LXC_IPV6_ADDR=fd42::1\nLXC_IPV6_MASK=640\nLXC_IPV6_NETWORK=fd42::/64", /is no prefix length/],
  ];
  for (const [text, expected] of rows) {
    const lines = faults(text);
    assert.equal(lines.length, 1, `${text}: ${lines.join(" | ")}`);
    assert.match(lines[0] ?? "", expected);
  }
});
