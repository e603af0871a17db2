import { randomBytes } from "node:crypto";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { type FileLook, fileError, fileType, lookAt, openWithin, sysCall, types } from "../host/root-fd.js";
import type { Arch } from "../sys/arch.js";
import { cString, fromCString } from "../sys/bytes.js";
import { EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR } from "../sys/errno.js";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_PATH, O_RDONLY, O_WRONLY, openFlags } from "../sys/flags.js";
import { openParent } from "./root-remove.js";

/** Host ids. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface Replacement {
  /** null: as the file that is there has it. */
  readonly mode: number | null;
  readonly owner: Owner | null;
  /** Of a file that was not there. */
  readonly fresh: { readonly mode: number; readonly owner: Owner };
}

/** Files in a hostile root, by path as the container sees it. ISLET_IO. */
export interface RootFiles {
  readonly root: number;
  /** null: no regular file is there. */
  readonly read: (path: string, most: number) => Buffer | null;
  /** The directories on the way to a path. */
  readonly makeParents: (path: string, owner: Owner) => void;
  /** Whole, by renaming; a link is followed to the file that it stands for, but one that leads to nothing is replaced. */
  readonly replace: (path: string, bytes: Uint8Array, how: Replacement) => void;
  readonly directory: (path: string, mode: number | null, owner: Owner, ownerGiven: boolean) => void;
  readonly link: (path: string, target: string, owner: Owner) => void;
  readonly chmod: (path: string, mode: number) => void;
  readonly node: (
    path: string,
    type: "char" | "block",
    major: number,
    minor: number,
    mode: number,
    owner: Owner,
  ) => void;
}

const O_CREAT_EXCL = 0o100 | 0o200;
const O_NONBLOCK_NOCTTY = 0o4000 | 0o400;
const mostLinks = 40;

interface Place {
  readonly directory: number;
  readonly name: Uint8Array;
}

