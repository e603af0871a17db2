/**
 * The kernel's constants, under the kernel's own names and with the values of both x86_64 and arm64 (openFlags has the few
 * that differ). Sources: include/uapi/linux, and the man page named at each group; each value is compared with the
 * headers by the suite. Values are unsigned. JavaScript's `|` makes a signed number when bit 31 is set: write `>>> 0` after it.
 *
 * A table (`MS_FLAGS` ...) holds the names that showFlags prints.
 */
import type { Arch } from "./arch.js";

/** Names of one kind of value, in the order in which they are printed. */
export interface FlagTable {
  readonly kind: "bits" | "value";
  readonly base: "hex" | "octal" | "decimal";
  readonly names: Readonly<Record<string, number | bigint>>;
}

// Open(2) flags that are the same on x86_64 and arm64; openFlags(arch) has the others.
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
export const O_ASYNC = 0o20000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_SYNC = 0o4010000;
export const O_PATH = 0o10000000;
/** Open(2) flags that are the same on x86_64 and arm64; openFlags(arch) has the others. */
export const O_FLAGS: FlagTable = {
  kind: "bits",
  base: "octal",
  names: {
    O_RDONLY,
    O_WRONLY,
    O_RDWR,
    O_ACCMODE,
    O_CREAT,
    O_EXCL,
    O_NOCTTY,
    O_TRUNC,
    O_APPEND,
    O_NONBLOCK,
    O_DSYNC,
    O_ASYNC,
    O_NOATIME,
    O_CLOEXEC,
    O_SYNC,
    O_PATH,
  },
};

// *at calls (openat(2), statx(2), mount_setattr(2)).
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EACCESS = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;
export const AT_STATX_SYNC_TYPE = 0x6000;
export const AT_STATX_FORCE_SYNC = 0x2000;
export const AT_STATX_DONT_SYNC = 0x4000;
export const AT_RECURSIVE = 0x8000;
/** *at calls (openat(2), statx(2), mount_setattr(2)). */
export const AT_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    AT_SYMLINK_NOFOLLOW,
    AT_SYMLINK_FOLLOW,
    AT_NO_AUTOMOUNT,
    AT_EMPTY_PATH,
    AT_STATX_FORCE_SYNC,
    AT_STATX_DONT_SYNC,
    AT_RECURSIVE,
  },
};

// Openat2(2) open_how.resolve.
export const RESOLVE_NO_XDEV = 0x1;
export const RESOLVE_NO_MAGICLINKS = 0x2;
export const RESOLVE_NO_SYMLINKS = 0x4;
export const RESOLVE_BENEATH = 0x8;
export const RESOLVE_IN_ROOT = 0x10;
export const RESOLVE_CACHED = 0x20;
/** Openat2(2) open_how.resolve. */
export const RESOLVE_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    RESOLVE_NO_XDEV,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_CACHED,
  },
};

// Mount(2) and mountflags in general.
export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_SYNCHRONOUS = 0x10;
export const MS_REMOUNT = 0x20;
export const MS_MANDLOCK = 0x40;
export const MS_DIRSYNC = 0x80;
export const MS_NOSYMFOLLOW = 0x100;
export const MS_NOATIME = 0x400;
export const MS_NODIRATIME = 0x800;
export const MS_BIND = 0x1000;
export const MS_MOVE = 0x2000;
export const MS_REC = 0x4000;
export const MS_SILENT = 0x8000;
export const MS_POSIXACL = 0x10000;
export const MS_UNBINDABLE = 0x20000;
export const MS_PRIVATE = 0x40000;
export const MS_SLAVE = 0x80000;
export const MS_SHARED = 0x100000;
export const MS_RELATIME = 0x200000;
export const MS_KERNMOUNT = 0x400000;
export const MS_I_VERSION = 0x800000;
export const MS_STRICTATIME = 0x1000000;
export const MS_LAZYTIME = 0x2000000;
export const MS_NOUSER = 0x80000000;
/** Mount(2) and mountflags in general. */
export const MS_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    MS_RDONLY,
    MS_NOSUID,
    MS_NODEV,
    MS_NOEXEC,
    MS_SYNCHRONOUS,
    MS_REMOUNT,
    MS_MANDLOCK,
    MS_DIRSYNC,
    MS_NOSYMFOLLOW,
    MS_NOATIME,
    MS_NODIRATIME,
    MS_BIND,
    MS_MOVE,
    MS_REC,
    MS_SILENT,
    MS_POSIXACL,
    MS_UNBINDABLE,
    MS_PRIVATE,
    MS_SLAVE,
    MS_SHARED,
    MS_RELATIME,
    MS_I_VERSION,
    MS_STRICTATIME,
    MS_LAZYTIME,
  },
};

// Umount2(2).
export const MNT_FORCE = 0x1;
export const MNT_DETACH = 0x2;
export const MNT_EXPIRE = 0x4;
export const UMOUNT_NOFOLLOW = 0x8;
/** Umount2(2). */
export const UMOUNT_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW },
};

// Mount_setattr(2), fsmount(2). MOUNT_ATTR__ATIME is the mask of the three atime values.
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
export const MOUNT_ATTR__ATIME = 0x70;
export const MOUNT_ATTR_RELATIME = 0x0;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
export const MOUNT_ATTR_IDMAP = 0x100000;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;
export const MOUNT_ATTR_SIZE_VER0 = 0x20;
/** Mount_setattr(2), fsmount(2). MOUNT_ATTR__ATIME is the mask of the three atime values. */
export const MOUNT_ATTR_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_STRICTATIME,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NOSYMFOLLOW,
  },
};

// Open_tree(2), beside AT_*.
export const OPEN_TREE_CLONE = 0x1;
export const OPEN_TREE_CLOEXEC = 0x80000;
/** Open_tree(2), beside AT_*. */
export const OPEN_TREE_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC },
};

// Move_mount(2).
export const MOVE_MOUNT_F_SYMLINKS = 0x1;
export const MOVE_MOUNT_F_AUTOMOUNTS = 0x2;
export const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
export const MOVE_MOUNT_T_SYMLINKS = 0x10;
export const MOVE_MOUNT_T_AUTOMOUNTS = 0x20;
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
export const MOVE_MOUNT_SET_GROUP = 0x100;
export const MOVE_MOUNT_BENEATH = 0x200;
/** Move_mount(2). */
export const MOVE_MOUNT_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    MOVE_MOUNT_F_SYMLINKS,
    MOVE_MOUNT_F_AUTOMOUNTS,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_SYMLINKS,
    MOVE_MOUNT_T_AUTOMOUNTS,
    MOVE_MOUNT_T_EMPTY_PATH,
    MOVE_MOUNT_SET_GROUP,
    MOVE_MOUNT_BENEATH,
  },
};

// Fsopen(2).
export const FSOPEN_CLOEXEC = 0x1;
/** Fsopen(2). */
export const FSOPEN_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { FSOPEN_CLOEXEC },
};

// Fspick(2).
export const FSPICK_CLOEXEC = 0x1;
export const FSPICK_SYMLINK_NOFOLLOW = 0x2;
export const FSPICK_NO_AUTOMOUNT = 0x4;
export const FSPICK_EMPTY_PATH = 0x8;
/** Fspick(2). */
export const FSPICK_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { FSPICK_CLOEXEC, FSPICK_SYMLINK_NOFOLLOW, FSPICK_NO_AUTOMOUNT, FSPICK_EMPTY_PATH },
};

