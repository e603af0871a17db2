import { closeSync, constants, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";
import type { HostFacts } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";
import { pack } from "../sys/bytes.js";
import { EACCES, EAGAIN, errnoName } from "../sys/errno.js";
import { requireSyscall } from "../sys/syscalls.js";
import { ioError } from "../base/io-error.js";

/**
 * Whose the nics of users are: /run/lxc/nics, in the format of LXC's lxc-user-nic, which may be in use beside us: lines of
 * `OWNER TYPE BRIDGE NIC`. Whoever looks at it holds its lock, and it is changed in place: the lock is the file's, not its name's.
 */
export interface NicAccount {
  /** A user, or `@` and a group. */
  readonly owner: string;
  readonly type: string;
  readonly bridge: string;
  /** The host's end. */
  readonly nic: string;
}

export interface NicAccounts {
  /** Carries the lock: as long as anybody has it open nobody else gets at the accounts. */
  readonly fd: number;
  /** Of nics that are there, each of them once. */
  read(isThere: (nic: string) => boolean): readonly NicAccount[];
  /** From now on these and no others. */
  write(accounts: readonly NicAccount[]): void;
  close(): void;
}

/** Bytes; more has nobody. */
const mostText = 4 << 20;
/** Milliseconds between two tries to get the lock. */
const lockPause = 10;

const F_OFD_SETLK = 37;
const F_WRLCK = 1;

/** LXC's own; daemons that stand beside the host's keep accounts of their own. */
export function nicAccountsFile({ runtimeDir }: HostFacts): string {
  return process.env["ISLET_LXC_NICS"] ?? (runtimeDir === "/run/islet" ? "/run/lxc/nics" : join(runtimeDir, "nics"));
}

/** Lines that are none are passed over: an interrupted change may leave a piece of one. */
export function parseNicAccounts(text: string): readonly NicAccount[] {
  const found = new Map<string, NicAccount>();
  for (const line of text.split("\n")) {
    const [owner = "", type = "", bridge = "", nic = "", ...more] = line.split(/[ \t]+/);
    if (nic === "" || more.length > 0 || owner.startsWith("#")) continue;
    if (!found.has(nic)) found.set(nic, { owner, type, bridge, nic });
  }
  return [...found.values()];
}

export function showNicAccounts(accounts: readonly NicAccount[]): string {
  return accounts.map(({ owner, type, bridge, nic }) => `${owner} ${type} ${bridge} ${nic}\n`).join("");
}

/** Opens the accounts and waits for their lock, at most `patience` milliseconds. ISLET_TIMEOUT, ISLET_IO. */
export async function openNicAccounts(arch: Arch, path: string, patience: number): Promise<NicAccounts> {
  const fd = openFile(path);
  try {
    await lock(arch, fd, path, patience);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    fd,
    read: (isThere) => parseNicAccounts(readText(fd, path)).filter(({ nic }) => isThere(nic)),
    write(accounts) {
      const bytes = Buffer.from(showNicAccounts(accounts));
      try {
        // A kill in between leaves lines behind these that are there twice, or in part: `parseNicAccounts`.
        for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at);
        ftruncateSync(fd, bytes.length);
      } catch (error) {
        throw ioError(`write ${path}`, error);
      }
    },
    close: () => {
      closeSync(fd);
    },
  };
}

function openFile(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw ioError(`open ${path}`, error);
  }
}

/** One that belongs to the open file, and excludes LXC's, which belong to processes (fcntl(2), Open file description locks). */
async function lock(arch: Arch, fd: number, path: string, patience: number): Promise<void> {
  const wholeFile = pack(32).u16(0, F_WRLCK).bytes;
  for (let waited = 0; ; waited += lockPause) {
    const result = syscall(requireSyscall(arch, "fcntl"), [fd, F_OFD_SETLK, wholeFile]);
    if (result >= 0) return;
    if (result !== -EAGAIN && result !== -EACCES)
      throw new IsletError("ISLET_IO", `cannot lock ${path}: ${errnoName(result)}`, { errno: errnoName(result) });
    if (waited >= patience)
      throw new IsletError("ISLET_TIMEOUT", `somebody else has had the lock of ${path} for ${patience / 1000} s`);
    await sleep(lockPause);
  }
}

function readText(fd: number, path: string): string {
  const { size } = fstatSync(fd);
  if (size > mostText) throw new IsletError("ISLET_IO", `${path} is larger than ${mostText} bytes`);
  const bytes = Buffer.alloc(size);
  return bytes.toString("utf8", 0, readSync(fd, bytes, 0, size, 0));
}
