import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import { syscall } from "../host/addon.js";
import { cString } from "../sys/bytes.js";
import { errnoName, strerror } from "../sys/errno.js";
import { AT_FDCWD, RENAME_EXCHANGE } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { ContainerSpec } from "../spec/spec.js";
import { plainDirectory } from "../spec/rootfs.js";
import type { StorageHost } from "../storage/driver.js";
import { copyTree, removeTree } from "../storage/tree.js";
import { storageContext } from "./copy.js";
import type { CopyBasics } from "./copy-requests.js";
import { copiesOf } from "./dependents.js";
import { type Journal, type OpenJournal, removeJournal, writeJournal } from "./journal.js";
import { checkNothingMounted } from "./mounted.js";
import { hasCopies } from "./rename.js";
import { exchangeWhole } from "./restore.js";
import { directoryOf } from "./store.js";

/** Ubuntu's lxc-backup and lxc-restore: STORE/NAME/rootfs.backup.1 is a whole copy of a directory that is a container's root. */

type Watching = Pick<CopyBasics, "progress" | "signal">;

export const backupOf = (id: { readonly storePath: string; readonly name: string }): string =>
  `${directoryOf(id)}/rootfs.backup.1`;

/** Puts a copy of a tree into `name` below a new directory beside the root file system; what is cut off goes at the next look. */
async function beside(
  host: StorageHost,
  spec: ContainerSpec,
  from: string,
  watching: Watching,
  use: (place: string, journal: Journal, open: OpenJournal) => Promise<void>,
): Promise<void> {
  const fresh = `${spec.name}.${randomBytes(4).toString("hex")}`;
  const place = `${directoryOf(spec)}/${fresh}`;
  const journal: Journal = {
    version: 1,
    kind: "prepare",
    from: fresh,
    to: spec.name,
    files: {},
    entries: [],
    undo: "",
    done: "",
  };
  const open = writeJournal(host, spec, journal);
  try {
    mkdirSync(place, { mode: 0o700 });
    mkdirSync(`${place}/rootfs`, { mode: 0o700 });
    const { progress, signal } = storageContext(host, watching, `copying the root file system of ${spec.name}`);
    await copyTree(
      host,
      { from, to: `${place}/rootfs`, sync: true },
      { ...(progress === undefined ? {} : { progress }), ...(signal === undefined ? {} : { signal }) },
    );
    await use(place, journal, open);
  } catch (error) {
    await removeTree(host, place);
    removeJournal(spec);
    if (error instanceof IsletError) throw error;
    throw ioError(`copy the root file system of ${spec.name}`, error);
  } finally {
    open.close();
  }
}

/** ISLET_UNSUPPORTED: its root file system is no directory. The one of before is replaced when the new one is whole. */
export async function backUp(host: StorageHost, spec: ContainerSpec, watching: Watching): Promise<void> {
  const root = plainDirectory(spec.rootfs.source);
  if (root === null) {
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `${spec.name} is kept as ${spec.rootfs.source.kind}: only directories are backed up`,
      { hint: `lxc-snapshot -n ${spec.name} puts it aside` },
    );
  }
  if (!existsSync(root)) throw new IsletError("ISLET_NO_ROOTFS", `there is no root file system ${root}`);
  const to = backupOf(spec);
  await beside(host, spec, root, watching, async (place) => {
    // At every moment there is one, the old or the new.
    if (existsSync(to)) changePlaces(host, `${place}/rootfs`, to);
    else renameSync(`${place}/rootfs`, to);
    await removeTree(host, place);
    removeJournal(spec);
  });
}

function changePlaces({ arch }: StorageHost, one: string, other: string): void {
  const result = syscall(requireSyscall(arch, "renameat2"), [
    AT_FDCWD,
    cString(one),
    AT_FDCWD,
    cString(other),
    RENAME_EXCHANGE,
  ]);
  if (result < 0)
    throw new IsletError("ISLET_IO", `cannot replace ${other}: ${strerror(-result)}`, { errno: errnoName(-result) });
}

/** The backup is looked at first, and copied beside the root file system, which it then replaces by a rename. */
export async function bringBackUpBack(host: StorageHost, spec: ContainerSpec, watching: Watching): Promise<void> {
  const from = backupOf(spec);
  const found = lstatSync(from, { throwIfNoEntry: false });
  if (found === undefined)
    throw new IsletError("ISLET_BAD_REQUEST", `${spec.name} has no backup ${from}`, {
      hint: `lxc-backup ${spec.name} makes one`,
    });
  if (!found.isDirectory() || readdirSync(from).length === 0)
    throw new IsletError("ISLET_BAD_REQUEST", `the backup ${from} is empty: nothing was changed`);
  const { source } = spec.rootfs;
  if (source.kind !== "dir" || source.path !== `${directoryOf(spec)}/rootfs`) {
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `the root file system of ${spec.name} is not ${directoryOf(spec)}/rootfs`,
      {
        hint: `copy ${from} to where it is`,
      },
    );
  }
  const copies = (await copiesOf(host, spec)).filter(({ storePath }) => storePath !== `${directoryOf(spec)}/snaps`);
  if (copies.length > 0) throw hasCopies(spec, copies, "restored");
  checkNothingMounted(directoryOf(spec));
  await beside(host, spec, from, watching, (_, journal, open) =>
    exchangeWhole(host, spec, { ...journal, kind: "exchange", entries: ["+rootfs"] }, open),
  );
}