// Fsmount(2).
export const FSMOUNT_CLOEXEC = 0x1;
/** Fsmount(2). */
export const FSMOUNT_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { FSMOUNT_CLOEXEC },
};

// Fsconfig(2) commands.
export const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_SET_BINARY = 2;
export const FSCONFIG_SET_PATH = 3;
export const FSCONFIG_SET_PATH_EMPTY = 4;
export const FSCONFIG_SET_FD = 5;
export const FSCONFIG_CMD_CREATE = 6;
export const FSCONFIG_CMD_RECONFIGURE = 7;
export const FSCONFIG_CMD_CREATE_EXCL = 8;
/** Fsconfig(2) commands. */
export const FSCONFIG_COMMANDS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSCONFIG_SET_BINARY,
    FSCONFIG_SET_PATH,
    FSCONFIG_SET_PATH_EMPTY,
    FSCONFIG_SET_FD,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_CMD_RECONFIGURE,
    FSCONFIG_CMD_CREATE_EXCL,
  },
};

// Clone3(2), unshare(2), setns(2). The two above 32 bits are bigints.
export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_PIDFD = 0x1000;
export const CLONE_PTRACE = 0x2000;
export const CLONE_VFORK = 0x4000;
export const CLONE_PARENT = 0x8000;
export const CLONE_THREAD = 0x10000;
export const CLONE_NEWNS = 0x20000;
export const CLONE_SYSVSEM = 0x40000;
export const CLONE_SETTLS = 0x80000;
export const CLONE_PARENT_SETTID = 0x100000;
export const CLONE_CHILD_CLEARTID = 0x200000;
export const CLONE_UNTRACED = 0x800000;
export const CLONE_CHILD_SETTID = 0x1000000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;
export const CLONE_IO = 0x80000000;
export const CLONE_CLEAR_SIGHAND = 0x100000000n;
export const CLONE_INTO_CGROUP = 0x200000000n;
export const CLONE_NEWTIME = 0x80;
/** Clone3(2), unshare(2), setns(2). The two above 32 bits are bigints. */
export const CLONE_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    CLONE_VM,
    CLONE_FS,
    CLONE_FILES,
    CLONE_SIGHAND,
    CLONE_PIDFD,
    CLONE_PTRACE,
    CLONE_VFORK,
    CLONE_PARENT,
    CLONE_THREAD,
    CLONE_NEWNS,
    CLONE_SYSVSEM,
    CLONE_SETTLS,
    CLONE_PARENT_SETTID,
    CLONE_CHILD_CLEARTID,
    CLONE_UNTRACED,
    CLONE_CHILD_SETTID,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
    CLONE_IO,
    CLONE_CLEAR_SIGHAND,
    CLONE_INTO_CGROUP,
  },
};

// Close_range(2).
export const CLOSE_RANGE_UNSHARE = 0x2;
export const CLOSE_RANGE_CLOEXEC = 0x4;
/** Close_range(2). */
export const CLOSE_RANGE_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { CLOSE_RANGE_UNSHARE, CLOSE_RANGE_CLOEXEC },
};

// Prctl(2) options.
export const PR_SET_PDEATHSIG = 1;
export const PR_GET_PDEATHSIG = 2;
export const PR_GET_DUMPABLE = 3;
export const PR_SET_DUMPABLE = 4;
export const PR_GET_KEEPCAPS = 7;
export const PR_SET_KEEPCAPS = 8;
export const PR_SET_NAME = 15;
export const PR_GET_NAME = 16;
export const PR_GET_SECCOMP = 21;
export const PR_SET_SECCOMP = 22;
export const PR_CAPBSET_READ = 23;
export const PR_CAPBSET_DROP = 24;
export const PR_GET_SECUREBITS = 27;
export const PR_SET_SECUREBITS = 28;
export const PR_SET_TIMERSLACK = 29;
export const PR_SET_MM = 35;
export const PR_SET_CHILD_SUBREAPER = 36;
export const PR_GET_CHILD_SUBREAPER = 37;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_GET_NO_NEW_PRIVS = 39;
export const PR_CAP_AMBIENT = 47;
export const PR_SCHED_CORE = 62;
/** Prctl(2) options. */
export const PR_OPTIONS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    PR_SET_PDEATHSIG,
    PR_GET_PDEATHSIG,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_GET_KEEPCAPS,
    PR_SET_KEEPCAPS,
    PR_SET_NAME,
    PR_GET_NAME,
    PR_GET_SECCOMP,
    PR_SET_SECCOMP,
    PR_CAPBSET_READ,
    PR_CAPBSET_DROP,
    PR_GET_SECUREBITS,
    PR_SET_SECUREBITS,
    PR_SET_TIMERSLACK,
    PR_SET_MM,
    PR_SET_CHILD_SUBREAPER,
    PR_GET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_CAP_AMBIENT,
    PR_SCHED_CORE,
  },
};

// Prctl(2) PR_CAP_AMBIENT.
export const PR_CAP_AMBIENT_IS_SET = 1;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_LOWER = 3;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** Prctl(2) PR_CAP_AMBIENT. */
export const PR_CAP_AMBIENT_COMMANDS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { PR_CAP_AMBIENT_IS_SET, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_LOWER, PR_CAP_AMBIENT_CLEAR_ALL },
};

// Prctl(2) PR_SCHED_CORE (linux/prctl.h); the scopes are pid types.
export const PR_SCHED_CORE_GET = 0;
export const PR_SCHED_CORE_CREATE = 1;
export const PR_SCHED_CORE_SHARE_TO = 2;
export const PR_SCHED_CORE_SHARE_FROM = 3;
export const PR_SCHED_CORE_SCOPE_THREAD = 0;
export const PR_SCHED_CORE_SCOPE_THREAD_GROUP = 1;
export const PR_SCHED_CORE_SCOPE_PROCESS_GROUP = 2;
/** Prctl(2) PR_SCHED_CORE (linux/prctl.h); the scopes are pid types. */
export const PR_SCHED_CORE_COMMANDS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { PR_SCHED_CORE_GET, PR_SCHED_CORE_CREATE, PR_SCHED_CORE_SHARE_TO, PR_SCHED_CORE_SHARE_FROM },
};

// Prctl(2) PR_SET_MM.
export const PR_SET_MM_ARG_START = 8;
export const PR_SET_MM_ARG_END = 9;
export const PR_SET_MM_MAP = 14;
/** Prctl(2) PR_SET_MM. */
export const PR_SET_MM_FIELDS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { PR_SET_MM_ARG_START, PR_SET_MM_ARG_END, PR_SET_MM_MAP },
};

// Capabilities(7) securebits.
export const SECBIT_NOROOT = 0x1;
export const SECBIT_NOROOT_LOCKED = 0x2;
export const SECBIT_NO_SETUID_FIXUP = 0x4;
export const SECBIT_NO_SETUID_FIXUP_LOCKED = 0x8;
export const SECBIT_KEEP_CAPS = 0x10;
export const SECBIT_KEEP_CAPS_LOCKED = 0x20;
export const SECBIT_NO_CAP_AMBIENT_RAISE = 0x40;
export const SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80;
/** Capabilities(7) securebits. */
export const SECUREBITS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    SECBIT_NOROOT,
    SECBIT_NOROOT_LOCKED,
    SECBIT_NO_SETUID_FIXUP,
    SECBIT_NO_SETUID_FIXUP_LOCKED,
    SECBIT_KEEP_CAPS,
    SECBIT_KEEP_CAPS_LOCKED,
    SECBIT_NO_CAP_AMBIENT_RAISE,
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
  },
};

