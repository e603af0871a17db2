/**
 * Structures that system calls take, as bytes. All of them have the same layout on x86_64 and arm64 (the suite compares it
 * with the headers). What is known only at run time (pointers, descriptors, process ids) stays zero; the *_AT tables
 * give the byte offset and the width of every field that a launch program stores into or relocates.
 */
import { align, cString, concat, pack, view, type Int } from "./bytes.js";
import { BPF_MAP_TYPE_ARRAY } from "./flags.js";

/** An 8-byte pointer inside a blob of bytes: the word at `at` must become the address of offset `to` of the same blob. */
export interface Pointer {
  readonly at: number;
  readonly to: number;
}

/** Bytes with pointers into themselves. `at` must stay 8-aligned where the blob is placed. */
export interface Blob {
  readonly bytes: Uint8Array;
  readonly pointers: readonly Pointer[];
}

/** struct clone_args (clone3(2)), version 2: 88 bytes; every field is 8 bytes wide. `pidfd` is a pointer to an s32. */
export const CLONE_ARGS_AT = {
  flags: 0,
  pidfd: 8,
  child_tid: 16,
  parent_tid: 24,
  exit_signal: 32,
  stack: 40,
  stack_size: 48,
  tls: 56,
  set_tid: 64,
  set_tid_size: 72,
  cgroup: 80,
} as const;
export const CLONE_ARGS_SIZE = 88;

/** clone_args without a stack (the child goes on with a copy of the parent's). `exitSignal`: usually SIGCHLD, 17. */
export function cloneArgs(args: {
  readonly flags: Int;
  readonly exitSignal: number;
  readonly cgroupFd?: number;
}): Uint8Array {
  return pack(CLONE_ARGS_SIZE)
    .u64(CLONE_ARGS_AT.flags, args.flags)
    .u64(CLONE_ARGS_AT.exit_signal, args.exitSignal)
    .u64(CLONE_ARGS_AT.cgroup, args.cgroupFd ?? 0).bytes;
}

/** struct mount_attr (mount_setattr(2)): 32 bytes, four u64. */
export const MOUNT_ATTR_AT = { attr_set: 0, attr_clr: 8, propagation: 16, userns_fd: 24 } as const;
export const MOUNT_ATTR_SIZE = 32;

/** `propagation` is one of MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0 (unchanged). */
export function mountAttr(attr: {
  readonly set?: Int;
  readonly clear?: Int;
  readonly propagation?: Int;
  readonly usernsFd?: number;
}): Uint8Array {
  return pack(MOUNT_ATTR_SIZE)
    .u64(MOUNT_ATTR_AT.attr_set, attr.set ?? 0)
    .u64(MOUNT_ATTR_AT.attr_clr, attr.clear ?? 0)
    .u64(MOUNT_ATTR_AT.propagation, attr.propagation ?? 0)
    .u64(MOUNT_ATTR_AT.userns_fd, attr.usernsFd ?? 0).bytes;
}

/** struct open_how (openat2(2)): 24 bytes, three u64. */
export const OPEN_HOW_SIZE = 24;

/** `mode` must be 0 unless flags has O_CREAT or O_TMPFILE (openat2 refuses it). */
export function openHow(how: { readonly flags: Int; readonly mode?: Int; readonly resolve?: Int }): Uint8Array {
  return pack(OPEN_HOW_SIZE)
    .u64(0, how.flags)
    .u64(8, how.mode ?? 0)
    .u64(16, how.resolve ?? 0).bytes;
}

/** RLIM_INFINITY of prlimit64(2). */
export const RLIM64_INFINITY = 0xffff_ffff_ffff_ffffn;

/** struct rlimit64: 16 bytes. null is unlimited. */
export function rlimit64(soft: bigint | null, hard: bigint | null): Uint8Array {
  return pack(16)
    .u64(0, soft ?? RLIM64_INFINITY)
    .u64(8, hard ?? RLIM64_INFINITY).bytes;
}

/** sizeof(sun_path). */
export const UNIX_PATH_MAX = 108;

/** struct sockaddr_un of a path (unix(7)); the array's length is the address length. Throws RangeError above 107 bytes. */
export function sockaddrUnixPath(path: string): Uint8Array {
  const text = cString(path);
  if (text.length > UNIX_PATH_MAX)
    throw new RangeError(`socket path of ${text.length - 1} bytes, at most ${UNIX_PATH_MAX - 1}: ${path}`);
  return pack(2 + text.length)
    .u16(0, 1)
    .put(2, text).bytes;
}

