import type { BridgeNetwork } from "../../src/spec/bridge.js";

/** lxc-net's without any variable. */
export const lxcbr0: BridgeNetwork = {
  name: "lxcbr0",
  hwaddr: "00:16:3e:00:00:00",
  ipv4: {
    address: "10.0.3.1",
    prefix: 24,
    network: { address: "10.0.3.0", prefix: 24 },
    dhcp: { range: "10.0.3.2,10.0.3.254", most: 253, ping: true, confFile: null },
  },
  ipv6: null,
  domain: null,
  hostNames: false,
  nft: true,
};