// Seccomp(2) operations.
export const SECCOMP_SET_MODE_STRICT = 0;
export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_GET_ACTION_AVAIL = 2;
export const SECCOMP_GET_NOTIF_SIZES = 3;
export const SECCOMP_MODE_STRICT = 1;
export const SECCOMP_MODE_FILTER = 2;
/** Seccomp(2) operations. */
export const SECCOMP_OPERATIONS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { SECCOMP_SET_MODE_STRICT, SECCOMP_SET_MODE_FILTER, SECCOMP_GET_ACTION_AVAIL, SECCOMP_GET_NOTIF_SIZES },
};

// Seccomp(2) SECCOMP_SET_MODE_FILTER.
export const SECCOMP_FILTER_FLAG_TSYNC = 0x1;
export const SECCOMP_FILTER_FLAG_LOG = 0x2;
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 0x4;
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 0x8;
export const SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10;
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20;
/** Seccomp(2) SECCOMP_SET_MODE_FILTER. */
export const SECCOMP_FILTER_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
  },
};

// What a seccomp filter returns; the low 16 bits (SECCOMP_RET_DATA) carry an errno.
export const SECCOMP_RET_KILL_PROCESS = 0x80000000;
export const SECCOMP_RET_KILL_THREAD = 0x0;
export const SECCOMP_RET_TRAP = 0x30000;
export const SECCOMP_RET_ERRNO = 0x50000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc00000;
export const SECCOMP_RET_TRACE = 0x7ff00000;
export const SECCOMP_RET_LOG = 0x7ffc0000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;
export const SECCOMP_RET_ACTION_FULL = 0xffff0000;
export const SECCOMP_RET_DATA = 0xffff;
/** What a seccomp filter returns; the low 16 bits (SECCOMP_RET_DATA) carry an errno. */
export const SECCOMP_RET: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_TRAP,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_USER_NOTIF,
    SECCOMP_RET_TRACE,
    SECCOMP_RET_LOG,
    SECCOMP_RET_ALLOW,
  },
};

// Seccomp_unotify(2).
export const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 0x1;
export const SECCOMP_ADDFD_FLAG_SETFD = 0x1;
export const SECCOMP_ADDFD_FLAG_SEND = 0x2;
export const SECCOMP_IOCTL_NOTIF_RECV = 0xc0502100;
export const SECCOMP_IOCTL_NOTIF_SEND = 0xc0182101;
export const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x40082102;
export const SECCOMP_IOCTL_NOTIF_ADDFD = 0x40182103;
/** Seccomp_unotify(2). */
export const SECCOMP_NOTIFY: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_IOCTL_NOTIF_ID_VALID,
    SECCOMP_IOCTL_NOTIF_ADDFD,
  },
};

// Socket(2) families.
export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_BRIDGE = 7;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const AF_ALG = 38;
export const AF_VSOCK = 40;
/** Socket(2) families. */
export const AF_FAMILIES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { AF_UNSPEC, AF_UNIX, AF_INET, AF_BRIDGE, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK },
};

// Socket(2) types; the two flags may be or-ed in.
export const SOCK_STREAM = 0x1;
export const SOCK_DGRAM = 0x2;
export const SOCK_RAW = 0x3;
export const SOCK_SEQPACKET = 0x5;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
/** Socket(2) types; the two flags may be or-ed in. */
export const SOCK_TYPES: FlagTable = {
  kind: "value",
  base: "hex",
  names: { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET },
};

// Setsockopt(2) levels.
export const SOL_SOCKET = 1;
export const SOL_NETLINK = 270;
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ICMPV6 = 58;
/** Setsockopt(2) levels. */
export const SOL_LEVELS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { SOL_SOCKET, SOL_NETLINK },
};

// Setsockopt(2) of SOL_SOCKET.
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_BROADCAST = 6;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_PASSCRED = 16;
export const SO_PEERCRED = 17;
export const SO_PASSRIGHTS = 83;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_ATTACH_FILTER = 26;
export const SO_BINDTODEVICE = 25;
export const SO_PEERSEC = 31;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_PEERGROUPS = 59;
export const SO_PASSPIDFD = 76;
export const SO_PEERPIDFD = 77;
/** Setsockopt(2) of SOL_SOCKET. */
export const SO_OPTIONS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    SO_REUSEADDR,
    SO_TYPE,
    SO_ERROR,
    SO_BROADCAST,
    SO_SNDBUF,
    SO_RCVBUF,
    SO_KEEPALIVE,
    SO_PASSCRED,
    SO_PEERCRED,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SO_ATTACH_FILTER,
    SO_BINDTODEVICE,
    SO_PEERSEC,
    SO_SNDBUFFORCE,
    SO_RCVBUFFORCE,
    SO_PEERGROUPS,
    SO_PASSPIDFD,
    SO_PEERPIDFD,
  },
};

// Control messages of unix(7).
export const SCM_RIGHTS = 1;
export const SCM_CREDENTIALS = 2;
export const SCM_PIDFD = 4;

// Send(2), recv(2).
export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
/** Send(2), recv(2). */
export const MSG_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { MSG_OOB, MSG_PEEK, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL, MSG_CMSG_CLOEXEC },
};

// Shutdown(2).
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

// Inode(7) file types; mknod(2).
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o60000;
export const S_IFDIR = 0o40000;
export const S_IFCHR = 0o20000;
export const S_IFIFO = 0o10000;
/** Inode(7) file types; mknod(2). */
export const S_IF: FlagTable = {
  kind: "value",
  base: "octal",
  names: { S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK, S_IFDIR, S_IFCHR, S_IFIFO },
};

// Inode(7) mode bits.
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

// Fcntl(2) commands.
export const F_DUPFD = 0;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_OFD_SETLKW = 38;
export const F_DUPFD_CLOEXEC = 1030;
export const F_SETPIPE_SZ = 1031;
export const F_GETPIPE_SZ = 1032;
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;
export const FD_CLOEXEC = 1;
/** Fcntl(2) commands. */
export const F_COMMANDS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    F_DUPFD,
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_DUPFD_CLOEXEC,
    F_SETPIPE_SZ,
    F_GETPIPE_SZ,
    F_ADD_SEALS,
    F_GET_SEALS,
  },
};

// Fcntl(2) F_ADD_SEALS.
export const F_SEAL_SEAL = 0x1;
export const F_SEAL_SHRINK = 0x2;
export const F_SEAL_GROW = 0x4;
export const F_SEAL_WRITE = 0x8;
export const F_SEAL_FUTURE_WRITE = 0x10;
export const F_SEAL_EXEC = 0x20;
/** Fcntl(2) F_ADD_SEALS. */
export const F_SEALS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_EXEC },
};

// Memfd_create(2).
export const MFD_CLOEXEC = 0x1;
export const MFD_ALLOW_SEALING = 0x2;
export const MFD_HUGETLB = 0x4;
export const MFD_NOEXEC_SEAL = 0x8;
export const MFD_EXEC = 0x10;
/** Memfd_create(2). */
export const MFD_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB, MFD_NOEXEC_SEAL, MFD_EXEC },
};

// Flock(2).
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;
/** Flock(2). */
export const LOCK_OPERATIONS: FlagTable = {
  kind: "bits",
  base: "decimal",
  names: { LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN },
};