/** struct sockaddr_un of an abstract name (without its leading NUL). Throws RangeError above 107 bytes. */
export function sockaddrUnixAbstract(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  if (text.length >= UNIX_PATH_MAX)
    throw new RangeError(`abstract socket name of ${text.length} bytes, at most ${UNIX_PATH_MAX - 1}`);
  return pack(3 + text.length)
    .u16(0, 1)
    .put(3, text).bytes;
}

/** struct sockaddr_nl: 12 bytes. `pid` 0 lets the kernel choose; `groups` is a mask of RTMGRP_*. */
export function sockaddrNetlink(groups = 0, pid = 0): Uint8Array {
  return pack(12).u16(0, 16).u32(4, pid).u32(8, groups).bytes;
}

/** struct sockaddr_in (ip(7)): 16 bytes; port and address are big-endian. */
export const SOCKADDR_IN_AT = { port: 2, address: 4 } as const;
export const SOCKADDR_IN_SIZE = 16;
export function sockaddrInet(address: Uint8Array, port: number): Uint8Array {
  return pack(SOCKADDR_IN_SIZE)
    .u16(0, 2)
    .put(SOCKADDR_IN_AT.port, Uint8Array.of(port >> 8, port & 0xff))
    .put(SOCKADDR_IN_AT.address, address).bytes;
}

/** struct sockaddr_ll (packet(7)) of everybody on an Ethernet link; its protocol is big-endian. */
export const SOCKADDR_LL_AT = { ifindex: 4 } as const;
export function sockaddrPacketBroadcast(protocol: number): Uint8Array {
  return pack(20)
    .u16(0, 17)
    .put(2, Uint8Array.of(protocol >> 8, protocol & 0xff))
    .u8(11, 6)
    .put(12, new Uint8Array(6).fill(0xff)).bytes;
}

/** struct msghdr (recvmsg(2)): 56 bytes. name, iov and control are pointers; namelen is u32, the lengths u64, flags s32. */
export const MSGHDR_AT = { name: 0, namelen: 8, iov: 16, iovlen: 24, control: 32, controllen: 40, flags: 48 } as const;
export const MSGHDR_SIZE = 56;
/** struct iovec: pointer and u64 length. */
export const IOVEC_AT = { base: 0, len: 8 } as const;
export const IOVEC_SIZE = 16;
/** struct cmsghdr: u64 length (header included), s32 level, s32 type; then the data. */
export const CMSGHDR_SIZE = 16;

/** A whole sendmsg(2) or recvmsg(2): msghdr at offset 0, one iovec, the data, and room for `fds` descriptors. */
export interface Message extends Blob {
  /** Offset and length of the data. */
  readonly dataAt: number;
  readonly dataLength: number;
  /** Offset of the control message, 8-aligned; `controlLength` 0: none. */
  readonly controlAt: number;
  readonly controlLength: number;
  /** Offsets of the s32 descriptors. */
  readonly fdAt: readonly number[];
}

/** A message to send: `data` with `fds` descriptors (SCM_RIGHTS), which the program stores at `fdAt`. At least one byte of data. */
export function sendMessage(data: Uint8Array, fds: number): Message {
  return message(data, fds);
}

/** A message to receive: room for `size` bytes and `fds` descriptors. */
export function receiveMessage(size: number, fds: number): Message {
  return message(new Uint8Array(size), fds);
}

function message(data: Uint8Array, fds: number): Message {
  const controlAt = MSGHDR_SIZE + IOVEC_SIZE;
  const controlLength = fds === 0 ? 0 : align(CMSGHDR_SIZE + 4 * fds, 8);
  const dataAt = controlAt + controlLength;
  const out = pack(align(dataAt + data.length, 8))
    .u64(MSGHDR_AT.iovlen, 1)
    .u64(MSGHDR_AT.controllen, controlLength)
    .u64(MSGHDR_SIZE + IOVEC_AT.len, data.length)
    .put(dataAt, data);
  const pointers: Pointer[] = [
    { at: MSGHDR_AT.iov, to: MSGHDR_SIZE },
    { at: MSGHDR_SIZE + IOVEC_AT.base, to: dataAt },
  ];
  if (fds > 0) {
    // cmsg_level SOL_SOCKET 1, cmsg_type SCM_RIGHTS 1
    out
      .u64(controlAt, CMSGHDR_SIZE + 4 * fds)
      .u32(controlAt + 8, 1)
      .u32(controlAt + 12, 1);
    pointers.push({ at: MSGHDR_AT.control, to: controlAt });
  }
  const fdAt = Array.from({ length: fds }, (_, i) => controlAt + CMSGHDR_SIZE + 4 * i);
  return { bytes: out.bytes, pointers, dataAt, dataLength: data.length, controlAt, controlLength, fdAt };
}

