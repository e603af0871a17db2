import {
  type Block,
  buffer,
  call,
  clone,
  compute,
  cwdFd,
  data,
  end,
  goOn,
  ignore,
  imm,
  jump,
  label,
  load,
  nil,
  place,
  slot,
  store,
  wait,
  within,
} from "../program/assembler.js";
import { cloneArguments, moveMount, openTree, openat, openat2 } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import type { LxcfsFacts, StartFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import { ENOENT } from "../sys/errno.js";
import { CLONE_PIDFD, O_PATH, O_RDONLY, POLLIN, PR_SET_PDEATHSIG, openFlags } from "../sys/flags.js";
import { POLLFD_AT, pollfd, timespec } from "../sys/structs.js";
import type { StartContext } from "./context.js";
import { beneath } from "./dev.js";
import { signalChild } from "./hooks.js";
import { insideRootNoLinks } from "./mount.js";

/**
 * LXCFS (https://linuxcontainers.org/lxcfs): a FUSE file system of the host whose files show each reader the limits and the usage of its own
 * container. They are mounted over those of the guest's /proc and /sys; nothing of it ever fails a start.
 *
 * Its view of /sys/fs/cgroup is for kernels without cgroup namespaces, which are older than any that islet runs on.
 */

/** Where nested containers' managers look for LXCFS. */
export const lxcfsInside = "var/lib/lxcfs";
export const cpuDirectory = "sys/devices/system/cpu";

/** LXCFS's own hook (from common.conf.d) does the same; what the configuration says comes first. */
function hasLxcfsHook(spec: ContainerSpec): boolean {
  return spec.hooks.list.some(
    ({ kind, command }) => kind === "mount" && /(^|\/)lxcfs\/lxc\.mount\.hook(\s|$)/.test(command),
  );
}

/** What is to be mounted; null: nothing. */
function wantedFiles(spec: ContainerSpec, start: StartFacts): LxcfsFacts | null {
  return spec.guest.lxcfs && !hasLxcfsHook(spec) ? start.lxcfs : null;
}

/** A container of this start may have files of LXCFS, which must be mended when LXCFS is started anew. */
export function mayHaveLxcfs(spec: ContainerSpec, start: StartFacts): boolean {
  return hasLxcfsHook(spec) || wantedFiles(spec, start) !== null;
}

/** Opened while the child still has the host's user id: the container's root need not be able to search the directories on the way. */
export function openLxcfs(context: StartContext, child: Block): Slot | null {
  const { spec, start, host, build } = context;
  if (wantedFiles(spec, start) === null) return null;
  const directory = slot(build, "lxcfs");
  openat(child, cwdFd, host.lxcfs, O_PATH | openFlags(build.arch).O_DIRECTORY, directory, {
    note: `open ${host.lxcfs}`,
    on: ignore("any"),
  });
  return directory;
}

/** Milliseconds that all files may take: an LXCFS that is stopped, or hangs, must not hold up a start. */
const bindTime = 1000n;

/**
 * `lxcfs`: what `openLxcfs` gave. After the mount entries, as LXCFS's own hook. To look for a file is a question to LXCFS, which may not answer:
 * a process of its own asks, and is killed when it takes too long.
 */
export function planLxcfs(context: StartContext, child: Block, root: Slot, lxcfs: Slot | null): void {
  const files = wantedFiles(context.spec, context.start);
  if (files === null || lxcfs === null) return;
  const { build } = context;
  const done = label("no LXCFS");
  jump(child, done, "LXCFS is not there", "lt", lxcfs, imm(0));
  const room = buffer(build, 8, "lxcfs.pidfd");
  const pidfd = slot(build, "lxcfs.pidfd");
  const args = cloneArguments(child, BigInt(CLONE_PIDFD), signalChild, room, null);
  const start = { note: "start the process that mounts LXCFS's files", on: goOn(done, "any") };
  clone(child, "LXCFS", args, start, (binder) => {
    call(binder, "prctl", [imm(PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), imm(9, "SIGKILL"), imm(0), imm(0), imm(0)], {
      note: "die with who waits for LXCFS",
      on: ignore("any"),
    });
    bindFiles(context, binder, root, lxcfs, files);
    end(binder, 0, "LXCFS's files are there");
  });
  load(child, pidfd, room, 4, "take its pidfd");
  const ready = data(build, pollfd(0, POLLIN), "[{pidfd, POLLIN}]");
  store(child, pidfd, within(ready, POLLFD_AT.fd, 4), 4, "wait for that process");
  const time = data(build, timespec(bindTime * 1_000_000n), "{1 s}");
  call(child, "ppoll", [ready, imm(1), time, nil, imm(0)], { note: "wait for LXCFS's files", on: ignore("any") });
  call(child, "pidfd_send_signal", [pidfd, imm(9, "SIGKILL"), nil, imm(0)], {
    note: "wait for LXCFS no longer",
    on: ignore("any"),
  });
  wait(child, pidfd, false, { note: "take the end of the process that mounts LXCFS's files", on: ignore("any") });
  place(child, done);
}

function bindFiles(context: StartContext, binder: Block, root: Slot, lxcfs: Slot, files: LxcfsFacts): void {
  const { build } = context;
  const done = label("LXCFS is dead");
  const bound = slot(build, "lxcfs.bound");
  const bind: Bind = {
    lxcfs,
    bound,
    tree: slot(build, "lxcfs.file"),
    target: slot(build, "lxcfs.target"),
    stale: slot(build, "lxcfs.stale"),
  };
  // To look a name up in a dead one would detach what other guests have mounted on its files (d_invalidate of old kernels): first, whether it lives.
  openat(binder, lxcfs, ".", O_RDONLY | openFlags(build.arch).O_DIRECTORY, bind.target, {
    note: "ask whether LXCFS lives",
    on: goOn(done, "any"),
  });
  inDirectory(binder, root, "proc", slot(build, "lxcfs.proc"), (proc) => {
    for (const name of files.proc) bindFile(binder, bind, `proc/${name}`, proc, name, beneath);
  });
  if (files.cpu === "whole") bindFile(binder, bind, cpuDirectory, root, cpuDirectory, insideRootNoLinks);
  else {
    const names = files.cpu;
    inDirectory(binder, root, cpuDirectory, slot(build, "lxcfs.cpu"), (cpu) => {
      for (const name of names) bindFile(binder, bind, `${cpuDirectory}/${name}`, cpu, name, beneath);
    });
  }
  // The descriptor of a dead one is as good as any: where no file could be had it is of no use to nested containers either.
  jump(binder, done, "LXCFS does not answer", "eq", bound, imm(0));
  bindFile(binder, bind, "", root, lxcfsInside, insideRootNoLinks);
  place(binder, done);
}

/** A directory of the guest's, without which nothing below it is done. */
function inDirectory(child: Block, root: Slot, path: string, directory: Slot, body: (directory: Slot) => void): void {
  const absent = label(`no /${path}`);
  openat2(child, root, path, O_PATH | openFlags(child.build.arch).O_DIRECTORY, insideRootNoLinks, directory, {
    note: `open /${path}`,
    on: goOn(absent, "any"),
  });
  body(directory);
  place(child, absent);
}

interface Bind {
  readonly lxcfs: Slot;
  /** Becomes 1. */
  readonly bound: Slot;
  readonly tree: Slot;
  readonly target: Slot;
  /** How often a file was taken again. */
  readonly stale: Slot;
}

/**
 * Times that files are taken again. Somebody else's question for the same file may drop what was taken from the kernel's names
 * (fuse_dentry_revalidate), and a mount that begins there can then not be moved any more: ENOENT.
 */
const mostStale = 64n;

/** One file of LXCFS (or, for "", all of it) onto one that the guest has; skipped at the first difficulty. */
function bindFile(child: Block, bind: Bind, source: string, directory: Slot, path: string, resolve: number): void {
  const where = `/${source === "" ? lxcfsInside : source}`;
  const next = label(`after ${where}`);
  const again = label(`${where} again`);
  const stale = label(`${where} is stale`);
  const on = goOn(next, "any");
  const what = source === "" ? "LXCFS" : `LXCFS's ${source}`;
  openat2(child, directory, path, O_PATH, resolve, bind.target, { note: `look for ${where}`, on });
  place(child, again);
  openTree(child, bind.lxcfs, source, false, bind.tree, { note: `take ${what}`, on }, source === "");
  moveMount(child, bind.tree, bind.target, {
    note: `mount ${what} on ${where}`,
    on: [...goOn(stale, ENOENT), ...on],
  });
  compute(child, bind.bound, "set", imm(1), null, "LXCFS answers");
  jump(child, next, "it is there");
  place(child, stale);
  compute(child, bind.stale, "add", bind.stale, imm(1), "somebody else has asked for it at that moment");
  jump(child, again, "take it again", "lt", bind.stale, imm(mostStale));
  place(child, next);
}