// Ioctl_tty(2).
export const TCGETS = 0x5401;
export const TCSETS = 0x5402;
export const TCSETSW = 0x5403;
export const TCSETSF = 0x5404;
export const TIOCEXCL = 0x540c;
export const TIOCNXCL = 0x540d;
export const TIOCSCTTY = 0x540e;
export const TIOCGPGRP = 0x540f;
export const TIOCSPGRP = 0x5410;
export const TIOCSTI = 0x5412;
export const TIOCGWINSZ = 0x5413;
export const TIOCSWINSZ = 0x5414;
export const TIOCCONS = 0x541d;
export const TIOCNOTTY = 0x5422;
export const TIOCGSID = 0x5429;
export const TIOCGPTN = 0x80045430;
export const TIOCSPTLCK = 0x40045431;
export const TIOCGPTPEER = 0x5441;
export const TIOCVHANGUP = 0x5437;
export const FIONREAD = 0x541b;
export const FIONBIO = 0x5421;
export const FIOCLEX = 0x5451;
/** Ioctl_tty(2). */
export const TTY_IOCTLS: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    TCGETS,
    TCSETS,
    TCSETSW,
    TCSETSF,
    TIOCEXCL,
    TIOCNXCL,
    TIOCSCTTY,
    TIOCGPGRP,
    TIOCSPGRP,
    TIOCSTI,
    TIOCGWINSZ,
    TIOCSWINSZ,
    TIOCCONS,
    TIOCNOTTY,
    TIOCGSID,
    TIOCGPTN,
    TIOCSPTLCK,
    TIOCGPTPEER,
    TIOCVHANGUP,
    FIONREAD,
    FIONBIO,
    FIOCLEX,
  },
};

// Netdevice(7) ioctls.
export const SIOCGIFNAME = 0x8910;
export const SIOCGIFFLAGS = 0x8913;
export const SIOCSIFFLAGS = 0x8914;
export const SIOCGIFADDR = 0x8915;
export const SIOCGIFMTU = 0x8921;
export const SIOCSIFMTU = 0x8922;
export const SIOCSIFNAME = 0x8923;
export const SIOCGIFHWADDR = 0x8927;
export const SIOCSIFHWADDR = 0x8924;
export const SIOCGIFINDEX = 0x8933;
export const SIOCBRADDBR = 0x89a0;
export const SIOCBRDELBR = 0x89a1;
export const SIOCBRADDIF = 0x89a2;
export const SIOCBRDELIF = 0x89a3;
export const SIOCETHTOOL = 0x8946;
/** Netdevice(7) ioctls. */
export const SIOC_IOCTLS: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    SIOCGIFNAME,
    SIOCGIFFLAGS,
    SIOCSIFFLAGS,
    SIOCGIFADDR,
    SIOCGIFMTU,
    SIOCSIFMTU,
    SIOCSIFNAME,
    SIOCGIFHWADDR,
    SIOCSIFHWADDR,
    SIOCGIFINDEX,
    SIOCBRADDBR,
    SIOCBRDELBR,
    SIOCBRADDIF,
    SIOCBRDELIF,
    SIOCETHTOOL,
  },
};

// Ioctl_ns(2).
export const NS_GET_USERNS = 0xb701;
export const NS_GET_PARENT = 0xb702;
export const NS_GET_NSTYPE = 0xb703;
export const NS_GET_OWNER_UID = 0xb704;
/** Ioctl_ns(2). */
export const NS_IOCTLS: FlagTable = {
  kind: "value",
  base: "hex",
  names: { NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID },
};

// FICLONE (ioctl_ficlonerange(2)), inode flags (ioctl_iflags(2)), loop(4), btrfs subvolumes.
export const FICLONE = 0x40049409;
export const FS_IOC_GETFLAGS = 0x80086601;
export const FS_IOC_SETFLAGS = 0x40086602;
export const LOOP_SET_FD = 0x4c00;
export const LOOP_CLR_FD = 0x4c01;
export const LOOP_SET_STATUS64 = 0x4c04;
export const LOOP_GET_STATUS64 = 0x4c05;
export const LOOP_CONFIGURE = 0x4c0a;
export const LOOP_CTL_GET_FREE = 0x4c82;
export const BTRFS_IOC_SUBVOL_CREATE_V2 = 0x50009418;
export const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417;
export const BTRFS_IOC_SNAP_DESTROY_V2 = 0x5000943f;
export const BTRFS_IOC_SUBVOL_GETFLAGS = 0x80089419;
export const BTRFS_IOC_SUBVOL_SETFLAGS = 0x4008941a;
/** FICLONE (ioctl_ficlonerange(2)), inode flags (ioctl_iflags(2)), loop(4), btrfs subvolumes. */
export const FS_IOCTLS: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    FICLONE,
    FS_IOC_GETFLAGS,
    FS_IOC_SETFLAGS,
    LOOP_SET_FD,
    LOOP_CLR_FD,
    LOOP_SET_STATUS64,
    LOOP_GET_STATUS64,
    LOOP_CONFIGURE,
    LOOP_CTL_GET_FREE,
    BTRFS_IOC_SUBVOL_CREATE_V2,
    BTRFS_IOC_SNAP_CREATE_V2,
    BTRFS_IOC_SNAP_DESTROY_V2,
    BTRFS_IOC_SUBVOL_GETFLAGS,
    BTRFS_IOC_SUBVOL_SETFLAGS,
  },
};

// Loop(4).
export const LO_FLAGS_READ_ONLY = 0x1;
export const LO_FLAGS_AUTOCLEAR = 0x4;
export const LO_FLAGS_PARTSCAN = 0x8;
export const LO_FLAGS_DIRECT_IO = 0x10;
/** Loop(4). */
export const LO_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR, LO_FLAGS_PARTSCAN, LO_FLAGS_DIRECT_IO },
};

// Tun/tap (linux/if_tun.h).
export const TUNSETIFF = 0x400454ca;
export const TUNSETPERSIST = 0x400454cb;
export const TUNSETOWNER = 0x400454cc;
export const IFF_TUN = 0x1;
export const IFF_TAP = 0x2;
export const IFF_NO_PI = 0x1000;
/** Tun/tap (linux/if_tun.h). */
export const TUN_FLAGS: FlagTable = {
  kind: "value",
  base: "hex",
  names: { TUNSETIFF, TUNSETPERSIST, TUNSETOWNER, IFF_TUN, IFF_TAP, IFF_NO_PI },
};

// Keyctl(2).
export const KEYCTL_GET_KEYRING_ID = 0;
export const KEYCTL_JOIN_SESSION_KEYRING = 1;
export const KEYCTL_UPDATE = 2;
export const KEYCTL_REVOKE = 3;
export const KEYCTL_CHOWN = 4;
export const KEYCTL_SETPERM = 5;
export const KEYCTL_DESCRIBE = 6;
export const KEYCTL_CLEAR = 7;
export const KEYCTL_LINK = 8;
export const KEYCTL_UNLINK = 9;
export const KEYCTL_SEARCH = 10;
export const KEYCTL_READ = 11;
export const KEYCTL_SESSION_TO_PARENT = 18;
export const KEY_SPEC_SESSION_KEYRING = -3;
/** Keyctl(2). */
export const KEYCTL_OPERATIONS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    KEYCTL_GET_KEYRING_ID,
    KEYCTL_JOIN_SESSION_KEYRING,
    KEYCTL_UPDATE,
    KEYCTL_REVOKE,
    KEYCTL_CHOWN,
    KEYCTL_SETPERM,
    KEYCTL_DESCRIBE,
    KEYCTL_CLEAR,
    KEYCTL_LINK,
    KEYCTL_UNLINK,
    KEYCTL_SEARCH,
    KEYCTL_READ,
    KEYCTL_SESSION_TO_PARENT,
  },
};