/** sizeof(ifr_name), and the longest name of a link plus one. */
export const IFNAMSIZ = 16;
/** struct ifreq: 40 bytes; the name, then at 16 an s16 of flags, an s32 index or mtu, or a sockaddr. */
export const IFREQ_AT = { name: 0, flags: 16, ifindex: 16, mtu: 16, newname: 16, hwaddr: 16 } as const;
export const IFREQ_SIZE = 40;

/** struct ifreq with a name, everything else zero. Throws RangeError above 15 bytes. */
export function ifreq(name: string): Uint8Array {
  return pack(IFREQ_SIZE).put(0, linkName(name)).bytes;
}

/** An ifreq that points to a struct ethtool_value (linux/ethtool.h): a command and its value, u32 each. */
export function ethtoolRequest(name: string, command: number): Blob {
  const bytes = pack(IFREQ_SIZE + 8)
    .put(0, ifreq(name))
    .u32(IFREQ_SIZE, command).bytes;
  return { bytes, pointers: [{ at: 16, to: IFREQ_SIZE }] };
}
/** Has it a carrier? */
export const ETHTOOL_GLINK = 0x0000000a;

/** The NUL-terminated name of a network link; throws RangeError for what the kernel refuses (dev_valid_name). */
export function linkName(name: string): Uint8Array {
  const text = cString(name);
  if (text.length > IFNAMSIZ || text.length < 2)
    throw new RangeError(`link name of ${text.length - 1} bytes, 1 to ${IFNAMSIZ - 1} allowed: ${name}`);
  if (name === "." || name === ".." || /[/:\s]/.test(name))
    throw new RangeError(`a link cannot be called ${JSON.stringify(name)}`);
  return text;
}

/** struct sock_fprog (seccomp(2)): 16 bytes, u16 count of instructions, pointer to them at 8. */
export const SOCK_FPROG_AT = { len: 0, filter: 8 } as const;
export function sockFprog(instructions: number): Uint8Array {
  return pack(16).u16(SOCK_FPROG_AT.len, instructions).bytes;
}

/** sock_fprog together with its instructions (8 bytes each), the pointer filled by relocation. Throws RangeError above BPF_MAXINSNS. */
export function sockFprogWith(filter: Uint8Array): Blob {
  const count = filter.length / 8;
  if (!Number.isInteger(count) || count < 1 || count > 4096)
    throw new RangeError(`a filter of ${count} instructions, 1 to 4096 allowed`);
  return { bytes: concat([sockFprog(count), filter]), pointers: [{ at: SOCK_FPROG_AT.filter, to: 16 }] };
}

/** union bpf_attr of BPF_PROG_LOAD (bpf(2)), as far as expected_attach_type: 72 bytes. insns, license and log_buf are pointers. */
export const BPF_PROG_LOAD_AT = {
  prog_type: 0,
  insn_cnt: 4,
  insns: 8,
  license: 16,
  log_level: 24,
  log_size: 28,
  log_buf: 32,
  prog_flags: 44,
  prog_name: 48,
  expected_attach_type: 68,
} as const;
export const BPF_PROG_LOAD_SIZE = 72;

