import { type Block, compute, cwdFd, goOn, ignore, imm, jump, label, place, slot } from "../program/assembler.js";
import { moveMount, openTree, openat, openat2 } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import type { LxcfsFacts, StartFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import { O_PATH, openFlags } from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { beneath } from "./dev.js";
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

/** `lxcfs`: what `openLxcfs` gave. After the mount entries, as LXCFS's own hook. */
export function planLxcfs(context: StartContext, child: Block, root: Slot, lxcfs: Slot | null): void {
  const files = wantedFiles(context.spec, context.start);
  if (files === null || lxcfs === null) return;
  const { build } = context;
  const done = label("no LXCFS");
  const bound = slot(build, "lxcfs.bound");
  const bind: Bind = { lxcfs, bound, tree: slot(build, "lxcfs.file"), target: slot(build, "lxcfs.target") };
  jump(child, done, "LXCFS is not there", "lt", lxcfs, imm(0));
  within(child, root, "proc", slot(build, "lxcfs.proc"), (proc) => {
    for (const name of files.proc) bindFile(child, bind, `proc/${name}`, proc, name, beneath);
  });
  if (files.cpu === "whole") bindFile(child, bind, cpuDirectory, root, cpuDirectory, insideRootNoLinks);
  else {
    const names = files.cpu;
    within(child, root, cpuDirectory, slot(build, "lxcfs.cpu"), (cpu) => {
      for (const name of names) bindFile(child, bind, `${cpuDirectory}/${name}`, cpu, name, beneath);
    });
  }
  // The descriptor of a dead one is as good as any: where no file could be had it is of no use to nested containers either.
  jump(child, done, "LXCFS does not answer", "eq", bound, imm(0));
  bindFile(child, bind, "", root, lxcfsInside, insideRootNoLinks);
  place(child, done);
}

/** A directory of the guest's, without which nothing below it is done. */
function within(child: Block, root: Slot, path: string, directory: Slot, body: (directory: Slot) => void): void {
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
}

/** One file of LXCFS (or, for "", all of it) onto one that the guest has; skipped at the first difficulty. */
function bindFile(child: Block, bind: Bind, source: string, directory: Slot, path: string, resolve: number): void {
  const where = `/${source === "" ? lxcfsInside : source}`;
  const next = label(`after ${where}`);
  const on = goOn(next, "any");
  const what = source === "" ? "LXCFS" : `LXCFS's ${source}`;
  openat2(child, directory, path, O_PATH, resolve, bind.target, { note: `look for ${where}`, on });
  openTree(child, bind.lxcfs, source, false, bind.tree, { note: `take ${what}`, on }, source === "");
  moveMount(child, bind.tree, bind.target, { note: `mount ${what} on ${where}`, on });
  compute(child, bind.bound, "set", imm(1), null, "LXCFS answers");
  place(child, next);
}