// Personality(2).
export const PER_LINUX = 0x0;
export const PER_LINUX32 = 0x8;
export const ADDR_NO_RANDOMIZE = 0x40000;
export const UNAME26 = 0x20000;
/** Personality(2). */
export const PERSONAS: FlagTable = {
  kind: "value",
  base: "hex",
  names: { PER_LINUX, PER_LINUX32 },
};

// Waitid(2) idtype.
export const P_ALL = 0;
export const P_PID = 1;
export const P_PGID = 2;
export const P_PIDFD = 3;
/** Waitid(2) idtype. */
export const IDTYPES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { P_ALL, P_PID, P_PGID, P_PIDFD },
};

// Waitid(2), wait4(2).
export const WNOHANG = 0x1;
export const WUNTRACED = 0x2;
export const WSTOPPED = 0x2;
export const WEXITED = 0x4;
export const WCONTINUED = 0x8;
export const WNOWAIT = 0x1000000;
export const __WALL = 0x40000000;
/** Waitid(2), wait4(2). */
export const WAIT_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { WNOHANG, WUNTRACED, WEXITED, WCONTINUED, WNOWAIT, __WALL },
};

// Waitid(2) si_code.
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;
export const CLD_DUMPED = 3;
export const CLD_TRAPPED = 4;
export const CLD_STOPPED = 5;
export const CLD_CONTINUED = 6;
/** Waitid(2) si_code. */
export const CLD_CODES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_TRAPPED, CLD_STOPPED, CLD_CONTINUED },
};

// Rt_sigprocmask(2).
export const SIG_BLOCK = 0;
export const SIG_UNBLOCK = 1;
export const SIG_SETMASK = 2;
/** Rt_sigprocmask(2). */
export const SIG_HOW: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK },
};

// Sigaction(2).
export const SA_NOCLDSTOP = 0x1;
export const SA_NOCLDWAIT = 0x2;
export const SA_SIGINFO = 0x4;
export const SA_RESTORER = 0x4000000;
export const SA_ONSTACK = 0x8000000;
export const SA_RESTART = 0x10000000;
export const SA_NODEFER = 0x40000000;
export const SA_RESETHAND = 0x80000000;
/** Sigaction(2). */
export const SA_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { SA_NOCLDSTOP, SA_NOCLDWAIT, SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_RESTART, SA_NODEFER, SA_RESETHAND },
};

// Signalfd4(2), eventfd2(2), epoll_create1(2), timerfd_create(2).
export const SFD_CLOEXEC = 0x80000;
export const SFD_NONBLOCK = 0x800;
export const EFD_SEMAPHORE = 0x1;
export const EFD_CLOEXEC = 0x80000;
export const EFD_NONBLOCK = 0x800;
export const EPOLL_CLOEXEC = 0x80000;
export const TFD_CLOEXEC = 0x80000;
export const TFD_NONBLOCK = 0x800;
/** Signalfd4(2), eventfd2(2), epoll_create1(2), timerfd_create(2). */
export const SFD_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { SFD_CLOEXEC, SFD_NONBLOCK, EFD_SEMAPHORE },
};

// Poll(2), epoll_ctl(2): POLLIN etc. have the same values as EPOLLIN.
export const POLLIN = 0x1;
export const POLLPRI = 0x2;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;
export const POLLRDHUP = 0x2000;
export const EPOLLET = 0x80000000;
export const EPOLLONESHOT = 0x40000000;
/** Poll(2), epoll_ctl(2): POLLIN etc. have the same values as EPOLLIN. */
export const EPOLL_EVENTS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDHUP },
};

// Epoll_ctl(2).
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
/** Epoll_ctl(2). */
export const EPOLL_OPERATIONS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD },
};

// Pidfd_open(2).
export const PIDFD_NONBLOCK = 0x800;
export const PIDFD_THREAD = 0x80;
/** Pidfd_open(2). */
export const PIDFD_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { PIDFD_NONBLOCK, PIDFD_THREAD },
};

// Reboot(2).
export const LINUX_REBOOT_MAGIC1 = 0xfee1dead;
export const LINUX_REBOOT_MAGIC2 = 0x28121969;
export const LINUX_REBOOT_CMD_RESTART = 0x1234567;
export const LINUX_REBOOT_CMD_HALT = 0xcdef0123;
export const LINUX_REBOOT_CMD_CAD_ON = 0x89abcdef;
export const LINUX_REBOOT_CMD_CAD_OFF = 0x0;
export const LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc;
export const LINUX_REBOOT_CMD_RESTART2 = 0xa1b2c3d4;
/** Reboot(2). */
export const REBOOT_COMMANDS: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    LINUX_REBOOT_MAGIC1,
    LINUX_REBOOT_MAGIC2,
    LINUX_REBOOT_CMD_RESTART,
    LINUX_REBOOT_CMD_HALT,
    LINUX_REBOOT_CMD_CAD_ON,
    LINUX_REBOOT_CMD_CAD_OFF,
    LINUX_REBOOT_CMD_POWER_OFF,
    LINUX_REBOOT_CMD_RESTART2,
  },
};

// Mmap(2).
export const PROT_READ = 0x1;
export const PROT_WRITE = 0x2;
export const PROT_EXEC = 0x4;
export const PROT_NONE = 0x0;
/** Mmap(2). */
export const PROT_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { PROT_READ, PROT_WRITE, PROT_EXEC },
};

// Mmap(2).
export const MAP_SHARED = 0x1;
export const MAP_PRIVATE = 0x2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
/** Mmap(2). */
export const MAP_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS },
};

// Renameat2(2).
export const RENAME_NOREPLACE = 0x1;
export const RENAME_EXCHANGE = 0x2;
export const RENAME_WHITEOUT = 0x4;
/** Renameat2(2). */
export const RENAME_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT },
};

// Setxattr(2).
export const XATTR_CREATE = 0x1;
export const XATTR_REPLACE = 0x2;
/** Setxattr(2). */
export const XATTR_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { XATTR_CREATE, XATTR_REPLACE },
};

// Statx(2) mask.
export const STATX_TYPE = 0x1;
export const STATX_MODE = 0x2;
export const STATX_NLINK = 0x4;
export const STATX_UID = 0x8;
export const STATX_GID = 0x10;
export const STATX_ATIME = 0x20;
export const STATX_MTIME = 0x40;
export const STATX_CTIME = 0x80;
export const STATX_INO = 0x100;
export const STATX_SIZE = 0x200;
export const STATX_BLOCKS = 0x400;
export const STATX_BTIME = 0x800;
export const STATX_MNT_ID = 0x1000;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_ATTR_MOUNT_ROOT = 0x2000;
/** Statx(2) mask. */
export const STATX_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    STATX_TYPE,
    STATX_MODE,
    STATX_NLINK,
    STATX_UID,
    STATX_GID,
    STATX_ATIME,
    STATX_MTIME,
    STATX_CTIME,
    STATX_INO,
    STATX_SIZE,
    STATX_BLOCKS,
    STATX_BTIME,
    STATX_MNT_ID,
  },
};

