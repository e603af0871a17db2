import { readFileSync } from "node:fs";
import { posix } from "node:path";
import type { EditOptions, RootEditor } from "../../src/spec/image.js";

interface FakeFile {
  readonly text: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A root file system in memory: files, links and directories by their path. Links are not followed. */
export interface FakeRoot extends RootEditor {
  readonly files: ReadonlyMap<string, FakeFile>;
  readonly links: ReadonlyMap<string, string>;
  readonly directories: ReadonlyMap<string, EditOptions>;
}

export function fakeRoot(given: Readonly<Record<string, string>>): FakeRoot {
  const files = new Map<string, FakeFile>();
  const links = new Map<string, string>();
  const directories = new Map<string, EditOptions>();
  const put = (path: string, text: string, options: EditOptions = {}): void => {
    const { mode = 0o644, uid = 0, gid = 0 } = options;
    links.delete(path);
    files.set(path, { text, mode, uid, gid, ...(files.has(path) ? { mode: files.get(path)?.mode ?? mode } : {}) });
  };
  for (const [path, text] of Object.entries(given)) put(path, text);
  const below = (path: string): readonly string[] =>
    [...files.keys(), ...links.keys(), ...directories.keys()].filter((each) => each.startsWith(`${path}/`));
  const exists = (path: string): boolean =>
    files.has(path) || links.has(path) || directories.has(path) || below(path).length > 0;
  return {
    arch: "x86_64",
    files,
    links,
    directories,
    read: (path) => files.get(path)?.text ?? null,
    exists,
    list: (path) => [...new Set(below(path).map((each) => each.slice(path.length + 1).split("/")[0] ?? ""))].sort(),
    write: (path, text, options) => {
      put(path, typeof text === "string" ? text : new TextDecoder().decode(text), options);
    },
    append: (path, text, options) => {
      put(path, (files.get(path)?.text ?? "") + text, options);
    },
    change: (path, edit) => {
      const file = files.get(path);
      if (file === undefined) return false;
      files.set(path, { ...file, text: edit(file.text) });
      return true;
    },
    directory: (path, options = {}) => {
      directories.set(path, options);
    },
    link: (path, target) => {
      files.delete(path);
      links.set(path, target);
    },
    remove: (path) => {
      for (const each of [path, ...below(path)]) {
        files.delete(each);
        links.delete(each);
        directories.delete(each);
      }
    },
    chmod: (path, mode) => {
      const file = files.get(path);
      if (file !== undefined) files.set(path, { ...file, mode });
    },
    node: () => {
      throw new Error("no template makes device nodes");
    },
    copyIn: (hostPath, path, options) => {
      put(posix.normalize(path), readFileSync(hostPath, "utf8"), options);
      return Promise.resolve();
    },
  };
}
