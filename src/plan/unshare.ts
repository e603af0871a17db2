import type { HostFacts } from "../spec/host.js";
import type { IdMapEntry } from "../spec/idmap.js";
import type { NamespaceKind } from "../spec/namespace.js";
import {
  type Block,
  beginProgram,
  buffer,
  call,
  clone,
  compute,
  cwdFd,
  end,
  finishProgram,
  format,
  imm,
  load,
  nil,
  slot,
  str,
  stringArray,
  tell,
  wait,
} from "../program/assembler.js";
import { clientTells } from "./client-tells.js";
import { cloneArguments, close, closeNow, openat, pair, writeText } from "../program/calls.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import { EPERM } from "../sys/errno.js";
import { CLONE_PIDFD, O_WRONLY } from "../sys/flags.js";
import { setLink } from "../sys/netlink.js";
import { endOnFailure, letGoOn } from "./attach.js";
import { defaultSignals, signalChild } from "./hooks.js";
import { mapText } from "./idmap.js";
import { cloneFlag } from "./namespace.js";
import { openNetSockets, request } from "./nic/netlink.js";
import { execProgram } from "./process.js";

export interface UnshareRequest {
  readonly argv: readonly string[];
  /** NAME=VALUE, complete. */
  readonly environment: readonly string[];
  readonly namespaces: readonly NamespaceKind[];
  /** Of the new user namespace; [] leaves it without. */
  readonly idMap: readonly IdMapEntry[];
  /** Who the program runs as; `gid` null: its groups stay as they are. */
  readonly user: { readonly uid: number; readonly gid: number | null } | null;
  readonly hostname: string | null;
  /** Of the caller's network namespace; they move into the new one. */
  readonly interfaces: readonly string[];
  /** /proc, /dev/shm and /dev/mqueue anew. */
  readonly remount: boolean;
  /** Ends when the program has begun. */
  readonly detach: boolean;
}

/** Bits of the result that are the pid: pids are below 2^22 (PID_MAX_LIMIT); the exit status is above them. */
export const unsharePidBits = 22;

/** A program of the caller's in new namespaces, as a child of its client (clone(2)). Result: exit status << 22 | pid; only the pid when detached. */
export function planUnshare(wanted: UnshareRequest, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const sync = slot(build, "sync");
  const childSync = slot(build, "sync.child");
  const pid = slot(build, "program");
  const pidfd = slot(build, "program.pidfd");
  const room = buffer(build, 8, pidfd.name);
  pair(client, "socketpair", sync, childSync, "make the socket pair");
  let flags = BigInt(CLONE_PIDFD);
  for (const kind of wanted.namespaces) flags |= BigInt(cloneFlag[kind] >>> 0);
  const args = cloneArguments(client, flags, signalChild, room, null);
  const hints = {
    EPERM: "new namespaces are root's to make",
    ENOSPC: "a limit of namespaces is reached: /proc/sys/user/max_*_namespaces",
  };
  clone(client, "program", args, { note: "make a process in new namespaces", out: pid, hints }, (child) => {
    planProgram(child, wanted, sync, childSync);
  });
  load(client, pidfd, room, 4, "take its pidfd");
  if (!wanted.detach) endOnFailure(client, pidfd);
  closeNow(client, childSync, "close the child's end");
  if (!wanted.detach) {
    tell(
      client,
      clientTells.ignoreInterrupts,
      "ignore_interrupts",
      imm(1),
      "the terminal's interrupts are the program's",
    );
    tell(client, clientTells.forwardSignals, "forward_signals", pid, "signals of the client go to it");
  }
  writeMaps(client, wanted.idMap, pid);
  if (wanted.interfaces.length > 0) moveInterfaces(client, wanted.interfaces, pid);
  letGoOn(client, sync);
  if (wanted.detach) {
    call(client, "read", [sync, buffer(build, 8, "[]"), imm(1)], { note: "wait until it has begun", waitIn: true });
    end(client, pid, "it goes on alone");
    return finishProgram(build);
  }
  const status = slot(build, "status");
  const result = slot(build, "result");
  wait(client, pidfd, false, { note: "wait for its end", out: status });
  compute(client, result, "shl", status, imm(unsharePidBits), "status and pid are the result");
  compute(client, result, "or", result, pid, "status and pid are the result");
  end(client, result, "status and pid are the result");
  return finishProgram(build);
}

