import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { archFromUname } from "../../../src/sys/arch.js";
import { errnoName, errnoNumber, showErrno, strerror } from "../../../src/sys/errno.js";
import * as k from "../../../src/sys/flags.js";
import {
  broadcastOf,
  classfulPrefix,
  formatIp,
  formatMac,
  networkOf,
  parseIp,
  parseIpv4,
  parseIpv6,
  parseMac,
  parsePrefixed,
} from "../../../src/sys/ip.js";
import { personaOf } from "../../../src/sys/personality.js";
import { rlimitName, rlimitNumber } from "../../../src/sys/rlimits.js";
import { parseSignal, signalName } from "../../../src/sys/signals.js";
import {
  isSyscallName,
  requireSyscall,
  syscallName,
  syscallNumber,
  SYSCALLS_ARM,
  SYSCALLS_X86_64,
} from "../../../src/sys/syscalls.js";

test("flags print as strace prints them", () => {
  assert.equal(k.showFlags(k.MS_FLAGS, k.MS_BIND | k.MS_REC), "MS_BIND|MS_REC");
  assert.equal(k.showFlags(k.MS_FLAGS, k.MS_BIND | 0x40000000), "MS_BIND|0x40000000");
  assert.equal(k.showFlags(k.MS_FLAGS, 0), "0");
  assert.equal(
    k.showFlags(k.CLONE_FLAGS, k.orFlags(k.CLONE_INTO_CGROUP, k.CLONE_NEWNS | k.CLONE_IO)),
    "CLONE_NEWNS|CLONE_IO|CLONE_INTO_CGROUP",
  );
  assert.equal(k.showFlags(k.CLONE_FLAGS, k.CLONE_IO | k.CLONE_NEWPID), "CLONE_NEWPID|CLONE_IO");
  assert.equal(k.showFlags(k.FSCONFIG_COMMANDS, 6), "FSCONFIG_CMD_CREATE");
  assert.equal(k.showFlags(k.FSCONFIG_COMMANDS, 99), "99");
  assert.equal(k.showFlags(k.TTY_IOCTLS, k.TIOCSPTLCK), "TIOCSPTLCK");
  assert.equal(k.showOpenFlags("x86_64", k.O_RDWR | k.O_CLOEXEC | 0o200000), "O_RDWR|O_CLOEXEC|O_DIRECTORY");
  assert.equal(k.showOpenFlags("arm64", k.O_PATH | 0o40000), "O_RDONLY|O_PATH|O_DIRECTORY");
  assert.equal(k.showOpenFlags("x86_64", 0), "O_RDONLY");
  assert.equal(k.showMode(k.S_IFCHR | 0o666), "S_IFCHR|0666");
  assert.equal(k.showMode(0o1777), "01777");
  assert.equal(k.showMode(0o7), "0007");
});

test("a set of single bits prints so that its names add up to it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
      const text = k.showFlags(k.MS_FLAGS, value);
      const sum = text.split("|").reduce((rest, part) => rest | BigInt(k.MS_FLAGS.names[part] ?? part), 0n);
      assert.equal(sum, BigInt(value));
    }),
  );
});

test("errno numbers, names and texts", () => {
  assert.equal(errnoNumber("EWOULDBLOCK"), 11);
  assert.equal(errnoNumber("ENOTSUP"), 95);
  assert.equal(errnoNumber("toString"), undefined);
  assert.equal(errnoName(-1), "EPERM");
  assert.equal(errnoName(4000), "errno 4000");
  assert.equal(strerror(0), "Success");
  assert.equal(strerror(4000), "Unknown error 4000");
  assert.equal(showErrno(2), "ENOENT (No such file or directory)");
});

test("signals are read in LXC's notation", () => {
  const good: Readonly<Record<string, number>> = {
    "9": 9,
    SIGPWR: 30,
    sigpwr: 30,
    SigInt: 2,
    SIGRTMIN: 34,
    "SIGRTMIN+3": 37,
    "sigrtmin+4": 38,
    SIGRTMAX: 64,
    "SIGRTMAX-1": 63,
    SIGCLD: 17,
    "64": 64,
  };
  for (const [text, nr] of Object.entries(good)) assert.equal(parseSignal(text), nr, text);
  for (const bad of [
    "PWR",
    "0",
    "65",
    "-1",
    "SIG",
    "SIGFOO",
    "SIGRTMIN-1",
    "SIGRTMAX+1",
    "SIGRTMIN+31",
    "SIGRTMAX-31",
    "",
    " 9",
    "9 ",
    "SIGtoString",
  ]) {
    assert.equal(parseSignal(bad), undefined, bad);
  }
  for (let nr = 1; nr <= 64; nr += 1) if (nr !== 32 && nr !== 33) assert.equal(parseSignal(signalName(nr)), nr);
});

