import { lstat, readdir, rmdir, unlink } from "node:fs/promises";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import type { StorageHost } from "./driver.js";

/** Removes a tree without leaving its file system: what is mounted below stays, with an error. Links are removed, never followed. */
export async function removeTree(_host: Pick<StorageHost, "arch" | "binary">, path: string): Promise<void> {
  try {
    const top = await lstat(path);
    if (!top.isDirectory()) {
      await unlink(path);
      return;
    }
    await removeBelow(path, top.dev);
    await rmdir(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (error instanceof IsletError) throw error;
    throw ioError(`remove ${path}`, error);
  }
}

async function removeBelow(path: string, device: number): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true });
  for (const entry of entries) {
    const child = `${path}/${entry.name}`;
    if (!entry.isDirectory()) {
      await unlink(child);
      continue;
    }
    const found = await lstat(child);
    if (found.dev !== device)
      throw new IsletError("ISLET_IO", `cannot remove ${child}: another file system is mounted there`, {
        hint: "unmount it first",
      });
    await removeBelow(child, device);
    await rmdir(child);
  }
}