/** bpf_attr, instructions (8 bytes each) and the license text "GPL" in one blob; bpf(2) gets offset 0 and BPF_PROG_LOAD_SIZE. */
export function bpfProgLoad(load: {
  readonly type: number;
  readonly instructions: Uint8Array;
  /** At most 15 characters of [A-Za-z0-9_.]; it shows in bpftool. */
  readonly name?: string;
  readonly expectedAttachType?: number;
}): Blob {
  const name = cString(load.name ?? "");
  if (name.length > 16 || !/^[\w.]*$/.test(load.name ?? ""))
    throw new RangeError(`bad BPF program name ${load.name ?? ""}`);
  const license = BPF_PROG_LOAD_SIZE + load.instructions.length;
  const bytes = pack(align(license + 4, 8))
    .u32(BPF_PROG_LOAD_AT.prog_type, load.type)
    .u32(BPF_PROG_LOAD_AT.insn_cnt, load.instructions.length / 8)
    .put(BPF_PROG_LOAD_AT.prog_name, name)
    .u32(BPF_PROG_LOAD_AT.expected_attach_type, load.expectedAttachType ?? 0)
    .put(BPF_PROG_LOAD_SIZE, load.instructions)
    .put(license, cString("GPL")).bytes;
  return {
    bytes,
    pointers: [
      { at: BPF_PROG_LOAD_AT.insns, to: BPF_PROG_LOAD_SIZE },
      { at: BPF_PROG_LOAD_AT.license, to: license },
    ],
  };
}

/** union bpf_attr of BPF_MAP_CREATE for an array of one value, as far as map_name: 44 bytes. */
export const BPF_MAP_CREATE_SIZE = 44;
export function bpfMapCreate(map: { readonly valueSize: number; readonly name: string }): Uint8Array {
  const name = cString(map.name);
  if (name.length > 16) throw new RangeError(`bad BPF map name ${map.name}`);
  return pack(BPF_MAP_CREATE_SIZE).u32(0, BPF_MAP_TYPE_ARRAY).u32(4, 4).u32(8, map.valueSize).u32(12, 1).put(28, name)
    .bytes;
}

/** union bpf_attr of BPF_PROG_ATTACH and BPF_PROG_DETACH: 20 bytes of u32. */
export const BPF_PROG_ATTACH_AT = {
  target_fd: 0,
  attach_bpf_fd: 4,
  attach_type: 8,
  attach_flags: 12,
  replace_bpf_fd: 16,
} as const;
export const BPF_PROG_ATTACH_SIZE = 20;

/** The descriptors (cgroup, program, with BPF_F_REPLACE the one replaced) may be stored later. */
export function bpfProgAttach(attach: {
  readonly type: number;
  readonly flags?: number;
  readonly cgroupFd?: number;
  readonly programFd?: number;
  readonly replaceFd?: number;
}): Uint8Array {
  return pack(BPF_PROG_ATTACH_SIZE)
    .u32(BPF_PROG_ATTACH_AT.target_fd, attach.cgroupFd ?? 0)
    .u32(BPF_PROG_ATTACH_AT.attach_bpf_fd, attach.programFd ?? 0)
    .u32(BPF_PROG_ATTACH_AT.attach_type, attach.type)
    .u32(BPF_PROG_ATTACH_AT.attach_flags, attach.flags ?? 0)
    .u32(BPF_PROG_ATTACH_AT.replace_bpf_fd, attach.replaceFd ?? 0).bytes;
}

/** union bpf_attr of BPF_PROG_QUERY: 40 bytes; prog_ids is a pointer to `capacity` u32 right behind them, prog_cnt comes back filled. */
export const BPF_PROG_QUERY_SIZE = 40;
export const BPF_PROG_QUERY_AT = {
  target_fd: 0,
  attach_type: 4,
  query_flags: 8,
  attach_flags: 12,
  prog_ids: 16,
  prog_cnt: 24,
} as const;
export function bpfProgQuery(type: number, capacity: number): Blob {
  const bytes = pack(40 + align(4 * capacity, 8))
    .u32(BPF_PROG_QUERY_AT.attach_type, type)
    .u32(BPF_PROG_QUERY_AT.prog_cnt, capacity).bytes;
  return { bytes, pointers: [{ at: BPF_PROG_QUERY_AT.prog_ids, to: 40 }] };
}

/** union bpf_attr of BPF_OBJ_GET_INFO_BY_FD, 16 bytes, and behind it room for the first 80 bytes of struct bpf_prog_info. */
export const BPF_OBJ_INFO_AT = { bpf_fd: 0, info_len: 4, info: 8 } as const;
export const BPF_OBJ_INFO_SIZE = 16;
export const BPF_PROG_INFO_AT = { type: 0, id: 4, name: 64 } as const;
export const BPF_PROG_INFO_SIZE = 80;
export function bpfProgInfo(): Blob {
  const bytes = pack(BPF_OBJ_INFO_SIZE + BPF_PROG_INFO_SIZE).u32(BPF_OBJ_INFO_AT.info_len, BPF_PROG_INFO_SIZE).bytes;
  return { bytes, pointers: [{ at: BPF_OBJ_INFO_AT.info, to: BPF_OBJ_INFO_SIZE }] };
}

