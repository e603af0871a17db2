import { constants, fstat, type Stats } from "node:fs";
import { chmod, chown, mkdir, open, readdir, rename, rmdir, unlink, type FileHandle } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { IsletError } from "../base/errors.js";
import type { ContainerId } from "../engine/engine.js";
import type { LibraryCalls } from "../engine/library.js";
import { closeFd } from "../host/addon.js";
import { type IdMapEntry, toHostId, toInsideId } from "../spec/idmap.js";
import { runTask } from "./runner.js";

/**
 * The files of a container, by paths as it sees them. A guest is hostile: its symbolic links lead nowhere but into itself, devices, pipes
 * and sockets are never opened, and a file system of its own that never answers holds up nothing but the call.
 */
export interface ContainerFiles {
  /** The whole of a regular file; with an encoding as text. ISLET_IO with errno ENOENT, EISDIR ... */
  read(path: string): Promise<Buffer>;
  read(path: string, encoding: BufferEncoding): Promise<string>;
  /** Makes or replaces a regular file, whole or not at all. A symbolic link is replaced, not followed. */
  write(path: string, data: string | Uint8Array, options?: WriteOptions): Promise<void>;
  /** Names and kinds of what is in a directory, sorted by name. */
  list(path: string): Promise<readonly FileEntry[]>;
  /** What the path names; of a symbolic link, the link itself. */
  stat(path: string): Promise<FileStatus>;
  /** Makes a directory; with `recursive` those above it as well, and none is an error. */
  makeDirectory(path: string, options?: WriteOptions & { readonly recursive?: boolean }): Promise<void>;
  /** Removes a file, a link or an empty directory. Trees are for the container's own `rm -r`. */
  remove(path: string): Promise<void>;
}

export interface WriteOptions {
  /** Permission bits. Default 0o644, of directories 0o755. */
  readonly mode?: number;
  /** Ids inside the container. Default 0. */
  readonly uid?: number;
  readonly gid?: number;
}

export type FileKind = "file" | "directory" | "link" | "device" | "pipe" | "socket";

export interface FileEntry {
  readonly name: string;
  readonly kind: FileKind;
}

export interface FileStatus {
  readonly kind: FileKind;
  /** Bytes. */
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  /** Ids inside the container; null: one that the container has not. */
  readonly uid: number | null;
  readonly gid: number | null;
  readonly modified: Date;
}

/** Milliseconds that finding a file may take: a file system of the guest's may never answer. */
const lookUpTime = 10_000;

const statOf = promisify(fstat);

/** Something found in a container: a descriptor that names it (O_PATH). */
interface Found {
  readonly path: string;
  /** A way to it that no guest can change. */
  readonly proc: string;
  readonly stats: Stats;
  readonly idmap: readonly IdMapEntry[];
  close(): void;
}

function failure(what: string, path: string, error: unknown): IsletError {
  if (error instanceof IsletError) {
    return new IsletError(error.code === "ISLET_OPERATION_FAILED" ? "ISLET_IO" : error.code, error.message, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.errno === undefined ? {} : { errno: error.errno }),
      ...(error.syscall === undefined ? {} : { syscall: error.syscall }),
    });
  }
  const errno = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
  const hint = errno === "EOVERFLOW" ? { hint: "its root file system is id-mapped: write from inside, with exec" } : {};
  return new IsletError("ISLET_IO", `cannot ${what} ${path} in the container: ${errno}`, {
    errno,
    cause: error,
    ...hint,
  });
}

function refusal(what: string, path: string, errno: string, why: string): IsletError {
  return new IsletError("ISLET_IO", `cannot ${what} ${path} in the container: ${why}`, { errno });
}

function kindOf(of: Pick<Stats, "isFile" | "isDirectory" | "isSymbolicLink" | "isFIFO" | "isSocket">): FileKind {
  if (of.isFile()) return "file";
  if (of.isDirectory()) return "directory";
  if (of.isSymbolicLink()) return "link";
  if (of.isFIFO()) return "pipe";
  return of.isSocket() ? "socket" : "device";
}

/** The host's ids for ids of the container. */
function ownerOf(idmap: readonly IdMapEntry[], options: WriteOptions): readonly [number, number] {
  const [uid, gid] = (["uid", "gid"] as const).map((type) => {
    const wanted = options[type] ?? 0;
    const id = idmap.some((entry) => entry.type === type) ? toHostId(idmap, type, wanted) : wanted;
    if (id === null) throw new IsletError("ISLET_BAD_REQUEST", `the container has no ${type} ${wanted}`);
    return id;
  });
  return [uid ?? 0, gid ?? 0];
}

function checked(path: string): string {
  if (!path.startsWith("/") || path.includes("\0"))
    throw new IsletError("ISLET_BAD_REQUEST", `${JSON.stringify(path)} is no absolute path of the container`);
  return path;
}

/** Directory and last name; the name leads nowhere else. */
function split(path: string): readonly [string, string] {
  const whole = checked(path).replace(/\/+$/, "");
  const slash = whole.lastIndexOf("/");
  const name = whole.slice(slash + 1);
  if (name === "" || name === "." || name === "..")
    throw new IsletError("ISLET_BAD_REQUEST", `${JSON.stringify(path)} does not end in a name`);
  return [whole.slice(0, slash + 1), name];
}