// Statfs(2) f_type (linux/magic.h); ZFS has no header.
export const CGROUP_SUPER_MAGIC = 0x27e0eb;
export const CGROUP2_SUPER_MAGIC = 0x63677270;
export const TMPFS_MAGIC = 0x1021994;
export const PROC_SUPER_MAGIC = 0x9fa0;
export const SYSFS_MAGIC = 0x62656572;
export const OVERLAYFS_SUPER_MAGIC = 0x794c7630;
export const BTRFS_SUPER_MAGIC = 0x9123683e;
export const EXT4_SUPER_MAGIC = 0xef53;
export const XFS_SUPER_MAGIC = 0x58465342;
export const NFS_SUPER_MAGIC = 0x6969;
export const FUSE_SUPER_MAGIC = 0x65735546;
export const NSFS_MAGIC = 0x6e736673;
export const DEVPTS_SUPER_MAGIC = 0x1cd1;
export const SECURITYFS_MAGIC = 0x73636673;
export const DEBUGFS_MAGIC = 0x64626720;
export const TRACEFS_MAGIC = 0x74726163;
export const BPF_FS_MAGIC = 0xcafe4a11;
export const ZFS_SUPER_MAGIC = 0x2fc12fc1;
/** Statfs(2) f_type (linux/magic.h); ZFS has no header. */
export const FS_MAGICS: FlagTable = {
  kind: "value",
  base: "hex",
  names: {
    CGROUP_SUPER_MAGIC,
    CGROUP2_SUPER_MAGIC,
    TMPFS_MAGIC,
    PROC_SUPER_MAGIC,
    SYSFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    EXT4_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
    NFS_SUPER_MAGIC,
    FUSE_SUPER_MAGIC,
    NSFS_MAGIC,
    DEVPTS_SUPER_MAGIC,
    SECURITYFS_MAGIC,
    DEBUGFS_MAGIC,
    TRACEFS_MAGIC,
    BPF_FS_MAGIC,
    ZFS_SUPER_MAGIC,
  },
};

// Fanotify_init(2) and inotify_init1(2).
export const IN_CLOEXEC = 0x80000;
export const IN_NONBLOCK = 0x800;
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_MOVED_TO = 0x80;
export const IN_MOVED_FROM = 0x40;
export const IN_CLOSE_WRITE = 0x8;
export const IN_DELETE_SELF = 0x400;
export const IN_ONLYDIR = 0x1000000;
/** Fanotify_init(2) and inotify_init1(2). */
export const SYNC_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { IN_CLOEXEC, IN_NONBLOCK },
};

// Bpf(2) commands.
export const BPF_MAP_CREATE = 0;
export const BPF_PROG_LOAD = 5;
export const BPF_OBJ_PIN = 6;
export const BPF_OBJ_GET = 7;
export const BPF_PROG_ATTACH = 8;
export const BPF_PROG_DETACH = 9;
export const BPF_PROG_GET_FD_BY_ID = 13;
export const BPF_OBJ_GET_INFO_BY_FD = 15;
export const BPF_PROG_QUERY = 16;
export const BPF_LINK_CREATE = 28;
/** Bpf(2) commands. */
export const BPF_COMMANDS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    BPF_MAP_CREATE,
    BPF_PROG_LOAD,
    BPF_OBJ_PIN,
    BPF_OBJ_GET,
    BPF_PROG_ATTACH,
    BPF_PROG_DETACH,
    BPF_PROG_GET_FD_BY_ID,
    BPF_OBJ_GET_INFO_BY_FD,
    BPF_PROG_QUERY,
    BPF_LINK_CREATE,
  },
};

// Kinds of maps, what an instruction BPF_LD_IMM64 may load, helper functions (linux/bpf.h).
export const BPF_MAP_TYPE_ARRAY = 2;
export const BPF_PSEUDO_MAP_VALUE = 2;
export const BPF_FUNC_ktime_get_ns = 5;

// Bpf(2) program types.
export const BPF_PROG_TYPE_SOCKET_FILTER = 1;
export const BPF_PROG_TYPE_SCHED_CLS = 3;
export const BPF_PROG_TYPE_CGROUP_SKB = 8;
export const BPF_PROG_TYPE_CGROUP_SOCK = 9;
export const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
export const BPF_PROG_TYPE_CGROUP_SYSCTL = 23;
/** Bpf(2) program types. */
export const BPF_PROG_TYPES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    BPF_PROG_TYPE_SOCKET_FILTER,
    BPF_PROG_TYPE_SCHED_CLS,
    BPF_PROG_TYPE_CGROUP_SKB,
    BPF_PROG_TYPE_CGROUP_SOCK,
    BPF_PROG_TYPE_CGROUP_DEVICE,
    BPF_PROG_TYPE_CGROUP_SYSCTL,
  },
};

// Bpf(2) attach types.
export const BPF_CGROUP_INET_INGRESS = 0;
export const BPF_CGROUP_INET_EGRESS = 1;
export const BPF_CGROUP_INET_SOCK_CREATE = 2;
export const BPF_CGROUP_DEVICE = 6;
export const BPF_CGROUP_SYSCTL = 18;
/** Bpf(2) attach types. */
export const BPF_ATTACH_TYPES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    BPF_CGROUP_INET_INGRESS,
    BPF_CGROUP_INET_EGRESS,
    BPF_CGROUP_INET_SOCK_CREATE,
    BPF_CGROUP_DEVICE,
    BPF_CGROUP_SYSCTL,
  },
};

// Bpf(2) attach_flags.
export const BPF_F_ALLOW_OVERRIDE = 0x1;
export const BPF_F_ALLOW_MULTI = 0x2;
export const BPF_F_REPLACE = 0x4;
export const BPF_F_QUERY_EFFECTIVE = 0x1;
/** Bpf(2) attach_flags. */
export const BPF_ATTACH_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { BPF_F_ALLOW_OVERRIDE, BPF_F_ALLOW_MULTI, BPF_F_REPLACE },
};

// Bpf_cgroup_dev_ctx.access_type: access << 16 | type (linux/bpf.h).
export const BPF_DEVCG_ACC_MKNOD = 0x1;
export const BPF_DEVCG_ACC_READ = 0x2;
export const BPF_DEVCG_ACC_WRITE = 0x4;
export const BPF_DEVCG_DEV_BLOCK = 0x1;
export const BPF_DEVCG_DEV_CHAR = 0x2;

// Netlink(7) protocols.
export const NETLINK_ROUTE = 0;
export const NETLINK_KOBJECT_UEVENT = 15;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;
/** Netlink(7) protocols. */
export const NETLINK_PROTOCOLS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { NETLINK_ROUTE, NETLINK_KOBJECT_UEVENT, NETLINK_NETFILTER, NETLINK_GENERIC },
};

// Setsockopt(2) of SOL_NETLINK.
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;
export const NETLINK_CAP_ACK = 10;
/** Setsockopt(2) of SOL_NETLINK. */
export const NETLINK_OPTIONS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NETLINK_CAP_ACK },
};

// Netlink(7) request flags; the values above 0x80 depend on the request.
export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_ECHO = 0x8;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_ROOT = 0x100;
export const NLM_F_MATCH = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** Netlink(7) request flags; the values above 0x80 depend on the request. */
export const NLM_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_ECHO, NLM_F_DUMP_INTR },
};

// Netlink(7) control messages.
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;
export const NLMSGERR_ATTR_MSG = 1;
export const NLMSGERR_ATTR_OFFS = 2;
export const NLM_F_CAPPED = 256;
export const NLM_F_ACK_TLVS = 512;
/** Netlink(7) control messages. */
export const NLMSG_TYPES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN },
};

