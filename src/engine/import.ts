import { closeSync, constants, mkdirSync, openSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { fileError, sysCall } from "../host/root-fd.js";
import { openArchive, peekAt, plainBytes } from "../image/archive-source.js";
import { type HeadFile, type WalkedArchive, walkArchive } from "../image/archive-walk.js";
import type { MakeContext } from "../image/maker.js";
import { filtered } from "../image/pipes.js";
import { countedBytes } from "../image/tar-check.js";
import type { IdChange } from "../image/tar-ids.js";
import { unpack } from "../image/unpack.js";
import { type IdMapEntry, toHostId } from "../spec/idmap.js";
import type { StorageHost } from "../storage/driver.js";
import { copyTree, removeTree } from "../storage/tree.js";
import { O_PATH } from "../sys/flags.js";
import {
  checkedManifest,
  configName,
  isHeadName,
  type Manifest,
  manifestName,
  mostOf,
  notOurs,
  rootName,
  settingsName,
  sumName,
} from "./archive-manifest.js";
import type { ArchiveOptions, ContainerArchive, ImportOptions } from "./archive-requests.js";
import { runContained } from "./contained.js";
import type { ContainerId, CreateOptions, NewContainer } from "./engine.js";
import { giveName } from "./identity.js";
import { filesOfRoot } from "./text-files.js";
import { foreignSettings } from "./settings.js";

/** `islet import`: what `islet export` has written becomes a container, with everything looked at on the way in. */

const bombHint = "it may be a decompression bomb; if you know that it is none: --large";

const F_DUPFD_CLOEXEC = 1030;

/** `create`: the engine's, for the container that is made of it. */
export async function readArchive(
  host: StorageHost,
  options: ArchiveOptions,
  create: (id: ContainerId, wanted: CreateOptions) => Promise<void>,
): Promise<ContainerArchive> {
  const signal = options.signal ?? new AbortController().signal;
  const { name: at, walked } = await openWalked(host, options, signal);
  let manifest: Manifest;
  try {
    manifest = checkedManifest(walked.head, at);
  } catch (error) {
    await walked.close();
    throw error;
  }
  let isUsed = false;
  return {
    name: manifest.name,
    architecture: manifest.architecture,
    made: manifest.made,
    config: Buffer.from(walked.head.get(configName)?.bytes ?? []).toString("utf8"),
    async create(id, wanted) {
      if (isUsed) throw new IsletError("ISLET_INTERNAL", "an archive is read once");
      isUsed = true;
      try {
        await create(id, {
          storage: wanted.storage,
          ...(wanted.alternatives === undefined ? {} : { alternatives: wanted.alternatives }),
          storageDefaults: wanted.storageDefaults,
          config: wanted.config,
          ...(options.notice === undefined ? {} : { notice: options.notice }),
          signal,
          populate: async (place) => {
            await fill(host, { at, walked, manifest, options, wanted, signal }, place);
          },
        });
      } finally {
        await walked.close();
      }
    },
    close: () => walked.close(),
  };
}

async function openWalked(
  host: StorageHost,
  { from, large }: ArchiveOptions,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly walked: WalkedArchive }> {
  const { arch } = host;
  const opened =
    "path" in from ? openArchive(from.path) : await peekAt(readDescriptor(host, from.descriptor), "the standard input");
  const { name } = opened;
  if (opened.kind === "squashfs") {
    closeSync(opened.fd);
    throw notOurs(name);
  }
  const { bytes, packed } = plainBytes(arch, opened, signal);
  const most = (): number => (large ? Number.POSITIVE_INFINITY : mostOf(packed()));
  const wanted = { isHead: isHeadName, first: manifestName, other: notOurs, sum: sumName };
  return { name, walked: await walkArchive(countedBytes(bytes, name, most, bombHint), name, wanted) };
}

/** A program reads it: whatever it is, nobody else waits. */
function readDescriptor({ arch }: StorageHost, descriptor: number): AsyncIterable<Uint8Array> {
  const own = sysCall(arch, "fcntl", descriptor, F_DUPFD_CLOEXEC, 3);
  if (own < 0) throw fileError("read the standard input", own, "fcntl");
  return filtered(arch, { program: "cat", words: [], packageName: "coreutils" }, own, "the standard input");
}

interface Work {
  readonly at: string;
  readonly walked: WalkedArchive;
  readonly manifest: Manifest;
  readonly options: ArchiveOptions;
  readonly wanted: ImportOptions;
  readonly signal: AbortSignal;
}

/** Inside to the host. */
export function hostIds(map: readonly IdMapEntry[]): IdChange | null {
  if (map.length === 0) return null;
  return (type, id) => (map.some((entry) => entry.type === type) ? toHostId(map, type, id) : id);
}

async function fill(host: StorageHost, work: Work, place: NewContainer): Promise<void> {
  const { manifest, walked, wanted, signal } = work;
  for (const { entry, path } of manifest.files) {
    const file = walked.head.get(entry);
    if (file === undefined || entry === configName) continue;
    if (entry === settingsName) writeSettings(place.directory, file, manifest, wanted);
    else writeBeside(place.directory, path, file);
  }
  const ids = hostIds(wanted.check());
  if (place.mount === null) await unpackInto(host, work, place.root, ids);
  else {
    // A mount that nobody sees cannot be shown to a program as the only place that it can write to.
    const between = `${place.directory}/unpacked`;
    mkdirSync(between, { mode: 0o700 });
    mkdirSync(`${between}/${rootName}`, { mode: 0o755 });
    await unpackInto(host, work, `${between}/${rootName}`, ids);
    await copyTree(host, { from: `${between}/${rootName}`, to: place.mount.descriptor }, { signal });
    await removeTree(host, between, {}, { signal });
  }
  if (wanted.hostname !== null) {
    const root = openSync(place.root, O_PATH | constants.O_DIRECTORY);
    try {
      giveName(filesOfRoot(host.arch, root), wanted.hostname, manifest.name);
    } finally {
      closeFd(root);
    }
  }
}

async function unpackInto(host: StorageHost, work: Work, into: string, ids: IdChange | null): Promise<void> {
  const { options, signal, at, walked } = work;
  const context: MakeContext = {
    arch: host.arch,
    binary: host.binary,
    environment: options.caller.environment,
    cwd: options.caller.cwd,
    cache: "",
    progress: options.progress ?? ((): void => undefined),
    notice: options.notice ?? ((): void => undefined),
    signal,
    run: async (argv, wanted = {}) => await runContained(host.facts, argv, wanted, options),
  };
  const limits = { ratio: Number.POSITIVE_INFINITY };
  const { entries } = await unpack(
    { bytes: walked.rest, name: at },
    into,
    { below: rootName, limits, ...(ids === null ? {} : { ids }) },
    context,
  );
  if (entries === 0) throw new IsletError("ISLET_UNTRUSTED", `${at} is refused: it has no root file system`);
}

/** Its directory is new and nobody else's. */
function writeBeside(directory: string, path: string, { bytes, mode }: HeadFile): void {
  mkdirSync(dirname(`${directory}/${path}`), { recursive: true, mode: 0o755 });
  writeFileSync(`${directory}/${path}`, bytes, { mode: mode & 0o755, flag: "wx" });
}

function writeSettings(
  directory: string,
  { bytes }: HeadFile,
  { name }: Manifest,
  { keepInstance }: ImportOptions,
): void {
  const text = foreignSettings(Buffer.from(bytes).toString("utf8"), keepInstance ? name : null);
  writeFileSync(`${directory}/${settingsName}`, text, { mode: 0o600, flag: "wx" });
}