export function containerFiles(calls: LibraryCalls, id: ContainerId): ContainerFiles {
  const find = async (path: string, follow: boolean): Promise<Found> => {
    const { task, idmap } = await calls.lookUp(id, checked(path), follow);
    const run = runTask(task, ["ignore", "ignore", "ignore"]);
    const timer = setTimeout(() => run.child.kill("SIGKILL"), lookUpTime);
    const fd = await run.descriptor.finally(() => {
      clearTimeout(timer);
    });
    try {
      const stats = await statOf(fd);
      return { path, proc: `/proc/self/fd/${fd}`, stats, idmap, close: () => void closeFd(fd) };
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  };

  /** Does something with what a path names. */
  const within = async <T>(
    what: string,
    path: string,
    follow: boolean,
    use: (found: Found) => Promise<T>,
  ): Promise<T> => {
    try {
      const found = await find(path, follow);
      try {
        return await use(found);
      } finally {
        found.close();
      }
    } catch (error) {
      throw failure(what, path, error);
    }
  };

  const directory = <T>(what: string, path: string, use: (found: Found) => Promise<T>): Promise<T> =>
    within(what, path, true, async (found) => {
      if (!found.stats.isDirectory()) throw refusal(what, path, "ENOTDIR", "it is no directory");
      return await use(found);
    });

  const read = (path: string, encoding?: BufferEncoding): Promise<Buffer | string> =>
    within("read", path, true, async ({ proc, stats }) => {
      if (stats.isDirectory()) throw refusal("read", path, "EISDIR", "it is a directory");
      // A device node of the guest's would be the host's device.
      if (!stats.isFile()) throw refusal("read", path, "EINVAL", "it is no regular file");
      const file = await open(proc, constants.O_RDONLY);
      try {
        return encoding === undefined ? await file.readFile() : await file.readFile(encoding);
      } finally {
        await file.close();
      }
    });

  const fill = async (
    file: FileHandle,
    data: string | Uint8Array,
    mode: number,
    owner: readonly [number, number],
  ): Promise<void> => {
    try {
      await file.writeFile(data);
      await file.chown(...owner);
      await file.chmod(mode);
    } finally {
      await file.close();
    }
  };

  const makeOne = (path: string, options: WriteOptions): Promise<void> => {
    const [above, name] = split(path);
    return directory("make the directory", above, async ({ proc, idmap }) => {
      const owner = ownerOf(idmap, options);
      await mkdir(`${proc}/${name}`, { mode: 0o700 });
      // By a descriptor: the guest may have put something else in its place already.
      const made = await open(`${proc}/${name}`, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        await chown(`/proc/self/fd/${made.fd}`, ...owner);
        await chmod(`/proc/self/fd/${made.fd}`, options.mode ?? 0o755);
      } finally {
        await made.close();
      }
    });
  };

  return {
    // The overloads differ in nothing but the encoding.
    read: read as ContainerFiles["read"],
    async write(path, data, options = {}) {
      const [above, name] = split(path);
      await directory("write", above, async ({ proc, idmap }) => {
        const owner = ownerOf(idmap, options);
        const temporary = `${proc}/.${name.slice(0, 200)}.${randomBytes(6).toString("hex")}`;
        const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
        const file = await open(temporary, flags, 0o600);
        try {
          await fill(file, data, options.mode ?? 0o644, owner);
          await rename(temporary, `${proc}/${name}`);
        } catch (error) {
          await unlink(temporary).catch(() => undefined);
          throw error;
        }
      });
    },
    list: (path) =>
      directory("list", path, async ({ proc }) => {
        const entries = await readdir(proc, { withFileTypes: true });
        return entries
          .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
          .sort((a, b) => (a.name < b.name ? -1 : 1));
      }),
    stat: (path) =>
      within("look at", path, false, ({ stats, idmap }) =>
        Promise.resolve({
          kind: kindOf(stats),
          size: stats.size,
          mode: stats.mode & 0o7777,
          uid: toInsideId(idmap, "uid", stats.uid),
          gid: toInsideId(idmap, "gid", stats.gid),
          modified: stats.mtime,
        }),
      ),
    async makeDirectory(path, options = {}) {
      if (options.recursive !== true) {
        await makeOne(path, options);
        return;
      }
      const names = checked(path)
        .split("/")
        .filter((name) => name !== "" && name !== ".");
      for (let depth = 1; depth <= names.length; depth += 1) {
        try {
          await makeOne(`/${names.slice(0, depth).join("/")}`, options);
        } catch (error) {
          if (!(error instanceof IsletError && error.errno === "EEXIST")) throw error;
        }
      }
      await directory("make the directory", path, () => Promise.resolve());
    },
    async remove(path) {
      const [above, name] = split(path);
      await directory("remove", above, async ({ proc }) => {
        try {
          await unlink(`${proc}/${name}`);
        } catch (error) {
          const isDirectory = error instanceof Error && "code" in error && error.code === "EISDIR";
          if (!isDirectory) throw error;
          await rmdir(`${proc}/${name}`);
        }
      });
    },
  };
}
