import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import { closeFd } from "../host/addon.js";
import { lookWithin, namesIn, openWithin } from "../host/root-fd.js";
import { type IdMapEntry, toHostId } from "../spec/idmap.js";
import type { EditOptions, RootEditor } from "../spec/image.js";
import type { Arch } from "../sys/arch.js";
import { O_RDONLY, openFlags } from "../sys/flags.js";
import { type Owner, type RootFiles, createRootFiles } from "./root-files.js";
import { removeWithin } from "./root-remove.js";

/** Largest file that is read. */
const mostBytes = 16 << 20;

/** `root`: a descriptor of the root directory, which stays the caller's. `map`: of the container's ids, [] for none. */
export function createRootEditor(arch: Arch, root: number, map: readonly IdMapEntry[]): RootEditor {
  const files = createRootFiles(arch, root);
  const idOf = (type: "uid" | "gid", id: number): number => {
    if (!map.some((entry) => entry.type === type)) return id;
    const mapped = toHostId(map, type, id);
    if (mapped === null) throw new IsletError("ISLET_BAD_REQUEST", `the container's id map has no ${type} ${id}`);
    return mapped;
  };
  const ownerOf = ({ uid = 0, gid = 0 }: EditOptions): Owner => ({ uid: idOf("uid", uid), gid: idOf("gid", gid) });

  const readBytes = (path: string): Buffer | null => files.read(path, mostBytes);

  const write = (path: string, bytes: Uint8Array, options: EditOptions): void => {
    files.makeParents(path, ownerOf({}));
    files.replace(path, bytes, {
      mode: options.mode ?? null,
      owner: options.uid === undefined && options.gid === undefined ? null : ownerOf(options),
      fresh: { mode: 0o644, owner: ownerOf(options) },
    });
  };

  const editor: RootEditor = {
    arch,
    read: (path) => {
      const bytes = readBytes(path);
      return bytes === null ? null : decodeText(bytes).text;
    },
    exists: (path) => isThere(arch, root, path),
    list: (path) => listNames(arch, files, path),
    write: (path, text, options = {}) => {
      write(path, typeof text === "string" ? Buffer.from(text) : text, options);
    },
    append: (path, text, options = {}) => {
      write(path, Buffer.concat([readBytes(path) ?? Buffer.alloc(0), Buffer.from(text)]), options);
    },
    change: (path, edit) => {
      const bytes = readBytes(path);
      if (bytes === null) return false;
      const { text, encoding } = decodeText(bytes);
      const changed = edit(text);
      if (changed !== text) write(path, Buffer.from(changed, encoding), {});
      return true;
    },
    directory: (path, options = {}) => {
      files.makeParents(path, ownerOf({}));
      files.directory(path, options.mode ?? null, ownerOf(options), hasOwner(options));
    },
    link: (path, target) => {
      files.makeParents(path, ownerOf({}));
      files.link(path, target, ownerOf({}));
    },
    remove: (path) => {
      removeWithin(arch, root, Buffer.from(`${trimmed(path)}\0`));
    },
    chmod: (path, mode) => {
      files.chmod(path, mode);
    },
    node: (path, type, major, minor, mode) => {
      files.makeParents(path, ownerOf({}));
      files.node(path, type, major, minor, mode, ownerOf({}));
    },
    async copyIn(hostPath, path, options = {}) {
      await copyHostFile(editor, hostPath, path, options);
    },
  };
  return editor;
}

const hasOwner = ({ uid, gid }: EditOptions): boolean => uid !== undefined || gid !== undefined;

/** Without slashes at the end; the root itself is nothing to be edited. */
function trimmed(path: string): string {
  const text = path.replace(/\/+$/, "");
  if (text === "" || text === ".")
    throw new IsletError("ISLET_BAD_REQUEST", `${path} is the root file system itself, which stays`);
  return text;
}

/** Text that is no UTF-8 is taken byte by byte, so that writing it back changes nothing. */
function decodeText(bytes: Uint8Array): { readonly text: string; readonly encoding: "utf8" | "latin1" } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), encoding: "utf8" };
  } catch {
    return { text: Buffer.from(bytes).toString("latin1"), encoding: "latin1" };
  }
}

function isThere(arch: Arch, root: number, path: string): boolean {
  try {
    return lookWithin(arch, root, path) !== null;
  } catch (error) {
    // A loop of links, or a file on the way.
    if (error instanceof IsletError && (error.errno === "ELOOP" || error.errno === "ENOTDIR")) return false;
    throw error;
  }
}

function listNames(arch: Arch, files: RootFiles, path: string): readonly string[] {
  const directory = openWithin(arch, files.root, path, O_RDONLY | openFlags(arch).O_DIRECTORY);
  if (directory < 0) return [];
  try {
    return namesIn(arch, directory)
      .map((name) => Buffer.from(name.subarray(0, -1)).toString())
      .sort();
  } finally {
    closeFd(directory);
  }
}

async function copyHostFile(
  editor: RootEditor,
  from: string,
  to: string,
  options: EditOptions,
  isInside: boolean = false,
): Promise<void> {
  try {
    const look = await (isInside ? lstat(from) : stat(from));
    if (look.isSymbolicLink()) editor.link(to, await readlink(from));
    else if (look.isFile()) editor.write(to, await readFile(from), { mode: look.mode & 0o777, ...options });
    else if (look.isDirectory()) {
      editor.directory(to, { mode: look.mode & 0o7777, ...options });
      const { mode: _mode, ...owner } = options;
      for (const name of await readdir(from))
        await copyHostFile(editor, `${from}/${name}`, `${to}/${name}`, owner, true);
    }
  } catch (error) {
    if (error instanceof IsletError) throw error;
    throw ioError(`copy ${from} into the root file system`, error);
  }
}
