import assert from "node:assert/strict";
import { test } from "node:test";

import { archFromUname } from "../../../src/sys/arch.js";
import { CAPABILITIES } from "../../../src/sys/capability.js";
import { errnoName, strerror } from "../../../src/sys/errno.js";
import * as flags from "../../../src/sys/flags.js";
import { RLIMITS } from "../../../src/sys/rlimits.js";
import { SIGNALS } from "../../../src/sys/signals.js";
import { SYSCALLS_ARM64, SYSCALLS_I386, SYSCALLS_X86_64, syscallNumber } from "../../../src/sys/syscalls.js";
import { numbers, runC } from "./c.js";

const arch = archFromUname(process.arch);
assert.ok(arch !== undefined);

const HEADERS = `
#define _GNU_SOURCE
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <fcntl.h>
${[
  "linux/openat2 linux/mount linux/sched linux/close_range sys/prctl linux/prctl linux/securebits linux/seccomp sys/socket netinet/in",
  "sys/stat linux/memfd sys/file sys/ioctl linux/sockios linux/nsfs linux/fs linux/loop linux/btrfs linux/keyctl sys/personality",
  "sys/wait signal sys/signalfd sys/eventfd sys/epoll sys/timerfd poll linux/reboot sys/mman sys/xattr linux/stat linux/magic",
  "sys/inotify linux/bpf linux/netlink linux/rtnetlink linux/if_link linux/if_bridge linux/if_tun linux/veth net/if linux/neighbour",
  "linux/landlock asm/termbits linux/capability sys/resource linux/pkt_sched linux/pkt_cls linux/if_ether",
]
  .flatMap((line) => line.split(" "))
  .map((name) => `#include <${name}.h>`)
  .join("\n")}
`;

// Names that <sys/mount.h> has (it cannot stand beside <linux/mount.h> before glibc 2.37), the C library has under another name, or only kernels
// after the oldest headers we build with.
const ELSEWHERE: ReadonlySet<string> = new Set([
  ..."MNT_FORCE MNT_DETACH MNT_EXPIRE UMOUNT_NOFOLLOW UNAME26 IFF_LOWER_UP PIDFD_NONBLOCK PIDFD_THREAD SA_RESTORER".split(
    " ",
  ),
  ..."MOVE_MOUNT_BENEATH FSCONFIG_CMD_CREATE_EXCL SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV SO_PASSPIDFD SO_PEERPIDFD SCM_PIDFD SO_PASSRIGHTS".split(
    " ",
  ),
  ..."F_SEAL_EXEC MFD_NOEXEC_SEAL MFD_EXEC ZFS_SUPER_MAGIC".split(" "),
]);

test("every kernel constant has the value of the headers on this machine", () => {
  const ours = Object.entries<unknown>(flags).filter((entry): entry is [string, number | bigint] =>
    ["number", "bigint"].includes(typeof entry[1]),
  );
  const seen = new Set(`${runC(HEADERS, ["-E", "-P"])}\n${runC(HEADERS, ["-E", "-dM"])}`.match(/\b\w+\b/g));
  const known = ours.filter(([name]) => seen.has(name));
  const unknown = ours.map(([name]) => name).filter((name) => !seen.has(name) && !ELSEWHERE.has(name));
  assert.deepEqual(unknown, [], "neither in the headers nor among the excepted names");
  const theirs = numbers(
    runC(
      `${HEADERS}int main(void) {\n${known.map(([n]) => `printf("${n} %lld\\n", (long long)(${n}));`).join("\n")}\n}`,
    ),
  );
  assert.ok(known.length > 600);
  const wrong = known.filter(([name, value]) => {
    const width = BigInt(value) > 0xffff_ffffn ? 64 : 32;
    return BigInt.asUintN(width, BigInt(value)) !== BigInt.asUintN(width, theirs.get(name) ?? -1n);
  });
  assert.deepEqual(
    wrong.map(([name, value]) => `${name}: ${value}, headers ${String(theirs.get(name))}`),
    [],
  );
});

test("the open flags of this architecture are those of the headers", () => {
  // glibc's O_LARGEFILE is 0 where off_t has 64 bits; the kernel's value is __O_LARGEFILE.
  const names: Readonly<Record<string, keyof flags.OpenFlags>> = {
    O_DIRECT: "O_DIRECT",
    O_DIRECTORY: "O_DIRECTORY",
    O_NOFOLLOW: "O_NOFOLLOW",
    O_TMPFILE: "O_TMPFILE",
  };
  const theirs = numbers(
    runC(
      `${HEADERS}int main(void) {\n${Object.keys(names)
        .map((n) => `printf("${n} %d\\n", ${n});`)
        .join("\n")}\n}`,
    ),
  );
  const ours = flags.openFlags(arch);
  for (const [name, key] of Object.entries(names)) assert.equal(BigInt(ours[key]), theirs.get(name), name);
  const kernel = numbers(
    runC(`#include <stdio.h>\n#include <asm/fcntl.h>\nint main(void) { printf("O_LARGEFILE %d\\n", O_LARGEFILE); }`),
  );
  assert.equal(BigInt(ours.O_LARGEFILE), kernel.get("O_LARGEFILE"));
});

