import { randomBytes } from "node:crypto";
import { closeSync, constants, fchownSync, fsync, lstatSync, openSync, renameSync, unlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import { promisify } from "node:util";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { fileError, sysCall } from "../host/root-fd.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { AT_FDCWD, AT_SYMLINK_FOLLOW, openFlags } from "../sys/flags.js";
import { EEXIST } from "../sys/errno.js";

/** A file that is there when it is whole, and not before: of a process that is killed nothing stays. */
export interface FreshFile {
  readonly fd: number;
  /** It is on the disk, and takes the place of what had its name. */
  finish(): Promise<void>;
  /** Without effect after `finish`. */
  close(): void;
}

/** For nobody but its owner to read: there are passwords in it. */
const mode = 0o600;

export function freshFile(arch: Arch, path: string, owner: { readonly uid: number; readonly gid: number }): FreshFile {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before !== undefined && !before.isFile())
    throw new IsletError("ISLET_EXISTS", `${path} is there, and is no plain file`, {
      hint: "name another file, or - for the standard output",
    });
  const directory = dirname(path);
  const beside = `${directory}/.${basename(path).slice(0, 200)}.${randomBytes(4).toString("hex")}`;
  let fd: number;
  let named: string | null = null;
  try {
    try {
      fd = openSync(directory, constants.O_WRONLY | openFlags(arch).O_TMPFILE, mode);
    } catch (error) {
      // Not every file system has files without a name.
      if (!isErrno(error, "EOPNOTSUPP", "ENOTSUP", "EISDIR", "EINVAL")) throw error;
      fd = openSync(beside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
      named = beside;
    }
  } catch (error) {
    throw ioError(`make ${path}`, error);
  }
  let isOpen = true;
  const drop = (): void => {
    if (named !== null) unlinkSync(named);
    named = null;
  };
  const link = (to: string): number =>
    sysCall(arch, "linkat", AT_FDCWD, cString(`/proc/self/fd/${fd}`), AT_FDCWD, cString(to), AT_SYMLINK_FOLLOW);
  return {
    fd,
    async finish() {
      try {
        fchownSync(fd, owner.uid, owner.gid);
        await promisify(fsync)(fd);
        if (named === null) {
          const made = link(path);
          if (made >= 0) return;
          if (made !== -EEXIST) throw fileError(`make ${path}`, made, "linkat");
          const again = link(beside);
          if (again < 0) throw fileError(`make ${path}`, again, "linkat");
          named = beside;
        }
        renameSync(named, path);
        named = null;
      } catch (error) {
        if (error instanceof IsletError) throw error;
        throw ioError(`write ${path}`, error);
      }
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      try {
        drop();
      } finally {
        closeSync(fd);
      }
    },
  };
}