/** The kernel's sigset_t: 8 bytes, bit N-1 for signal N. Its size is the last argument of the rt_sig* calls. */
export const SIGSET_SIZE = 8;
export function sigset(signals: readonly number[]): Uint8Array {
  let mask = 0n;
  for (const signal of signals) {
    if (signal < 1 || signal > 64) throw new RangeError(`no signal ${signal}`);
    mask |= 1n << BigInt(signal - 1);
  }
  return pack(SIGSET_SIZE).u64(0, mask).bytes;
}

/** The kernel's struct sigaction (rt_sigaction(2)), not glibc's: handler, flags, restorer, mask; 32 bytes on both architectures. */
export const SIGACTION_AT = { handler: 0, flags: 8, restorer: 16, mask: 24 } as const;
export const SIGACTION_SIZE = 32;

/** An action that needs no code of ours: SIG_DFL or SIG_IGN. */
export function sigaction(handler: "default" | "ignore", flags = 0): Uint8Array {
  return pack(SIGACTION_SIZE)
    .u64(SIGACTION_AT.handler, handler === "ignore" ? 1 : 0)
    .u64(SIGACTION_AT.flags, flags).bytes;
}

/** struct winsize (ioctl_tty(2) TIOCSWINSZ): 8 bytes of u16, in characters; the pixel sizes stay 0. */
export function winsize(rows: number, columns: number): Uint8Array {
  return pack(8).u16(0, rows).u16(2, columns).bytes;
}

/** The kernel's encoding of a device number for mknodat(2) and u32 fields: 12 bits of major, 20 of minor. Throws RangeError beyond. */
export function makedev(major: number, minor: number): number {
  if (!Number.isInteger(major) || major < 0 || major > 0xfff)
    throw new RangeError(`device major ${major} is not 0 to 4095`);
  if (!Number.isInteger(minor) || minor < 0 || minor > 0xfffff)
    throw new RangeError(`device minor ${minor} is not 0 to 1048575`);
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

/** The major of a device number in that encoding (also of Node's stat.rdev for such numbers). */
export function majorOf(device: number): number {
  return (device >>> 8) & 0xfff;
}

/** The minor of a device number in that encoding. */
export function minorOf(device: number): number {
  return ((device & 0xff) | ((device >>> 12) & 0xfff00)) >>> 0;
}

/** struct seccomp_data, what a seccomp filter reads: 64 bytes. args are six u64, their low half first. */
export const SECCOMP_DATA_AT = { nr: 0, arch: 4, instruction_pointer: 8, args: 16 } as const;
export const SECCOMP_DATA_SIZE = 64;

/** struct timespec of both architectures: s64 seconds, s64 nanoseconds. */
export function timespec(nanoseconds: bigint): Uint8Array {
  const billion = 1_000_000_000n;
  const rest = ((nanoseconds % billion) + billion) % billion;
  return pack(16)
    .u64(0, (nanoseconds - rest) / billion)
    .u64(8, rest).bytes;
}

/** struct timeval of both architectures, of milliseconds: s64 seconds, s64 microseconds. */
export function timeval(milliseconds: number): Uint8Array {
  return pack(16)
    .u64(0, Math.floor(milliseconds / 1000))
    .u64(8, (milliseconds % 1000) * 1000).bytes;
}

/** struct pollfd: s32 fd, s16 events, s16 revents. */
export const POLLFD_AT = { fd: 0, events: 4, revents: 6 } as const;
export function pollfd(fd: number, events: number): Uint8Array {
  return pack(8).u32(0, fd).u16(4, events).bytes;
}

/** struct ucred of SO_PEERCRED: three 32-bit numbers. */
export function parseUcred(bytes: Uint8Array): { readonly pid: number; readonly uid: number; readonly gid: number } {
  const data = view(bytes);
  return { pid: data.getInt32(0, true), uid: data.getUint32(4, true), gid: data.getUint32(8, true) };
}

/** struct statx (statx(2)): stx_ino and stx_mnt_id are u64. */
export const STATX_AT = { ino: 32, rdev_major: 128, rdev_minor: 132, mnt_id: 144 } as const;
export const STATX_SIZE = 256;
