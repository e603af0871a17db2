/**
 * What bytes.test.ts runs in processes of their own: it hands structures made in TypeScript to the kernel and prints, as JSON, what came
 * of it. The first argument says what.
 */
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { compileDeviceRules } from "../../src/plan/device-bpf.js";
import { compileSeccomp, parseSeccomp } from "../../src/plan/seccomp.js";
import { beginProgram, blob, call, end, finishProgram, imm, slot, type Block } from "../../src/program/assembler.js";
import { encodeProgram } from "../../src/program/encode.js";
import { run, syscall } from "../../src/host/addon.js";
import type { DeviceRule } from "../../src/spec/cgroup.js";
import { archFromUname } from "../../src/sys/arch.js";
import { errnoName } from "../../src/sys/errno.js";
import * as k from "../../src/sys/flags.js";
import { broadcastOf, parseIpv4, parseIpv6 } from "../../src/sys/ip.js";
import { parseAddresses, parseLinks } from "../../src/sys/netlink-parse.js";
import * as n from "../../src/sys/netlink.js";
import { parseMessages, parseNetlinkError } from "../../src/sys/nlmsg.js";
import * as s from "../../src/sys/structs.js";
import { requireSyscall, type SyscallName } from "../../src/sys/syscalls.js";

const arch = archFromUname(process.arch) ?? unsupported();

function unsupported(): never {
  throw new Error(`no tables for ${process.arch}`);
}

/** A system call's result: a number, or the name of its errno. */
function ask(name: SyscallName, ...args: readonly (number | bigint | Uint8Array)[]): number | string {
  const result = syscall(requireSyscall(arch, name), args);
  return result < 0 ? errnoName(result) : result;
}

/** One system call with structures that point at each other. */
function one(name: SyscallName, build: (block: Block) => Parameters<typeof call>[2]): number {
  const block = beginProgram(arch, "test");
  const out = slot(block.build, "result");
  call(block, name, build(block), { note: name, out });
  end(block, out, "the result");
  const result = run(encodeProgram(finishProgram(block.build)), []);
  if (result.kind === "ok") return result.result;
  const errno = new DataView(result.record.buffer, result.record.byteOffset).getInt32(8, true);
  throw new Error(`${name}: ${errnoName(errno)}`);
}

function seccomp(text: string): unknown {
  const parsed = parseSeccomp(text, "test");
  if (parsed.kind === "faults") throw new Error(JSON.stringify(parsed.faults));
  const filter = compileSeccomp(parsed.policy, arch);
  one("seccomp", (block) => [
    imm(k.SECCOMP_SET_MODE_FILTER),
    imm(0),
    blob(block.build, s.sockFprogWith(filter), "filter"),
  ]);
  const nowhere = Buffer.from("/islt-no-such-directory\0");
  return {
    kexec: ask("kexec_load", 0, 0, 0, 0),
    forced: ask("umount2", nowhere, k.MNT_FORCE),
    gentle: ask("umount2", nowhere, k.MNT_DETACH),
    personality: ask("personality", 0x20008),
    personalityRead: typeof ask("personality", 0xffff_ffff),
    pid: ask("getpid") === process.pid,
  };
}

const device = (
  allow: boolean,
  type: "a" | "c",
  major: number | null,
  minor: number | null,
  access: string,
): DeviceRule => ({
  allow,
  type,
  major,
  minor,
  read: access.includes("r"),
  write: access.includes("w"),
  mknod: access.includes("m"),
  at: null,
});

/** Joins a cgroup of its own in `hierarchy` with a device program on it. */
function devices(hierarchy: string): unknown {
  const dir = `${hierarchy}/islt-bytes-${process.pid}`;
  mkdirSync(dir);
  try {
    const rules = [device(false, "a", null, null, ""), device(true, "c", 1, 3, "rw"), device(true, "c", 1, null, "m")];
    const instructions = compileDeviceRules(rules, "allow");
    const load = s.bpfProgLoad({ type: k.BPF_PROG_TYPE_CGROUP_DEVICE, instructions, name: "islt_test" });
    const program = one("bpf", (block) => [
      imm(k.BPF_PROG_LOAD),
      blob(block.build, load, "attr"),
      imm(s.BPF_PROG_LOAD_SIZE),
    ]);
    const cgroup = ask(
      "openat",
      k.AT_FDCWD,
      Buffer.from(`${dir}\0`),
      k.O_RDONLY | k.openFlags(arch).O_DIRECTORY | k.O_CLOEXEC,
      0,
    );
    if (typeof cgroup === "string") throw new Error(cgroup);
    const attach = s.bpfProgAttach({
      type: k.BPF_CGROUP_DEVICE,
      flags: k.BPF_F_ALLOW_MULTI,
      cgroupFd: cgroup,
      programFd: program,
    });
    const attached = ask("bpf", k.BPF_PROG_ATTACH, attach, attach.length);
    writeFileSync(`${dir}/cgroup.procs`, String(process.pid));
    const open = (path: string, flags: number): number | string => {
      const fd = ask("openat", k.AT_FDCWD, Buffer.from(`${path}\0`), flags | k.O_CLOEXEC, 0);
      return typeof fd === "string" ? fd : ask0("close", fd);
    };
    const node = Buffer.from(`/tmp/islt-bytes-node-${process.pid}\0`);
    const make = (major: number, minor: number): number | string => {
      const made = ask("mknodat", k.AT_FDCWD, node, k.S_IFCHR | 0o600, s.makedev(major, minor));
      if (made === 0) ask0("unlinkat", k.AT_FDCWD, node, 0);
      return made;
    };
    return {
      attached,
      null: open("/dev/null", k.O_RDWR),
      zero: open("/dev/zero", k.O_RDONLY),
      full: make(1, 7),
      tty: make(5, 0),
    };
  } finally {
    writeFileSync(`${hierarchy}/cgroup.procs`, String(process.pid));
    rmdirSync(dir);
  }
}

