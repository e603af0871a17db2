/** Rows: islet.net.N.*, what LXC has no words for of the nic that lxc.net.N describes. */
import { addressOf } from "../../../spec/address.js";
import { nicFilters, type NicFilter } from "../../../spec/nic.js";
import { burstOf, burstText, rateOf, rateText } from "../../../spec/rate.js";
import { splitWords } from "./grammar.js";
import { findNic, nicFamily, one, type NicRow } from "./keys-net.js";
import type { KeyRow } from "./row.js";
import { oneOf, Problem, type Read } from "./scalars.js";

const rate: Read<number> = (value) =>
  rateOf(value) ??
  new Problem(`"${value}" is not a rate from 16kbit to 100gbit: write 500kbit, 10mbit, 1gbit, or bits a second`);

const burst: Read<number> = (value) =>
  burstOf(value) ??
  new Problem(`"${value}" is not a burst from 16k to 4095m: write 64k, 10m, 1g (powers of 1024), or bytes`);

/** `all` and `none` stand alone. */
const filterWords: Read<readonly NicFilter[]> = (value) => {
  const words = splitWords(value);
  const [first] = words;
  if (words.length === 1 && first === "all") return nicFilters;
  if (words.length === 1 && first === "none") return [];
  const wrong = words.find((word) => !nicFilters.some((filter) => filter === word));
  if (wrong !== undefined || first === undefined)
    return new Problem(
      `"${wrong ?? value}" is not a filter: write mac, ipv4 and ipv6 with blanks between, all or none`,
    );
  return nicFilters.filter((filter) => words.includes(filter));
};

const islet = { since: "islet", types: ["veth"] } as const;
const showBurst = (value: number | null): string => (value === null ? "" : burstText(value));
const showRate = (value: number | null): string => (value === null ? "" : rateText(value));

const ipv4: Read<string> = (value) =>
  addressOf("ipv4", value) ?? new Problem(`"${value}" is not an IPv4 address such as 10.0.3.50`);

export const isletNicRows: readonly NicRow[] = [
  one<"lxc" | "systemd">("naming", oneOf("a way to name nics", ["lxc", "systemd"]), (value) => value ?? "", {
    ...islet,
    sub: "naming",
    doc: "What has no name gets one: lxc (ethN, and one at random outside) or systemd (host0, and ve-NAME outside, vb-NAME on a bridge: the default of the first veth with islet.guest = systemd).",
  }),
  one<string>("reserve", ipv4, (value) => value ?? "", {
    ...islet,
    sub: "reserve",
    doc: "An IPv4 address that the DHCP of a bridge of islet's keeps for the nic: it gets no other, and nobody else gets it.",
  }),
  one<number>("limitIn", rate, showRate, {
    ...islet,
    sub: "limit.in",
    doc: "What the container receives at most, in bits a second: 500kbit, 10mbit, 1gbit.",
  }),
  one<number>("limitInBurst", burst, showBurst, {
    ...islet,
    sub: "limit.in.burst",
    doc: "Bytes that it receives at once after a pause: 64k, 10m, 1g, or bytes. Default: a hundredth of a second's worth, at least 16k.",
  }),
  one<number>("limitInPeak", rate, showRate, {
    ...islet,
    sub: "limit.in.peak",
    doc: "How fast a burst passes, more than limit.in. Default: as it comes.",
  }),
  one<number>("limitOut", rate, showRate, {
    ...islet,
    sub: "limit.out",
    doc: "What the container sends at most; what is more is dropped.",
  }),
  one<number>("limitOutBurst", burst, showBurst, {
    ...islet,
    sub: "limit.out.burst",
    doc: "Bytes that it sends at once after a pause. Default: a fifth of a second's worth, at least 16k.",
  }),
  one<readonly NicFilter[]>(
    "filter",
    filterWords,
    (value) => (value === null || value.length === 0 ? "none" : value.join(" ")),
    {
      ...islet,
      sub: "filter",
      doc: "What leaves the container must be the nic's own: mac (its MAC address), ipv4, ipv6 (the addresses of lxc.net.N and the networks routed to it), all of these, or none (default).",
    },
  ),
];

export const isletNetRow: KeyRow = {
  key: "islet.net.",
  rest: "N.KEY",
  kind: "family",
  since: "islet",
  doc: "More about nic N of lxc.net, see below.",
  ...nicFamily("islet.net.", isletNicRows, (draft, index) => {
    const nic = findNic(draft, index);
    if (nic !== undefined) for (const row of isletNicRows) row.clear(nic);
  }),
};
