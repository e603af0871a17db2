import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import { isThere } from "../storage/dir.js";
import type { StorageHost } from "../storage/driver.js";
import { removeRoot } from "../storage/drivers.js";
import { removeTree } from "../storage/tree.js";
import type { CopyBasics } from "./copy-requests.js";
import { asTheOriginal, copyContainer } from "./copy.js";
import { copiesOf, dropOriginal, forgetCopy, originalsOf, renameCopy } from "./dependents.js";
import type { ContainerId } from "./engine.js";
import { type Journal, type OpenJournal, removeJournal, syncDirectory, writeJournal } from "./journal.js";
import { checkNothingMounted } from "./mounted.js";
import { partialText, readPartial } from "./partial.js";
import { hasCopies, movedRoot } from "./rename.js";
import { directoryOf, settlePartial } from "./store.js";

/**
 * A container becomes what one of its snapshots is. The new one is put together whole in STORE/NAME/NAME.XXXX, changes places with the old one by
 * renames, and then the old one goes. A daemon that dies leaves the old one or the new one: a journal says which.
 */

/** What belongs to a root file system in the container's directory: it goes with the old one. */
const rootEntries = ["rootfs", "rootdev", "overlay", "lxc_rdepends"] as const;
const oldPlace = "islet-old";

/** `current`: the container as it is. The container must not run (the caller has looked). */
export async function restoreContainer(
  host: StorageHost,
  current: ContainerSpec,
  snapshot: ContainerSpec,
  options: CopyBasics,
): Promise<void> {
  const id: ContainerId = { storePath: current.storePath, name: current.name };
  const directory = directoryOf(id);
  const all = await copiesOf(host, id);
  const copies = all.filter((copy) => copy.storePath !== `${directory}/snaps`);
  if (copies.length > 0) throw hasCopies(id, copies, "restored");
  // Layers stay where they are; a volume or a data set would take them along. LXC makes such snapshots.
  const [lost] = all;
  if (lost !== undefined && current.rootfs.source.kind !== "overlay")
    throw new IsletError("ISLET_UNSUPPORTED", `${lost.name} needs the root file system of ${id.name}, which would go`, {
      hint: `lxc-snapshot -n ${id.name} -r ${snapshot.name} -N OTHER makes another container of the snapshot`,
    });
  checkNothingMounted(directory);
  const made: ContainerId = { storePath: directory, name: `${id.name}.${randomBytes(4).toString("hex")}` };
  const base: Journal = {
    version: 1,
    kind: "prepare",
    from: made.name,
    to: id.name,
    files: {},
    entries: [],
    undo: "",
    done: "",
  };
  const open = writeJournal(host, id, base);
  try {
    await prepareAndExchange(host, current, snapshot, options, base, open);
  } finally {
    open.close();
  }
}

/** Names in a container's directory that an overlay has layers in which are only read. */
const ownLayers = (source: RootfsSource, directory: string): readonly string[] =>
  source.kind === "overlay"
    ? source.lowers.flatMap((lower) =>
        lower.startsWith(`${directory}/`) ? [lower.slice(directory.length + 1).split("/")[0] ?? ""] : [],
      )
    : [];

async function prepareAndExchange(
  host: StorageHost,
  current: ContainerSpec,
  snapshot: ContainerSpec,
  options: CopyBasics,
  base: Journal,
  open: OpenJournal,
): Promise<void> {
  const id: ContainerId = { storePath: current.storePath, name: current.name };
  const directory = directoryOf(id);
  const made: ContainerId = { storePath: directory, name: base.from };
  const place = directoryOf(made);
  let prepared = base;
  try {
    await copyContainer(host, {
      source: snapshot,
      target: made,
      pid: null,
      // A snapshot of LXC's has been given another name.
      hookName: id.name,
      options: {
        ...options,
        ...asTheOriginal,
        config: (root) => options.config(root === null ? null : movedRoot(root, place, directory)),
        how: snapshot.rootfs.source.kind === "overlay" ? "snapshot" : "copy",
      },
      // From now on the journal says where the new root file system is.
      finish: () => {
        prepared = { ...base, undo: readFileSync(`${place}/partial`, "utf8") };
        open.rewrite(prepared);
      },
    });
  } catch (error) {
    removeJournal(id);
    throw error;
  }
  // The layer below may be the container's own (lxc-create -B overlay), and stays where it is.
  dropOriginal(made, id);
  const stays = new Set(["config", "ts", "comment", ...ownLayers(snapshot.rootfs.source, directory)]);
  const names = readdirSync(place).filter((name) => !stays.has(name));
  const { source, managed } = current.rootfs;
  const leaving =
    managed && snapshot.rootfs.managed ? rootEntries.filter((name) => !names.includes(name) && !stays.has(name)) : [];
  const journal: Journal = {
    ...prepared,
    kind: "exchange",
    // The configuration is the last: with it the new one is there.
    entries: [...leaving.map((name) => `-${name}`), ...names.map((name) => `+${name}`), "+config"],
    done: managed && snapshot.rootfs.managed ? partialText(movedRoot(source, directory, `${place}/${oldPlace}`)) : "",
  };
  const before = originalsOf(id);
  await exchangeWhole(host, id, journal, open);
  const now = originalsOf(id);
  forgetCopy(
    id,
    before.filter((old) => !now.some((one) => one.name === old.name && one.storePath === old.storePath)),
  );
}