// Rtnetlink(7) messages.
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWQDISC = 36;
export const RTM_NEWTFILTER = 44;
export const RTM_GETSTATS = 94;
/** Rtnetlink(7) messages. */
export const RTM_TYPES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    RTM_NEWLINK,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_SETLINK,
    RTM_NEWADDR,
    RTM_DELADDR,
    RTM_GETADDR,
    RTM_NEWROUTE,
    RTM_DELROUTE,
    RTM_GETROUTE,
    RTM_NEWNEIGH,
    RTM_DELNEIGH,
    RTM_GETNEIGH,
    RTM_NEWQDISC,
    RTM_NEWTFILTER,
    RTM_GETSTATS,
  },
};

// Attributes of a link (linux/if_link.h).
export const IFLA_ADDRESS = 1;
export const IFLA_BROADCAST = 2;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5;
export const IFLA_STATS = 7;
export const IFLA_MASTER = 10;
export const IFLA_TXQLEN = 13;
export const IFLA_OPERSTATE = 16;
export const IFLA_LINKMODE = 17;
export const IFLA_LINKINFO = 18;
export const IFLA_NET_NS_PID = 19;
export const IFLA_IFALIAS = 20;
export const IFLA_STATS64 = 23;
export const IFLA_AF_SPEC = 26;
export const IFLA_GROUP = 27;
export const IFLA_NET_NS_FD = 28;
export const IFLA_EXT_MASK = 29;
export const IFLA_NUM_TX_QUEUES = 31;
export const IFLA_NUM_RX_QUEUES = 32;
export const IFLA_LINK_NETNSID = 37;
export const IFLA_NEW_NETNSID = 45;
export const IFLA_TARGET_NETNSID = 46;
export const IFLA_NEW_IFINDEX = 49;
export const IFLA_ALT_IFNAME = 53;
/** Attributes of a link (linux/if_link.h). */
export const IFLA_ATTRS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    IFLA_ADDRESS,
    IFLA_BROADCAST,
    IFLA_IFNAME,
    IFLA_MTU,
    IFLA_LINK,
    IFLA_STATS,
    IFLA_MASTER,
    IFLA_TXQLEN,
    IFLA_OPERSTATE,
    IFLA_LINKMODE,
    IFLA_LINKINFO,
    IFLA_NET_NS_PID,
    IFLA_IFALIAS,
    IFLA_STATS64,
    IFLA_AF_SPEC,
    IFLA_GROUP,
    IFLA_NET_NS_FD,
    IFLA_EXT_MASK,
    IFLA_NUM_TX_QUEUES,
    IFLA_NUM_RX_QUEUES,
    IFLA_LINK_NETNSID,
    IFLA_NEW_NETNSID,
    IFLA_TARGET_NETNSID,
    IFLA_NEW_IFINDEX,
    IFLA_ALT_IFNAME,
  },
};

// IFLA_LINKINFO.
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
export const IFLA_INFO_XSTATS = 3;
export const IFLA_INFO_SLAVE_KIND = 4;
export const IFLA_INFO_SLAVE_DATA = 5;
/** IFLA_LINKINFO. */
export const IFLA_INFO_ATTRS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_XSTATS, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA },
};

// IFLA_INFO_DATA of the kinds of links.
export const VETH_INFO_PEER = 1;
export const IFLA_MACVLAN_MODE = 1;
export const IFLA_MACVLAN_FLAGS = 2;
export const IFLA_IPVLAN_MODE = 1;
export const IFLA_IPVLAN_FLAGS = 2;
export const IFLA_VLAN_ID = 1;
export const IFLA_VLAN_FLAGS = 2;
export const IFLA_VLAN_PROTOCOL = 5;
export const IFLA_BR_FORWARD_DELAY = 1;
export const IFLA_BR_STP_STATE = 5;
export const IFLA_BR_VLAN_FILTERING = 7;
export const IFLA_BR_VLAN_DEFAULT_PVID = 39;
export const IFLA_BRPORT_MODE = 4;
export const IFLA_BRPORT_ISOLATED = 33;
export const IFLA_BRIDGE_FLAGS = 0;
export const IFLA_BRIDGE_MODE = 1;
export const IFLA_BRIDGE_VLAN_INFO = 2;
export const BRIDGE_FLAGS_MASTER = 1;
export const BRIDGE_FLAGS_SELF = 2;
export const BRIDGE_VLAN_INFO_PVID = 2;
export const BRIDGE_VLAN_INFO_UNTAGGED = 4;
export const BRIDGE_VLAN_INFO_RANGE_BEGIN = 8;
export const BRIDGE_VLAN_INFO_RANGE_END = 16;

// IFLA_MACVLAN_MODE.
export const MACVLAN_MODE_PRIVATE = 1;
export const MACVLAN_MODE_VEPA = 2;
export const MACVLAN_MODE_BRIDGE = 4;
export const MACVLAN_MODE_PASSTHRU = 8;
export const MACVLAN_MODE_SOURCE = 16;
/** IFLA_MACVLAN_MODE. */
export const MACVLAN_MODES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { MACVLAN_MODE_PRIVATE, MACVLAN_MODE_VEPA, MACVLAN_MODE_BRIDGE, MACVLAN_MODE_PASSTHRU, MACVLAN_MODE_SOURCE },
};

// IFLA_IPVLAN_MODE; and IFLA_IPVLAN_FLAGS.
export const IPVLAN_MODE_L2 = 0;
export const IPVLAN_MODE_L3 = 1;
export const IPVLAN_MODE_L3S = 2;
export const IPVLAN_F_PRIVATE = 1;
export const IPVLAN_F_VEPA = 2;
/** IFLA_IPVLAN_MODE; and IFLA_IPVLAN_FLAGS. */
export const IPVLAN_MODES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { IPVLAN_MODE_L2, IPVLAN_MODE_L3, IPVLAN_MODE_L3S },
};

// Netdevice(7) link flags.
export const IFF_UP = 0x1;
export const IFF_BROADCAST = 0x2;
export const IFF_LOOPBACK = 0x8;
export const IFF_POINTOPOINT = 0x10;
export const IFF_RUNNING = 0x40;
export const IFF_NOARP = 0x80;
export const IFF_PROMISC = 0x100;
export const IFF_ALLMULTI = 0x200;
export const IFF_MULTICAST = 0x1000;
export const IFF_LOWER_UP = 0x10000;
/** Netdevice(7) link flags. */
export const IFF_FLAGS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: {
    IFF_UP,
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_POINTOPOINT,
    IFF_RUNNING,
    IFF_NOARP,
    IFF_PROMISC,
    IFF_ALLMULTI,
    IFF_MULTICAST,
    IFF_LOWER_UP,
  },
};

// Attributes of an address.
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_LABEL = 3;
export const IFA_BROADCAST = 4;
export const IFA_CACHEINFO = 6;
export const IFA_FLAGS = 8;
export const IFA_F_PERMANENT = 128;
export const IFA_F_NODAD = 2;
export const IFA_F_SECONDARY = 1;
export const IFA_F_DEPRECATED = 32;
export const IFA_F_TENTATIVE = 64;
/** Attributes of an address. */
export const IFA_ATTRS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_CACHEINFO, IFA_FLAGS },
};

// Attributes of a route.
export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_IIF = 3;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
export const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
export const RTA_VIA = 18;
/** Attributes of a route. */
export const RTA_ATTRS: FlagTable = {
  kind: "value",
  base: "decimal",
  names: {
    RTA_DST,
    RTA_SRC,
    RTA_IIF,
    RTA_OIF,
    RTA_GATEWAY,
    RTA_PRIORITY,
    RTA_PREFSRC,
    RTA_MULTIPATH,
    RTA_TABLE,
    RTA_VIA,
  },
};