export function createRootFiles(arch: Arch, root: number): RootFiles {
  const nofollow = O_PATH | O_CLOEXEC | openFlags(arch).O_NOFOLLOW;
  const must = (result: number, what: string, name: string): number => {
    if (result < 0) throw fileError(`${what} in the root file system`, result, name);
    return result;
  };

  /** An open directory and a name in it. */
  const parentOf = (path: string): Place => {
    const place = openParent(arch, root, cString(withoutEnd(path)));
    must(place.directory, `reach ${path}`, "openat2");
    return place;
  };

  const lookIn = ({ directory, name }: Place): FileLook | null => {
    const fd = sysCall(arch, "openat", directory, name, nofollow, 0);
    if (fd === -ENOENT) return null;
    must(fd, "look at a file", "openat");
    try {
      return lookAt(arch, fd);
    } finally {
      closeFd(fd);
    }
  };

  /** Does it lead to something? */
  const leadsSomewhere = (path: string): boolean => {
    const fd = openWithin(arch, root, path, O_PATH);
    if (fd === -ENOENT) return false;
    must(fd, `reach ${path}`, "openat2");
    closeFd(fd);
    return true;
  };

  /** Where a path ends when links are followed. A link that leads to nothing is the end itself: what is written takes its place. */
  const endOf = (path: string): Place & { readonly look: FileLook | null } => {
    let now = withoutEnd(path);
    for (let links = 0; links < mostLinks; links += 1) {
      const place = parentOf(now);
      try {
        const look = lookIn(place);
        if (look === null || (look.mode & fileType) !== types.symlink) return { ...place, look };
        if (!leadsSomewhere(now)) return { ...place, look: null };
        const room = new Uint8Array(4097);
        const length = must(
          sysCall(arch, "readlinkat", place.directory, place.name, room, 4096),
          `read the link ${now}`,
          "readlinkat",
        );
        const target = fromCString(room.subarray(0, length));
        // The kernel takes it from there, with whatever dots and links it has.
        now = withoutEnd(target.startsWith("/") ? target : `${now.slice(0, now.lastIndexOf("/") + 1)}${target}`);
      } catch (error) {
        closeFd(place.directory);
        throw error;
      }
      closeFd(place.directory);
    }
    throw fileError(`reach ${path} in the root file system`, -ELOOP, "openat2");
  };

  /** Makes something under a name of its own, then gives it its place. */
  const put = ({ directory, name }: Place, what: string, make: (temporary: Uint8Array) => void): void => {
    const temporary = cString(`.islet-${randomBytes(8).toString("hex")}`);
    try {
      make(temporary);
      must(sysCall(arch, "renameat", directory, temporary, directory, name), `put ${what}`, "renameat");
    } catch (error) {
      sysCall(arch, "unlinkat", directory, temporary, 0);
      throw error;
    }
  };

  const own = (directory: number, name: Uint8Array, { uid, gid }: Owner): void => {
    const done = sysCall(arch, "fchownat", directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
    must(done, "change an owner", "fchownat");
  };

  /** Of what we have just made, or hold: never through a link. */
  const chmodFd = (fd: number, mode: number, what: string): void => {
    must(
      sysCall(arch, "fchmodat", AT_FDCWD, cString(`/proc/self/fd/${fd}`), mode & 0o7777),
      `change the mode of ${what}`,
      "fchmodat",
    );
  };

  const chmodAt = (directory: number, name: Uint8Array, mode: number, what: string): void => {
    const fd = must(sysCall(arch, "openat", directory, name, nofollow, 0), `open ${what}`, "openat");
    try {
      if ((lookAt(arch, fd).mode & fileType) !== types.symlink) chmodFd(fd, mode, what);
    } finally {
      closeFd(fd);
    }
  };

  const makeDirectory = (path: string, owner: Owner): void => {
    const { directory, name } = parentOf(path);
    try {
      const made = sysCall(arch, "mkdirat", directory, name, 0o755);
      if (made === -EEXIST) return;
      must(made, `make the directory ${path}`, "mkdirat");
      own(directory, name, owner);
      chmodAt(directory, name, 0o755, path);
    } finally {
      closeFd(directory);
    }
  };

  const writeFile = (place: Place, bytes: Uint8Array, mode: number, { uid, gid }: Owner, path: string): void => {
    put(place, path, (temporary) => {
      const flags = O_WRONLY | O_CREAT_EXCL | O_CLOEXEC | openFlags(arch).O_NOFOLLOW;
      const fd = must(sysCall(arch, "openat", place.directory, temporary, flags, 0o600), `make ${path}`, "openat");
      try {
        for (let done = 0; done < bytes.length;) {
          const rest = bytes.subarray(done);
          done += must(sysCall(arch, "write", fd, rest, rest.length), `write ${path}`, "write");
        }
        must(sysCall(arch, "fchown", fd, uid, gid), `change the owner of ${path}`, "fchown");
        // After the owner, which takes set-id bits away.
        must(sysCall(arch, "fchmod", fd, mode & 0o7777), `change the mode of ${path}`, "fchmod");
      } finally {
        closeFd(fd);
      }
    });
  };

  return {
    root,
    read(path, most) {
      // First without opening it: a device or a pipe of a stranger's is not to be opened at all.
      const fd = openWithin(arch, root, path, O_PATH);
      if (fd === -ENOENT || fd === -ELOOP || fd === -ENOTDIR) return null;
      must(fd, `open ${path}`, "openat2");
      try {
        const look = lookAt(arch, fd);
        if ((look.mode & fileType) !== types.file) return null;
        if (look.size > most)
          throw new IsletError("ISLET_IO", `${path} in the root file system is larger than ${most >> 20} MiB`);
        const flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK_NOCTTY;
        const open = sysCall(arch, "openat", AT_FDCWD, cString(`/proc/self/fd/${fd}`), flags, 0);
        must(open, `open ${path}`, "openat");
        try {
          const room = Buffer.alloc(look.size);
          let used = 0;
          while (used < room.length) {
            const rest = room.subarray(used);
            const got = must(sysCall(arch, "read", open, rest, rest.length), `read ${path}`, "read");
            if (got === 0) break;
            used += got;
          }
          return room.subarray(0, used);
        } finally {
          closeFd(open);
        }
      } finally {
        closeFd(fd);
      }
    },
    makeParents(path, owner) {
      const names = withoutEnd(path).split("/");
      const known = openWithin(arch, root, names.slice(0, -1).join("/") || "/", O_PATH | openFlags(arch).O_DIRECTORY);
      if (known >= 0) {
        closeFd(known);
        return;
      }
      for (let count = 1; count < names.length; count += 1) {
        const parent = names.slice(0, count).join("/");
        if (parent === "" || names[count - 1] === "" || names[count - 1] === "." || names[count - 1] === "..") continue;
        makeDirectory(parent, owner);
      }
    },
    replace(path, bytes, how) {
      const end = endOf(path);
      try {
        if (end.look !== null && (end.look.mode & fileType) === types.directory)
          throw fileError(`write ${path} in the root file system`, -EISDIR, "renameat");
        const before = end.look !== null && (end.look.mode & fileType) === types.file ? end.look : null;
        writeFile(end, bytes, how.mode ?? before?.mode ?? how.fresh.mode, how.owner ?? before ?? how.fresh.owner, path);
      } finally {
        closeFd(end.directory);
      }
    },
    directory(path, mode, owner, ownerGiven) {
      const place = parentOf(path);
      try {
        const made = sysCall(arch, "mkdirat", place.directory, place.name, 0o755);
        if (made === -EEXIST) {
          // A link to a directory will do.
          const fd = openWithin(arch, root, path, O_PATH | openFlags(arch).O_DIRECTORY);
          must(fd, `make the directory ${path}`, "mkdirat");
          try {
            if (ownerGiven) own(AT_FDCWD, cString(`/proc/self/fd/${fd}/.`), owner);
            if (mode !== null) chmodFd(fd, mode, path);
          } finally {
            closeFd(fd);
          }
          return;
        }
        must(made, `make the directory ${path}`, "mkdirat");
        own(place.directory, place.name, owner);
        chmodAt(place.directory, place.name, mode ?? 0o755, path);
      } finally {
        closeFd(place.directory);
      }
    },
    link(path, target, owner) {
      if (target === "" || target.includes("\0")) throw fileError(`make the link ${path}`, -EINVAL, "symlinkat");
      const place = parentOf(path);
      try {
        put(place, path, (temporary) => {
          const made = sysCall(arch, "symlinkat", cString(target), place.directory, temporary);
          must(made, `make the link ${path}`, "symlinkat");
          own(place.directory, temporary, owner);
        });
      } finally {
        closeFd(place.directory);
      }
    },
    chmod(path, mode) {
      const fd = must(openWithin(arch, root, path, O_PATH), `open ${path}`, "openat2");
      try {
        chmodFd(fd, mode, path);
      } finally {
        closeFd(fd);
      }
    },
    node(path, type, major, minor, mode, owner) {
      const place = parentOf(path);
      try {
        put(place, path, (temporary) => {
          const device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12);
          const made = sysCall(
            arch,
            "mknodat",
            place.directory,
            temporary,
            types[type] | (mode & 0o7777),
            device >>> 0,
          );
          must(made, `make the device node ${path}`, "mknodat");
          own(place.directory, temporary, owner);
          chmodAt(place.directory, temporary, mode, path);
        });
      } finally {
        closeFd(place.directory);
      }
    },
  };
}

/** Without slashes at the end, of which a file's name has none. */
function withoutEnd(path: string): string {
  const text = path.replace(/\/+$/, "");
  if (text === "" || text === ".") throw new IsletError("ISLET_BAD_REQUEST", `${path} is the root file system itself`);
  return text;
}