/** What has been put together in the journal's directory takes its place; after an error everything is as it was. */
export async function exchangeWhole(
  host: StorageHost,
  id: ContainerId,
  journal: Journal,
  open: OpenJournal,
): Promise<void> {
  open.rewrite(journal);
  try {
    exchange(id, journal);
  } catch (error) {
    takeBack(id, journal);
    await dropMade(host, id, journal);
    throw ioError(`change the root file system of ${id.name}`, error);
  }
  await finish(host, id, journal);
}

/** What has been put together goes, with its root file system, wherever that is. */
async function dropMade(host: StorageHost, id: ContainerId, journal: Journal): Promise<void> {
  const made: ContainerId = { storePath: directoryOf(id), name: journal.from };
  const directory = directoryOf(made);
  const root = readPartial(journal.undo);
  if (root !== null) await removeRoot(root, { name: made.name, directory, defaults: {} }, { host });
  if (existsSync(directory)) {
    forgetCopy(made, originalsOf(made));
    await removeTree(host, directory);
  }
  removeJournal(id);
}

/** Idempotent: what was done before is left. */
function exchange(id: ContainerId, journal: Journal): void {
  const directory = directoryOf(id);
  const place = `${directory}/${journal.from}`;
  mkdirSync(`${place}/${oldPlace}`, { recursive: true, mode: 0o700 });
  for (const entry of journal.entries) {
    const name = entry.slice(1);
    const isNew = entry.startsWith("+");
    const [fresh, now, old] = [`${place}/${name}`, `${directory}/${name}`, `${place}/${oldPlace}/${name}`];
    if (isNew && !isThere(fresh)) continue;
    if (name !== "config" && isThere(now) && !isThere(old)) renameSync(now, old);
    if (isNew) renameSync(fresh, now);
  }
  syncDirectory(directory);
}

/** After a failure on the way: everything is where it was. */
function takeBack(id: ContainerId, journal: Journal): void {
  const directory = directoryOf(id);
  const place = `${directory}/${journal.from}`;
  for (const entry of journal.entries.toReversed()) {
    const name = entry.slice(1);
    const [fresh, now, old] = [`${place}/${name}`, `${directory}/${name}`, `${place}/${oldPlace}/${name}`];
    if (entry.startsWith("+") && isThere(now) && !isThere(fresh)) renameSync(now, fresh);
    if (isThere(old)) renameSync(old, now);
  }
}

/** The new one is in its place: what is noted elsewhere, then the old one goes. */
async function finish(host: StorageHost, id: ContainerId, journal: Journal): Promise<void> {
  const directory = directoryOf(id);
  renameCopy({ storePath: directory, name: journal.from }, id, originalsOf(id));
  const old = readPartial(journal.done);
  const place = `${directory}/${journal.from}`;
  if (old !== null) await removeRoot(old, { name: id.name, directory: `${place}/${oldPlace}`, defaults: {} }, { host });
  await removeTree(host, place);
  removeJournal(id);
}

/** For a journal that a dead daemon has left. */
export async function settleRestore(host: StorageHost, id: ContainerId, journal: Journal): Promise<void> {
  const directory = directoryOf(id);
  // Names of our own making only.
  if (journal.from.includes("/") || !journal.from.startsWith(`${id.name}.`))
    throw new IsletError("ISLET_IO", `the journal of ${id.name} names ${journal.from}: that is none of ours`);
  const made: ContainerId = { storePath: directory, name: journal.from };
  if (journal.kind === "exchange") {
    exchange(id, journal);
    await finish(host, id, journal);
    return;
  }
  await settlePartial(host, made);
  await dropMade(host, id, journal);
}