// Rtnetlink(7) scopes.
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_SITE = 200;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;
export const RT_SCOPE_NOWHERE = 255;
/** Rtnetlink(7) scopes. */
export const RT_SCOPES: FlagTable = {
  kind: "value",
  base: "decimal",
  names: { RT_SCOPE_UNIVERSE, RT_SCOPE_SITE, RT_SCOPE_LINK, RT_SCOPE_HOST, RT_SCOPE_NOWHERE },
};

// Rtnetlink(7) routes and neighbours.
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RTPROT_KERNEL = 2;
export const RTPROT_BOOT = 3;
export const RTPROT_STATIC = 4;
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
export const RTNH_F_ONLINK = 4;
export const NDA_DST = 1;
export const NUD_PERMANENT = 128;
export const NTF_PROXY = 8;

// Rtnetlink(7) multicast groups.
export const RTMGRP_LINK = 0x1;
export const RTMGRP_NEIGH = 0x4;
export const RTMGRP_IPV4_IFADDR = 0x10;
export const RTMGRP_IPV4_ROUTE = 0x40;
export const RTMGRP_IPV6_IFADDR = 0x100;
export const RTMGRP_IPV6_ROUTE = 0x400;
/** Rtnetlink(7) multicast groups. */
export const RTMGRP_GROUPS: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { RTMGRP_LINK, RTMGRP_NEIGH, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE },
};

// Landlock(7).
export const LANDLOCK_CREATE_RULESET_VERSION = 0x1;
/** Landlock(7). */
export const LANDLOCK: FlagTable = {
  kind: "bits",
  base: "hex",
  names: { LANDLOCK_CREATE_RULESET_VERSION },
};

/** open(2) flags whose values depend on the architecture, beside the common ones. */
export interface OpenFlags {
  readonly O_DIRECT: number;
  readonly O_LARGEFILE: number;
  readonly O_DIRECTORY: number;
  readonly O_NOFOLLOW: number;
  /** Contains O_DIRECTORY. */
  readonly O_TMPFILE: number;
}

const OPEN_FLAGS: Readonly<Record<Arch, OpenFlags>> = {
  x86_64: {
    O_DIRECT: 0o40000,
    O_LARGEFILE: 0o100000,
    O_DIRECTORY: 0o200000,
    O_NOFOLLOW: 0o400000,
    O_TMPFILE: 0o20200000,
  },
  arm64: {
    O_DIRECT: 0o200000,
    O_LARGEFILE: 0o400000,
    O_DIRECTORY: 0o40000,
    O_NOFOLLOW: 0o100000,
    O_TMPFILE: 0o20040000,
  },
};

/** The architecture's own open(2) flags: arm64 swaps two pairs (arch/arm64/include/uapi/asm/fcntl.h). */
export function openFlags(arch: Arch): OpenFlags {
  return OPEN_FLAGS[arch];
}

/** All open(2) flags of an architecture, as a table for showFlags; the access mode must be shown by showOpenFlags. */
export function openFlagTable(arch: Arch): FlagTable {
  const { O_TMPFILE, ...own } = OPEN_FLAGS[arch];
  const names: Record<string, number> = { O_TMPFILE };
  for (const [name, value] of Object.entries(O_FLAGS.names))
    if (name !== "O_ACCMODE" && name !== "O_DSYNC") names[name] = Number(value);
  return { kind: "bits", base: "octal", names: { ...names, O_DSYNC, ...own } };
}

/** `O_RDWR|O_CREAT|O_CLOEXEC`: flags of open(2), the access mode always first. */
export function showOpenFlags(arch: Arch, value: number): string {
  const mode = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][value & O_ACCMODE] ?? "O_ACCMODE";
  const rest = value & ~O_ACCMODE;
  return rest === 0 ? mode : `${mode}|${showFlags(openFlagTable(arch), rest)}`;
}

/**
 * A value in words, as strace prints it: `MS_BIND|MS_REC`; bits without a name follow as a number (`MS_BIND|0x80`); a value
 * without any name, and 0, is a number in the table's base.
 */
export function showFlags(table: FlagTable, value: number | bigint): string {
  const whole =
    typeof value === "bigint" ? BigInt.asUintN(64, value) : BigInt.asUintN(value < 0 ? 32 : 64, BigInt(value));
  let rest = whole;
  const out: string[] = [];
  for (const [name, raw] of Object.entries(table.names)) {
    const bits = BigInt(raw);
    if (table.kind === "value" ? bits === whole : bits !== 0n && (rest & bits) === bits) {
      out.push(name);
      rest = table.kind === "value" ? 0n : rest & ~bits;
      if (table.kind === "value") break;
    }
  }
  if (out.length === 0) {
    const zero =
      table.kind === "bits" && whole === 0n
        ? Object.entries(table.names).find(([, bits]) => Number(bits) === 0)
        : undefined;
    return zero === undefined ? showNumber(whole, table.base) : zero[0];
  }
  if (rest !== 0n) out.push(showNumber(rest, table.base));
  return out.join("|");
}

/**
 * The union of flags of any width: numbers and bigints. A negative number is the 32-bit value that `|` made of bit 31. For 64-bit fields
 * such as clone_args.flags.
 */
export function orFlags(...values: readonly (number | bigint)[]): bigint {
  return values.reduce<bigint>((sum, value) => sum | BigInt(typeof value === "number" ? value >>> 0 : value), 0n);
}

/** A mode in octal as strace prints it, with the file type by name: `S_IFCHR|0666`, `0755`. */
export function showMode(mode: number): string {
  const type = mode & S_IFMT;
  const bits = `0${(mode & 0o7777).toString(8).padStart(3, "0")}`;
  if (type === 0) return bits;
  return `${showFlags(S_IF, type)}|${bits}`;
}

function showNumber(value: bigint, base: FlagTable["base"]): string {
  switch (base) {
    case "hex":
      return value === 0n ? "0" : `0x${value.toString(16)}`;
    case "octal":
      return value === 0n ? "0" : `0${value.toString(8)}`;
    case "decimal":
      return value.toString();
    default:
      throw new TypeError(`unknown base ${String(base satisfies never)}`);
  }
}

// Queueing disciplines and filters: handles (linux/pkt_sched.h), attributes (linux/rtnetlink.h, pkt_sched.h, pkt_cls.h).
export const TC_H_ROOT = 0xffffffff;
export const TC_H_CLSACT = 0xfffffff1;
export const TC_H_MIN_INGRESS = 0xfff2;
export const TC_LINKLAYER_ETHERNET = 1;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
export const TCA_TBF_PARMS = 1;
export const TCA_TBF_RATE64 = 4;
export const TCA_TBF_PRATE64 = 5;
export const TCA_TBF_BURST = 6;
export const TCA_TBF_PBURST = 7;
export const TCA_BPF_OPS_LEN = 4;
export const TCA_BPF_OPS = 5;
export const TCA_BPF_FD = 6;
export const TCA_BPF_NAME = 7;
export const TCA_BPF_FLAGS = 8;
export const TCA_BPF_FLAG_ACT_DIRECT = 1;
/** What a filter answers. -1: the next one decides. */
export const TC_ACT_UNSPEC = -1;
export const TC_ACT_OK = 0;
export const TC_ACT_SHOT = 2;
export const ETH_P_ALL = 3;
