import { close, openat, writeText } from "../../program/calls.js";
import { EPERM } from "../../sys/errno.js";
import { O_RDONLY, O_WRONLY } from "../../sys/flags.js";
import { type Block, buffer, call, cwdFd, fail, imm, jump, label, load, place, slot } from "./parts.js";
import type { Family } from "../../sys/ip.js";

/** A switch of the host's for one interface, or for `all` of them (ip-sysctl.rst). */
export interface InterfaceSwitch {
  readonly family: Family;
  readonly link: string;
  readonly name: "forwarding" | "proxy_ndp";
}

// /proc/sys/net is that of the reader's network namespace, whichever procfs it is.
function pathOf(one: InterfaceSwitch): string {
  return `/proc/sys/net/${one.family}/conf/${one.link}/${one.name}`;
}

/** As sysctl(8) takes it: a name with a dot in it needs slashes between the others. */
export function sysctlName(one: InterfaceSwitch): string {
  const words = ["net", one.family, "conf", one.link, one.name];
  return words.join(one.link.includes(".") ? "/" : ".");
}

const missing = (one: InterfaceSwitch): string =>
  one.family === "ipv6" ? "the host has no IPv6, or not on this interface" : "there is no such interface on the host";

/** Fails, with what is to be set, unless the switch is on. */
export function requireSwitch(block: Block, one: InterfaceSwitch, what: string): void {
  const name = sysctlName(one);
  const note = `see whether ${name} is on`;
  const fd = slot(block.build, "sysctl");
  const digit = buffer(block.build, 8, "digit");
  const value = slot(block.build, one.name);
  const on = label(`${name} is on`);
  openat(block, cwdFd, pathOf(one), O_RDONLY, fd, { note, hints: { ENOENT: missing(one) } });
  call(block, "read", [fd, digit, imm(1)], { note, full: true });
  close(block, fd, `close ${name}`);
  load(block, value, digit, 1, `take the value of ${name}`);
  jump(block, on, `${name} is on`, "ne", value, imm(0x30, "'0'"));
  fail(block, EPERM, {
    note: `${what} requires the sysctl ${name}=1 on the host`,
    hints: { any: `set it: sysctl -w ${name}=1` },
  });
  place(block, on);
}

/** Turns the switch on; it goes with its interface. */
export function turnOn(block: Block, one: InterfaceSwitch): void {
  const name = sysctlName(one);
  const fd = slot(block.build, "sysctl");
  const hints = { ENOENT: missing(one), EROFS: "/proc/sys is read-only here" };
  openat(block, cwdFd, pathOf(one), O_WRONLY, fd, { note: `open the sysctl ${name}`, hints });
  writeText(block, fd, "1", { note: `turn ${name} on`, hints });
  close(block, fd, `close ${name}`);
}
