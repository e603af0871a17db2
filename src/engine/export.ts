import { createHash } from "node:crypto";
import { existsSync, fstatSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { closeFd } from "../host/addon.js";
import { sysCall } from "../host/root-fd.js";
import { extensionOf, packInto, tarFile, usualCompression } from "../image/archive-pack.js";
import type { RunEnd } from "../image/maker.js";
import { makeLargePipe, readEnd } from "../image/pipes.js";
import { runNeeded } from "../image/programs.js";
import { checkedTar } from "../image/tar-check.js";
import type { IdChange } from "../image/tar-ids.js";
import { createPathGuard } from "../image/tar-paths.js";
import { type IdMapEntry, toInsideId } from "../spec/idmap.js";
import { plainDirectory } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageHost } from "../storage/driver.js";
import { AT_EMPTY_PATH, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../sys/flags.js";
import { cString } from "../sys/bytes.js";
import {
  configName,
  entryOf,
  manifestName,
  manifestText,
  mostOf,
  rootName,
  settingsName,
  sumName,
} from "./archive-manifest.js";
import type { Exported, ExportOptions } from "./archive-requests.js";
import { runContained } from "./contained.js";
import { openOriginal } from "./copy-root.js";
import { freshFile } from "./export-target.js";
import { settingsFileOf } from "./settings.js";
import { type PlainFile, readPlainFile } from "./plain-file.js";
import { directoryOf } from "./store.js";

/** `islet export`: a container as one file (archive-manifest.ts has its parts). The container is only read. */

const mostFile = 16 * 1024 * 1024;
const mostFiles = 1000;

interface Reading extends ExportOptions {
  /** It is frozen meanwhile. */
  readonly runs: boolean;
}

/** `pid`: of the container's main process, if it runs; it is frozen then. */
export async function exportContainer(
  host: StorageHost,
  spec: ContainerSpec,
  pid: number | null,
  options: ExportOptions,
): Promise<Exported> {
  const compression = options.compress ?? usualCompression();
  const signal = options.signal ?? new AbortController().signal;
  const head = headOf(host, spec, options);
  const reading = { ...options, runs: pid !== null };
  using root = await openRootOf(host, spec, pid);
  const { to, caller } = options;
  if ("descriptor" in to) {
    const target = { fd: to.descriptor, name: "the standard output" };
    await packInto(host.arch, compression, archive(host, spec, root.fd, head, reading), target, signal);
    return { path: null };
  }
  const path = to.path(extensionOf(compression));
  const file = freshFile(host.arch, path, caller);
  try {
    const target = { fd: file.fd, name: path };
    let total = 0;
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of archive(host, spec, root.fd, head, reading)) {
        total += chunk.length;
        yield chunk;
      }
    };
    await packInto(host.arch, compression, counted(), target, signal);
    signal.throwIfAborted();
    if (total > mostOf(fstatSync(file.fd).size))
      options.notice?.("it unpacks to more than 200 times its size: islet import takes it with --large only");
    await file.finish();
  } finally {
    file.close();
  }
  return { path };
}

async function openRootOf(
  host: StorageHost,
  spec: ContainerSpec,
  pid: number | null,
): Promise<Awaited<ReturnType<typeof openOriginal>>> {
  const from = spec.rootfs.source;
  if (from.kind === "host" || from.kind === "other")
    throw new IsletError("ISLET_UNSUPPORTED", `${spec.name} has no root file system of its own that could be exported`);
  return await openOriginal(host, { from, pid });
}

/** Entries before those of the root file system. */
function headOf(host: StorageHost, spec: ContainerSpec, { config }: ExportOptions): readonly Uint8Array[] {
  const made = Date.now();
  const seconds = Math.floor(made / 1000);
  const directory = directoryOf(spec);
  const text = Buffer.from(config.text);
  const entries = [entryOf(configName, configName, text)];
  const files = [tarFile(configName, text, 0o640, seconds)];
  const add = (entry: string, path: string, from: string): void => {
    const found = readPlain(from);
    if (found === null) return;
    entries.push(entryOf(entry, path, found.bytes));
    files.push(tarFile(entry, found.bytes, found.mode, seconds));
  };
  const settings = settingsFileOf(spec);
  if (existsSync(settings)) add(settingsName, settingsName, settings);
  if (config.files.length > mostFiles)
    throw new IsletError("ISLET_UNSUPPORTED", `the configuration of ${spec.name} names more than ${mostFiles} files`);
  for (const [index, path] of config.files.entries()) add(`files/${index}`, path, `${directory}/${path}`);
  const manifest = manifestText({
    format: "islet",
    version: 1,
    name: spec.name,
    architecture: host.arch,
    made,
    files: entries,
  });
  return [tarFile(manifestName, Buffer.from(manifest), 0o600, seconds), ...files];
}

/** null: it is missing, and will be where it is imported, too. */
function readPlain(path: string): PlainFile | null {
  try {
    const { bytes, mode } = readPlainFile(path, mostFile, "exported");
    return { bytes, mode: mode & 0o777 };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    if (error instanceof IsletError) throw error;
    throw ioError(`read ${path}`, error);
  }
}

