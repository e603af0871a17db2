import assert from "node:assert/strict";
import { test } from "node:test";

import {
  capabilityNumber,
  capData,
  capHeader,
  capabilitySet,
  capabilityNumbers,
  allCapabilities,
} from "../../../src/sys/capability.js";
import * as k from "../../../src/sys/flags.js";
import * as s from "../../../src/sys/structs.js";
import { runC } from "./c.js";

const SOURCE = `
#define _GNU_SOURCE
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <linux/sched.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/netlink.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <poll.h>
#include <time.h>
static void hex(const char *name, const void *p, size_t n)
{
    printf("%s ", name);
    for (size_t i = 0; i < n; i++) printf("%02x", ((const unsigned char *)p)[i]);
    printf("\\n");
}
#define SHOW(name, type, ...) do { type v; memset(&v, 0, sizeof v); __VA_ARGS__; hex(name, &v, sizeof v); } while (0)
int main(void)
{
    SHOW("clone_args", struct clone_args, v.flags = 0x300000000ULL | 0x20000; v.exit_signal = 17; v.cgroup = 9);
    SHOW("mount_attr", struct mount_attr, v.attr_set = 0x100000; v.attr_clr = 1; v.propagation = 1 << 18; v.userns_fd = 7);
    SHOW("open_how", struct open_how, v.flags = 0x80000; v.mode = 0644; v.resolve = 0x18);
    SHOW("rlimit64", struct rlimit64, v.rlim_cur = 1024; v.rlim_max = ~0ULL);
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    strcpy(un.sun_path, "/run/x");
    hex("unix_path", &un, offsetof(struct sockaddr_un, sun_path) + 7);
    memcpy(un.sun_path, "\\0name", 5);
    hex("unix_abstract", &un, offsetof(struct sockaddr_un, sun_path) + 5);
    SHOW("sockaddr_nl", struct sockaddr_nl, v.nl_family = AF_NETLINK; v.nl_pid = 5; v.nl_groups = 0x11);
    SHOW("ifreq", struct ifreq, strcpy(v.ifr_name, "eth0"));
    SHOW("sock_fprog", struct sock_fprog, v.len = 3);
    SHOW("winsize", struct winsize, v.ws_row = 24; v.ws_col = 80);
    SHOW("timespec", struct timespec, v.tv_sec = -2; v.tv_nsec = 500000000);
    SHOW("pollfd", struct pollfd, v.fd = -1; v.events = POLLIN);
    SHOW("cap_header", struct __user_cap_header_struct, v.version = _LINUX_CAPABILITY_VERSION_3; v.pid = 4);
    struct __user_cap_data_struct caps[2] = { { 0x3, 0x7, 0x1 }, { 0x100, 0x1ff, 0x0 } };
    hex("cap_data", caps, sizeof caps);
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE; attr.insn_cnt = 2; strcpy(attr.prog_name, "islet_dev");
    attr.expected_attach_type = BPF_CGROUP_DEVICE;
    attr.insns = 72; attr.license = 88;
    hex("bpf_load", &attr, 72);
    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_ARRAY; attr.key_size = 4; attr.value_size = 8; attr.max_entries = 1; strcpy(attr.map_name, "islet_limit");
    hex("bpf_map", &attr, 44);
    memset(&attr, 0, sizeof attr);
    attr.target_fd = 3; attr.attach_bpf_fd = 4; attr.attach_type = BPF_CGROUP_DEVICE; attr.attach_flags = BPF_F_ALLOW_MULTI; attr.replace_bpf_fd = 5;
    hex("bpf_attach", &attr, 20);
    memset(&attr, 0, sizeof attr);
    attr.query.attach_type = BPF_CGROUP_DEVICE; attr.query.prog_cnt = 4; attr.query.prog_ids = 40;
    hex("bpf_query", &attr, 40);
    memset(&attr, 0, sizeof attr);
    attr.info.info_len = 80; attr.info.info = 16;
    hex("bpf_info", &attr, 16);
    unsigned char info_at[] = { offsetof(struct bpf_prog_info, id), offsetof(struct bpf_prog_info, name), offsetof(struct bpf_prog_info, ifindex) };
    hex("bpf_prog_info", info_at, sizeof info_at);
    struct { struct msghdr h; struct iovec v; char control[CMSG_SPACE(8)]; char data[8]; } m;
    memset(&m, 0, sizeof m);
    m.h.msg_iov = (void *)offsetof(__typeof__(m), v); m.h.msg_iovlen = 1;
    m.h.msg_control = m.control; m.h.msg_controllen = sizeof m.control;
    m.v.iov_base = (void *)offsetof(__typeof__(m), data); m.v.iov_len = 2;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m.h);
    c->cmsg_len = CMSG_LEN(8); c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(c), (int[]){ 11, 12 }, 8);
    m.h.msg_control = (void *)offsetof(__typeof__(m), control);
    memcpy(m.data, "hi", 2);
    hex("message", &m, sizeof m);
    unsigned statx_at[] = { offsetof(struct statx, stx_mnt_id), sizeof(struct statx) };
    hex("statx", statx_at, sizeof statx_at);
    printf("seccomp_data %02zx%02zx%02zx%02zx\\n", offsetof(struct seccomp_data, nr), offsetof(struct seccomp_data, arch), offsetof(struct seccomp_data, args), sizeof(struct seccomp_data));
}
`;