test("no open flag's bit means two things, on either architecture", () => {
  for (const one of ["x86_64", "arm64"] as const) {
    const { O_TMPFILE, ...single } = flags.openFlags(one);
    const values = [
      ...Object.values(single),
      flags.O_CREAT,
      flags.O_EXCL,
      flags.O_NOCTTY,
      flags.O_TRUNC,
      flags.O_APPEND,
      flags.O_NONBLOCK,
      flags.O_NOATIME,
      flags.O_CLOEXEC,
      flags.O_PATH,
    ];
    assert.equal(new Set(values).size, values.length);
    assert.equal(O_TMPFILE & single.O_DIRECTORY, single.O_DIRECTORY);
  }
});

/** `#define __NR_name number` of a header, evaluated by the compiler. */
function headerNumbers(header: string, prefix = ""): ReadonlyMap<string, bigint> {
  const include = `${prefix}\n#include <${header}>\n`;
  const names = [...runC(include, ["-E", "-dM"]).matchAll(/^#define (__NR_\w+) /gm)].map((match) => match[1] ?? "");
  const lines = names.map((name) => `printf("${name.slice(5)} %lld\\n", (long long)(${name}));`);
  return numbers(runC(`#include <stdio.h>\n${include}int main(void) {\n${lines.join("\n")}\n}`));
}

function compare(abi: "x86_64" | "i386" | "x32" | "arm64", header: ReadonlyMap<string, bigint>): void {
  const wrong = [...header]
    .filter(([name]) => name !== "syscalls" && name !== "arch_specific_syscall" && !name.startsWith("3264_"))
    .filter(([name, nr]) => BigInt(syscallNumber(abi, name) ?? -1) !== nr)
    .map(([name, nr]) => `${name}: ${String(syscallNumber(abi, name))}, header ${nr}`);
  assert.deepEqual(wrong, []);
}

if (arch === "x86_64")
  test("the x86 tables of system calls agree with the headers", () => {
    for (const [abi, file] of [
      ["x86_64", "64"],
      ["i386", "32"],
      ["x32", "x32"],
    ] as const) {
      // unistd_x32.h needs __X32_SYSCALL_BIT, which <asm/unistd.h> has.
      const header = headerNumbers(`asm/unistd_${file}.h`, abi === "x32" ? "#define __X32_SYSCALL_BIT 0x40000000" : "");
      assert.ok(header.size > 340, abi);
      compare(abi, header);
    }
  });

test("the arm64 table agrees with the generic header", () => {
  const wants = ["RENAMEAT", "NEW_STAT", "SET_GET_RLIMIT", "TIME32_SYSCALLS", "MEMFD_SECRET", "SYS_CLONE3"].map(
    (want) => `#define __ARCH_WANT_${want}`,
  );
  const header = headerNumbers("asm-generic/unistd.h", ["#define __BITS_PER_LONG 64", ...wants].join("\n"));
  assert.ok(header.size > 290);
  compare("arm64", header);
});

test("all tables share the numbers from 424 on, and none has a number twice but for known aliases", () => {
  for (const [name, nr] of Object.entries(SYSCALLS_ARM64).filter((entry) => entry[1] >= 424)) {
    assert.equal(syscallNumber("x86_64", name), nr, name);
    if (name !== "memfd_secret") assert.equal(syscallNumber("arm", name), nr, name);
    assert.equal(syscallNumber("i386", name), nr, name);
  }
  for (const table of [SYSCALLS_X86_64, SYSCALLS_ARM64, SYSCALLS_I386])
    assert.equal(new Set(Object.values(table)).size, Object.keys(table).length);
  assert.equal(syscallNumber("arm", "arm_sync_file_range"), syscallNumber("arm", "sync_file_range2"));
  assert.equal(syscallNumber("arm64", "open_tree_attr"), 467);
});

test("errno names and texts are the C library's", () => {
  const output = runC(
    `${HEADERS}#include <errno.h>\nint main(void) { for (int i = 1; i < 134; i++) printf("%d %s %s\\n", i, strerrorname_np(i) ? strerrorname_np(i) : "?", strerror(i)); }`,
  );
  const known = output
    .trim()
    .split("\n")
    .map((line) => /^(\d+) (\S+) (.*)$/.exec(line))
    .filter((match) => match !== null && match[2] !== "?");
  assert.ok(known.length > 130);
  for (const match of known) {
    const [, nr = "", name = "", text = ""] = match ?? [];
    assert.equal(strerror(Number(nr)), text);
    // glibc calls 95 ENOTSUP; the kernel EOPNOTSUPP.
    if (nr !== "95") assert.equal(errnoName(Number(nr)), name);
  }
});

test("signals, limits and capabilities have the numbers of the headers", () => {
  const rows = [
    ...Object.entries(SIGNALS).map(([name, nr]) => [name, nr] as const),
    ...Object.entries(RLIMITS).map(([name, nr]) => [`RLIMIT_${name.toUpperCase()}`, nr] as const),
    ...CAPABILITIES.map((name, nr) => [`CAP_${name.toUpperCase()}`, nr] as const),
  ];
  const theirs = numbers(
    runC(`${HEADERS}int main(void) {\n${rows.map(([n]) => `printf("${n} %d\\n", (int)${n});`).join("\n")}\n}`),
  );
  for (const [name, nr] of rows) assert.equal(theirs.get(name), BigInt(nr), name);
});