test("limits and architectures by LXC's names", () => {
  assert.equal(rlimitNumber("nofile"), 7);
  assert.equal(rlimitNumber("NOFILE"), undefined);
  assert.equal(rlimitName(15), "RLIMIT_RTTIME");
  assert.equal(personaOf("i686"), "linux32");
  assert.equal(personaOf("aarch64"), "linux");
  assert.equal(personaOf("vax"), undefined);
  assert.equal(archFromUname("aarch64"), "arm64");
  assert.equal(archFromUname("s390x"), undefined);
});

test("system calls are found by name and number under every ABI", () => {
  assert.equal(syscallNumber("arm64", "open"), undefined);
  assert.throws(() => requireSyscall("arm64", "open"), /arm64 has no system call open/);
  assert.equal(requireSyscall("arm64", "openat"), 56);
  assert.equal(syscallNumber("x32", "ioctl"), 0x4000_0000 + 514);
  assert.equal(syscallNumber("x32", "read"), 0x4000_0000);
  assert.equal(syscallNumber("x32", "uselib"), undefined);
  assert.equal(syscallName("x32", 0x4000_0000 + 16), undefined, "16 is x86_64's ioctl, which x32 has not");
  assert.equal(syscallNumber("x86_64", "toString"), undefined);
  assert.ok(isSyscallName("socketcall") && !isSyscallName("socketcal"));
  for (const name of Object.keys(SYSCALLS_X86_64))
    assert.equal(syscallName("x86_64", syscallNumber("x86_64", name) ?? -1), name);
  assert.equal(SYSCALLS_ARM.set_tls, 0xf0005);
});

const V4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
const V6 = fc.uint8Array({ minLength: 16, maxLength: 16 });

test("addresses keep their bytes through text", () => {
  fc.assert(fc.property(V4, (bytes) => assert.deepEqual(parseIpv4(formatIp(bytes)), bytes)));
  fc.assert(fc.property(V6, (bytes) => assert.deepEqual(parseIpv6(formatIp(bytes)), bytes)));
  const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(sparse, (bytes) =>
      assert.deepEqual(parseIpv6(formatIp(Uint8Array.from(bytes))), Uint8Array.from(bytes)),
    ),
  );
});

test("IPv6 is written as inet_ntop writes it", () => {
  const cases: Readonly<Record<string, string>> = {
    "::": "::",
    "0:0:0:0:0:0:0:1": "::1",
    "FE80:0:0:0:1:0:0:1": "fe80::1:0:0:1",
    "1:0:0:2:0:0:0:3": "1:0:0:2::3",
    "::ffff:10.0.0.1": "::ffff:10.0.0.1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "1::": "1::",
    "::1.2.3.4": "::1.2.3.4",
  };
  for (const [text, canonical] of Object.entries(cases))
    assert.equal(formatIp(parseIpv6(text) ?? new Uint8Array()), canonical, text);
});

test("texts that are no addresses are refused", () => {
  for (const bad of ["1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "", "a.b.c.d", "1..2.3"])
    assert.equal(parseIpv4(bad), undefined, bad);
  const bad6 = [
    "",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "::1.2.3",
    "1.2.3.4::",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7:8::",
    ":1:2:3:4:5:6:7:8",
    "1:",
  ];
  for (const bad of bad6) assert.equal(parseIpv6(bad), undefined, bad);
  for (const bad of ["10.0.0.1/33", "10.0.0.1/", "10.0.0.1/-1", "10.0.0.1/8/8", "/8"])
    assert.equal(parsePrefixed("ipv4", bad), undefined, bad);
  for (const bad of [
    "00:16:3e:aa:bb",
    "00:16:3e:aa:bb:cc:dd",
    "00-16-3e-aa-bb-cc",
    "0016:3e:aa:bb:cc:dd",
    "xx:16:3e:aa:bb:cc",
  ])
    assert.equal(parseMac(bad), undefined, bad);
});

test("networks: prefix, class, broadcast", () => {
  const address = parseIpv4("10.0.3.17") ?? new Uint8Array();
  assert.deepEqual(parsePrefixed("ipv4", "10.0.3.17/24"), { address, prefix: 24 });
  assert.deepEqual(parsePrefixed("ipv4", "10.0.3.17"), { address, prefix: null });
  assert.equal(formatIp(broadcastOf(address, 24)), "10.0.3.255");
  assert.equal(formatIp(broadcastOf(address, 22)), "10.0.3.255");
  assert.equal(formatIp(networkOf(address, 22)), "10.0.0.0");
  assert.equal(formatIp(networkOf(parseIp("ipv6", "fd00::ffff") ?? address, 120)), "fd00::ff00");
  const classes = {
    "10.0.0.1": 8,
    "172.16.0.1": 16,
    "192.168.1.1": 24,
    "127.0.0.1": 8,
    "191.255.0.1": 16,
    "0.0.0.0": 0,
  };
  for (const [text, prefix] of Object.entries(classes))
    assert.equal(classfulPrefix(parseIpv4(text) ?? address), prefix, text);
  assert.equal(formatMac(parseMac("0:16:3E:aa:b:cc") ?? address), "00:16:3e:aa:0b:cc");
});