const theirs = new Map(
  runC(SOURCE)
    .trim()
    .split("\n")
    .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The blob with its pointers replaced by the offsets they will point at. */
function relocated(blob: s.Blob): Uint8Array {
  const out = Buffer.from(blob.bytes);
  for (const { at, to } of blob.pointers) out.writeBigUInt64LE(BigInt(to), at);
  return out;
}

const OURS: Readonly<Record<string, () => Uint8Array>> = {
  clone_args: () =>
    s.cloneArgs({
      flags: k.CLONE_INTO_CGROUP | k.CLONE_CLEAR_SIGHAND | BigInt(k.CLONE_NEWNS),
      exitSignal: 17,
      cgroupFd: 9,
    }),
  mount_attr: () =>
    s.mountAttr({ set: k.MOUNT_ATTR_IDMAP, clear: k.MOUNT_ATTR_RDONLY, propagation: k.MS_PRIVATE, usernsFd: 7 }),
  open_how: () => s.openHow({ flags: k.O_CLOEXEC, mode: 0o644, resolve: k.RESOLVE_BENEATH | k.RESOLVE_IN_ROOT }),
  rlimit64: () => s.rlimit64(1024n, null),
  unix_path: () => s.sockaddrUnixPath("/run/x"),
  unix_abstract: () => s.sockaddrUnixAbstract("name"),
  sockaddr_nl: () => s.sockaddrNetlink(k.RTMGRP_LINK | k.RTMGRP_IPV4_IFADDR, 5),
  ifreq: () => s.ifreq("eth0"),
  sock_fprog: () => s.sockFprog(3),
  winsize: () => s.winsize(24, 80),
  timespec: () => s.timespec(-1_500_000_000n),
  pollfd: () => s.pollfd(-1, k.POLLIN),
  cap_header: () => capHeader(4),
  cap_data: () => capData({ effective: 0x100_0000_0003n, permitted: 0x1ff_0000_0007n, inheritable: 1n }),
  bpf_map: () => s.bpfMapCreate({ valueSize: 8, name: "islet_limit" }),
  bpf_load: () =>
    relocated(
      s.bpfProgLoad({
        type: k.BPF_PROG_TYPE_CGROUP_DEVICE,
        instructions: new Uint8Array(16),
        name: "islet_dev",
        expectedAttachType: k.BPF_CGROUP_DEVICE,
      }),
    ).subarray(0, 72),
  bpf_attach: () =>
    s.bpfProgAttach({ type: k.BPF_CGROUP_DEVICE, flags: k.BPF_F_ALLOW_MULTI, cgroupFd: 3, programFd: 4, replaceFd: 5 }),
  bpf_query: () => relocated(s.bpfProgQuery(k.BPF_CGROUP_DEVICE, 4)).subarray(0, 40),
  bpf_info: () => relocated(s.bpfProgInfo()).subarray(0, s.BPF_OBJ_INFO_SIZE),
  bpf_prog_info: () => Uint8Array.of(s.BPF_PROG_INFO_AT.id, s.BPF_PROG_INFO_AT.name, s.BPF_PROG_INFO_SIZE),
  statx: () => new Uint8Array(Uint32Array.of(s.STATX_AT.mnt_id, s.STATX_SIZE).buffer),
  message: () => {
    const message = s.sendMessage(new TextEncoder().encode("hi"), 2);
    const out = Buffer.from(relocated(message));
    message.fdAt.forEach((at, i) => out.writeInt32LE(11 + i, at));
    return out;
  },
  seccomp_data: () =>
    Uint8Array.of(s.SECCOMP_DATA_AT.nr, s.SECCOMP_DATA_AT.arch, s.SECCOMP_DATA_AT.args, s.SECCOMP_DATA_SIZE),
};

for (const [name, encode] of Object.entries(OURS)) {
  test(`${name} has the bytes that the C compiler lays out`, () => {
    assert.equal(hex(encode()), theirs.get(name));
  });
}

test("the kernel's sigaction and sigset have the layout of asm/signal.h", () => {
  // asm/signal.h cannot stand beside the C library's headers.
  const output = runC(`#include <asm/signal.h>
extern int printf(const char *, ...);
#define AT(field) (int)__builtin_offsetof(struct sigaction, field)
int main(void) { struct sigaction a; printf("%d %d %d %d %d\\n", AT(sa_handler), AT(sa_flags), AT(sa_mask), (int)sizeof a, (int)sizeof(sigset_t)); }`);
  const { handler, flags, mask } = s.SIGACTION_AT;
  assert.equal(output.trim(), `${handler} ${flags} ${mask} ${s.SIGACTION_SIZE} ${s.SIGSET_SIZE}`);
  assert.equal(hex(s.sigset([1, 2, 64])), "0300000000000080");
  assert.throws(() => s.sigset([65]), RangeError);
  assert.equal(hex(s.sigaction("ignore")).slice(0, 16), "0100000000000000");
});

test("a device number keeps its major and minor", () => {
  for (const [major, minor] of [
    [1, 3],
    [5, 2],
    [136, 0],
    [254, 1_048_575],
    [4095, 256],
    [8, 65_535],
  ] as const) {
    const device = s.makedev(major, minor);
    assert.deepEqual([s.majorOf(device), s.minorOf(device)], [major, minor]);
  }
  assert.equal(s.makedev(1, 3), 0x103);
  assert.equal(s.makedev(8, 256), 0x10_0800);
  assert.throws(() => s.makedev(4096, 0), RangeError);
  assert.throws(() => s.makedev(1, -1), RangeError);
});

test("names that the kernel refuses are refused before it sees them", () => {
  assert.throws(() => s.ifreq("sixteen-letters!"), RangeError);
  for (const bad of ["", ".", "..", "a/b", "a b", "a:1", "a\0b"])
    assert.throws(() => s.linkName(bad), RangeError, JSON.stringify(bad));
  assert.equal(s.linkName("fifteen-letters").length, 16);
  assert.throws(() => s.sockaddrUnixPath(`/${"x".repeat(107)}`), RangeError);
  assert.equal(s.sockaddrUnixPath(`/${"x".repeat(106)}`).length, 110);
  assert.throws(() => s.sockaddrUnixAbstract("x".repeat(108)), RangeError);
  assert.throws(
    () => s.bpfProgLoad({ type: 1, instructions: new Uint8Array(8), name: "sixteen-letters!" }),
    RangeError,
  );
  assert.throws(() => s.sockFprogWith(new Uint8Array(0)), RangeError);
});

test("capability names and numbers translate both ways, and sets are bit masks", () => {
  assert.equal(capabilityNumber("sys_admin"), 21);
  assert.equal(capabilityNumber("CAP_SYS_ADMIN"), 21);
  assert.equal(capabilityNumber("40"), 40);
  assert.equal(capabilityNumber("sys_admins"), undefined);
  assert.equal(capabilitySet([0, 40]), 0x100_0000_0001n);
  assert.deepEqual(capabilityNumbers(0x100_0000_0001n), [0, 40]);
  assert.equal(allCapabilities(), 0x1ff_ffff_ffffn);
});