async function* archive(
  host: StorageHost,
  spec: ContainerSpec,
  root: number,
  head: readonly Uint8Array[],
  options: Reading,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let bytes = 0;
  let told = 0;
  const counted = (chunk: Uint8Array): Uint8Array => {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes - told >= 4 << 20) {
      told = bytes;
      options.progress?.(`exporting ${spec.name}: ${Math.floor(bytes / 1048576)} MiB`);
    }
    return chunk;
  };
  for (const entry of head) yield counted(entry);
  for await (const chunk of rootEntries(host, spec, root, options)) yield counted(chunk);
  yield tarFile(sumName, Buffer.from(`${hash.digest("hex")}\n`), 0o600, Math.floor(Date.now() / 1000));
  yield new Uint8Array(1024);
}

/** Of the host to inside; an id that is in no map has none. */
export function insideIds(map: readonly IdMapEntry[]): IdChange | null {
  if (map.length === 0) return null;
  return (type, id) => (map.some((entry) => entry.type === type) ? toInsideId(map, type, id) : id);
}

/** A tree of its own, without what is mounted in there; null: the kernel does not give one (of another mount namespace). */
function withoutMounts(host: StorageHost, root: number): number | null {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  const tree = sysCall(host.arch, "open_tree", root, cString(""), flags);
  return tree < 0 ? null : tree;
}

/** What GNU tar makes of the root file system, each header of it looked at, with ids as the container sees them. */
async function* rootEntries(
  host: StorageHost,
  spec: ContainerSpec,
  root: number,
  options: Reading,
): AsyncGenerator<Uint8Array> {
  const { source, idmap } = spec.rootfs;
  const tree = withoutMounts(host, root);
  const pipe = makeLargePipe(host.arch);
  let isWriteOpen = true;
  const closeWrite = (): void => {
    if (isWriteOpen) closeFd(pipe.write);
    isWriteOpen = false;
  };
  const context = {
    run: async (argv: readonly string[], wanted: Parameters<typeof runContained>[2] = {}): Promise<RunEnd> =>
      await runContained(host.facts, argv, wanted, options),
  };
  const argv = [
    "tar",
    "--create",
    "--file=/proc/self/fd/0",
    `--directory=/proc/${process.pid}/fd/${tree ?? root}`,
    "--format=posix",
    "--sort=name",
    "--sparse",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--no-selinux",
    "--atime-preserve=system",
    "--blocking-factor=512",
    "--warning=no-file-ignored",
    ...(tree === null ? ["--one-file-system"] : []),
    // What a fresh file system has by itself is none of the container's.
    ...(plainDirectory(source) === null ? ["--anchored", "--exclude=./lost+found"] : []),
    ".",
  ];
  const running = runNeeded(context, "tar", argv, {
    environment: { LC_ALL: "C", TAR_OPTIONS: "", TAPE: "" },
    input: pipe.write,
    started: closeWrite,
  }).finally(closeWrite);
  running.catch(() => undefined);
  const from = readEnd(pipe.read);
  try {
    const what = `the root file system of ${spec.name}`;
    const checks = {
      archive: what,
      guard: createPathGuard(what, null),
      below: "",
      devices: "keep",
      entry: () => true,
      makeWay: () => Promise.resolve(),
      file: null,
      output: { prefix: `${rootName}/`, ids: idmap === "as-is" ? insideIds(spec.idmap) : null, isPart: true },
    } as const;
    let failure: { readonly error: unknown } | null = null;
    try {
      yield* checkedTar(from as AsyncIterable<Uint8Array>, checks);
    } catch (error) {
      failure = { error };
    }
    from.destroy();
    // Why tar has stopped comes before what its archive lacks then; not, if it stopped because nobody read on.
    const end = await running;
    options.signal?.throwIfAborted();
    const isOurs = failure?.error instanceof IsletError && failure.error.code !== "ISLET_IO";
    if (end.status !== 0 && !isOurs) throw readingFailed(spec.name, options.runs, end);
    if (failure !== null) throw failure.error;
  } finally {
    from.destroy();
    if (tree !== null) closeFd(tree);
  }
}

/** `runs`: it is frozen while it is read. */
function readingFailed(name: string, runs: boolean, { status, lastLines }: RunEnd): IsletError {
  const line =
    lastLines.find((each) => !/^tar: (Exiting|Error is not)/.test(each)) ?? `tar ended with status ${status}`;
  const said = line.replace(/^tar: /, "");
  if (status === 1)
    return new IsletError("ISLET_BUSY", `${name} was changed while it was exported: ${said}`, {
      hint: runs
        ? "it is frozen: somebody else writes to its files; stop that, and export it again"
        : "stop whatever writes to its files, and export it again",
    });
  return new IsletError("ISLET_IO", `cannot read the root file system of ${name}: ${said}`);
}