function ask0(name: SyscallName, ...args: readonly (number | bigint | Uint8Array)[]): number {
  const result = ask(name, ...args);
  if (result !== 0) throw new Error(`${name}: ${result}`);
  return result;
}

/** In a network namespace of its own. */
function netlink(): unknown {
  const open = ask("socket", k.AF_NETLINK, k.SOCK_RAW | k.SOCK_CLOEXEC, k.NETLINK_ROUTE);
  if (typeof open === "string") throw new Error(open);
  const socket = open;
  ask0("bind", socket, s.sockaddrNetlink(), 12);
  ask0("setsockopt", socket, k.SOL_NETLINK, k.NETLINK_EXT_ACK, Uint8Array.of(1, 0, 0, 0), 4);
  const receive = (): Uint8Array => {
    const buffer = new Uint8Array(65536);
    const size = ask("recvfrom", socket, buffer, buffer.length, 0, 0, 0);
    if (typeof size === "string") throw new Error(size);
    return buffer.subarray(0, size);
  };
  const send = (message: Uint8Array): void => {
    if (ask("sendto", socket, message, message.length, 0, 0, 0) !== message.length) throw new Error("sendto");
  };
  const request = (message: { readonly bytes: Uint8Array }): string => {
    send(message.bytes);
    const error = parseMessages(receive()).map(parseNetlinkError).at(-1);
    if (error === undefined) throw new Error("no acknowledgement");
    return error.errno === 0 ? "ok" : `${errnoName(error.errno)} ${error.message ?? ""}`.trim();
  };
  const dump = <T>(
    message: Uint8Array,
    parse: (bytes: Uint8Array) => { readonly done: boolean; readonly items: readonly T[] },
  ): readonly T[] => {
    send(message);
    let all = new Uint8Array();
    for (;;) {
      all = Uint8Array.from([...all, ...receive()]);
      const result = parse(all);
      if (result.done) return result.items;
    }
  };
  const v4 = parseIpv4("10.9.0.2") ?? unsupported();
  const gateway = parseIpv4("10.9.0.1") ?? unsupported();
  const v6 = parseIpv6("fd00::2") ?? unsupported();
  const results = [
    request(n.setLink({ name: "lo", up: true })),
    request(n.newLinkVeth({ name: "islt-a", peerName: "islt-b", mtu: 1400, peerMtu: 1400, up: true })),
  ];
  const index = (name: string): number =>
    dump(n.dumpLinks(1).bytes, parseLinks).find((link) => link.name === name)?.index ?? -1;
  const a = index("islt-a");
  results.push(
    request(n.newAddress({ index: a, address: v4, prefix: 24, broadcast: broadcastOf(v4, 24) })),
    request(n.newAddress({ index: a, address: v6, prefix: 64, noDad: true })),
    request(n.newRoute({ family: "ipv4", gateway, index: a })),
    request(n.newRoute({ family: "ipv4", gateway, index: a })),
    request(n.setLink({ index: index("islt-b"), up: false })),
    request(n.setLink({ index: index("islt-b"), rename: "islt-c", mtu: 1300 })),
    request(n.delLink({ name: "islt-b" })),
  );
  const links = dump(n.dumpLinks(2).bytes, parseLinks).map(({ name, mtu, kind }) => ({ name, mtu, kind }));
  const addresses = dump(n.dumpAddresses("ipv4", 3).bytes, parseAddresses)
    .filter((address) => address.index === a)
    .map(({ address, prefix, broadcast }) => ({ address, prefix, broadcast }));
  return { results, links, addresses };
}

/** The structures of calls that need nothing but the call. */
function calls(): unknown {
  return {
    limit: ask("prlimit64", 0, 4, s.rlimit64(0n, 0n), 0),
    limitAfter: (() => {
      const out = new Uint8Array(16).fill(1);
      ask0("prlimit64", 0, 4, 0, out);
      return [...out].every((byte) => byte === 0);
    })(),
    openat2: typeof ask(
      "openat2",
      k.AT_FDCWD,
      Buffer.from("/proc\0"),
      s.openHow({ flags: k.O_PATH | k.O_CLOEXEC, resolve: k.RESOLVE_NO_MAGICLINKS }),
      s.OPEN_HOW_SIZE,
    ),
    escape: (() => {
      const dir = ask("openat", k.AT_FDCWD, Buffer.from("/tmp\0"), k.O_PATH | k.O_CLOEXEC, 0);
      return typeof dir === "string"
        ? dir
        : ask(
            "openat2",
            dir,
            Buffer.from("../etc\0"),
            s.openHow({ flags: k.O_PATH | k.O_CLOEXEC, resolve: k.RESOLVE_BENEATH }),
            s.OPEN_HOW_SIZE,
          );
    })(),
    action: ask("rt_sigaction", 12, s.sigaction("ignore"), 0, s.SIGSET_SIZE),
    nap: ask("ppoll", 0, 0, s.timespec(1_000_000n), 0, s.SIGSET_SIZE),
  };
}

const [what, argument = ""] = process.argv.slice(2);
const jobs: Readonly<Record<string, () => unknown>> = {
  seccomp: () => seccomp(argument),
  devices: () => devices(argument),
  netlink,
  calls,
};
process.stdout.write(JSON.stringify((jobs[what ?? ""] ?? unsupported)()));
