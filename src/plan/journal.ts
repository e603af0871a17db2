import { type Block, call, cwdFd, goOn, imm, label, place, str } from "../program/assembler.js";
import { mkdirat } from "../program/calls.js";
import { parseMountOptions } from "../spec/mount-options.js";
import type { MountEntry } from "../spec/mount.js";
import { EEXIST } from "../sys/errno.js";
import { type StartContext, rootOwner } from "./context.js";

/** The directory on the host that the guest's journal is kept in; it is never removed again. */
export function makeJournalDirectory(context: StartContext): void {
  const journal = context.start.guest?.journal ?? null;
  if (journal?.kind !== "bind") return;
  const { monitor, build } = context;
  const exists = label("the journal is there");
  makeParent(monitor, journal.path);
  mkdirat(monitor, cwdFd, journal.path, 0o755, { note: `make ${journal.path}`, on: goOn(exists, EEXIST) });
  const owner = rootOwner(context);
  if (owner !== null) {
    call(
      monitor,
      "fchownat",
      [cwdFd, str(build, journal.path), imm(owner.uid), imm(owner.gid), imm(0x100, "AT_SYMLINK_NOFOLLOW")],
      { note: `give ${journal.path} to the container's root` },
    );
  }
  place(monitor, exists);
}

/** What is mounted beside the configuration's mounts. */
export function journalEntries(context: StartContext): readonly MountEntry[] {
  const journal = context.start.guest?.journal ?? null;
  if (journal?.kind !== "bind") return [];
  return [
    {
      source: journal.path,
      target: journal.target,
      fstype: "none",
      options: parseMountOptions(["bind"]),
      optional: false,
      create: "dir",
      sourceInContainer: false,
      idmap: null,
      at: null,
    },
  ];
}

/** A link among the host's journals to the guest's: `journalctl -m` reads both. It is never removed again. */
export function linkJournal(context: StartContext): void {
  const journal = context.start.guest?.journal ?? null;
  if (journal?.kind !== "link") return;
  const { monitor, build } = context;
  makeParent(monitor, journal.path);
  call(monitor, "symlinkat", [str(build, journal.target), cwdFd, str(build, journal.path)], {
    note: `link ${journal.path} to the guest's journal`,
    hints: { EEXIST: "another start has made it meanwhile" },
  });
}

function makeParent(monitor: Block, path: string): void {
  const parent = path.slice(0, path.lastIndexOf("/"));
  mkdirat(monitor, cwdFd, parent, 0o755, { note: `make ${parent}`, on: [{ on: EEXIST, to: "next" }] });
}