function writeMaps(client: Block, idMap: readonly IdMapEntry[], pid: Slot): void {
  for (const type of ["uid", "gid"] as const) {
    const text = mapText(idMap, type);
    if (text === "") continue;
    const path = buffer(client.build, 40, `"/proc/PID/${type}_map"`);
    const fd = slot(client.build, `${type}_map`);
    format(client, path, `/proc/%/${type}_map`, [pid], `write the path of the ${type} map`);
    openat(client, cwdFd, path, O_WRONLY, fd, { note: `open the ${type} map` });
    writeText(client, fd, text, {
      note: `map its ${type}s`,
      hints: {
        EINVAL: "the ranges overlap, are empty, or there are more than the kernel takes",
        EPERM: "ids of others can be mapped only by root",
      },
    });
    close(client, fd, `close the ${type} map`);
  }
}

function moveInterfaces(client: Block, names: readonly string[], pid: Slot): void {
  const sockets = openNetSockets(client, "client");
  for (const name of names) {
    request(client, sockets, setLink({ name, netnsPid: "late" }), { netnsPid: pid }, `{RTM_SETLINK, ${name}}`, {
      note: `move the interface ${name}`,
      hints: {
        ENODEV: `there is no interface ${name}`,
        EINVAL: `the interface ${name} cannot leave its network namespace`,
      },
    });
  }
}

function planProgram(child: Block, wanted: UnshareRequest, sync: Slot, childSync: Slot): void {
  const { build } = child;
  defaultSignals(child);
  closeNow(child, sync, "close the client's end");
  call(child, "read", [childSync, buffer(build, 8, "[go]"), imm(1)], { note: "wait for the client", full: true });
  if (wanted.namespaces.includes("mount")) {
    call(child, "mount", [nil, str(build, "/"), nil, imm(0x84000, "MS_REC|MS_SLAVE"), nil], {
      note: "keep its mounts from the host",
    });
  }
  if (wanted.hostname !== null) {
    const length = new TextEncoder().encode(wanted.hostname).length;
    call(child, "sethostname", [str(build, wanted.hostname), imm(length)], {
      note: `set the host name ${wanted.hostname}`,
      hints: { EINVAL: "host names have at most 64 bytes" },
    });
  }
  if (wanted.remount) remount(child);
  if (wanted.user !== null) becomeUser(child, wanted.user);
  const { environment, argv } = wanted;
  const envp = stringArray(build, environment, `[/* ${environment.length} vars */]`);
  execProgram(child, argv[0] ?? "/bin/sh", argv, environment, envp);
}

function becomeUser(child: Block, user: NonNullable<UnshareRequest["user"]>): void {
  const { uid, gid } = user;
  if (gid !== null) {
    call(child, "setgroups", [imm(0), nil], {
      note: "drop the supplementary groups",
      // Without a map of groups.
      on: [{ on: EPERM, to: "next" }],
    });
    call(child, "setresgid", [imm(gid), imm(gid), imm(gid)], {
      note: `become group ${gid}`,
      hints: { EINVAL: `the map has no group ${gid}` },
    });
  }
  call(child, "setresuid", [imm(uid), imm(uid), imm(uid)], {
    note: `become user ${uid}`,
    hints: { EINVAL: `the map has no user ${uid}` },
  });
}

/** lxc-unshare -M. What the image has no directory for stays away. */
function remount(child: Block): void {
  const { build } = child;
  for (const [fstype, path, isNeeded] of [
    ["proc", "/proc", true],
    ["tmpfs", "/dev/shm", false],
    ["mqueue", "/dev/mqueue", false],
  ] as const) {
    call(
      child,
      "mount",
      [str(build, fstype), str(build, path), str(build, fstype), imm(0xe, "MS_NOSUID|MS_NODEV|MS_NOEXEC"), nil],
      {
        note: `mount ${path}`,
        on: isNeeded ? [] : [{ on: "any", to: "next" }],
      },
    );
  }
}
