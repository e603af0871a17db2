import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";

/** What is at a path of the tree that is unpacked into: its last name is not followed. null: nothing. */
export type Look = (path: string) => "directory" | "symlink" | "other" | null;

type Kind = "directory" | "symlink" | "other";

/** Keeps account of what an archive has made so far, and refuses what would go through a link. Paths are canonical: "etc/hostname". */
export interface PathGuard {
  /** ISLET_UNTRUSTED. `target`: of a hard link. Gives back a directory of an earlier layer that has to make way. */
  admit(path: string, kind: Kind, target: string | null): "free" | "directory in the way";
}

/** ISLET_UNTRUSTED; `name` as the archive has it. */
export function refused(archive: string, name: string, why: string): IsletError {
  const shown = printable(Buffer.from(name, "latin1").toString("utf8")).slice(0, 200);
  return new IsletError("ISLET_UNTRUSTED", `${archive} is refused: the entry ${shown} ${why}`);
}

/** A name without "." and doubled or trailing slashes; "" is the root. Throws for one that leads outside. */
export function canonicalName(name: string, archive: string): string {
  if (name.startsWith("/")) throw refused(archive, name, "has an absolute name");
  if (name.includes("\0")) throw refused(archive, name, "has a NUL in its name");
  // Nearly every name is canonical, but for "./" in front and "/" at the end.
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(archive, name, "leads outside (..)");
  if (parts.length > 2000 || parts.some((part) => part.length > 255))
    throw refused(archive, name, "has too long a name");
  return parts.join("/");
}

/** The same, for what a hard link refers to: relative to the root; a slash in front is common. */
export const canonicalTarget = (target: string, archive: string): string =>
  canonicalName(target.replace(/^\/+/, ""), archive);

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** `look`: at a tree that was not empty; null: it was. */
export function createPathGuard(archive: string, look: Look | null): PathGuard {
  /** What this archive has made, and directories that were found to be ones. */
  const made = new Map<string, Kind>([["", "directory"]]);

  /** All the directories above are directories indeed. */
  const checkParents = (path: string, name: string, what: string): void => {
    for (let parent = parentOf(path); ; parent = parentOf(parent)) {
      const known = made.get(parent);
      if (known === "directory") break;
      if (known !== undefined)
        throw refused(archive, name, `${what} a ${known === "symlink" ? "symbolic link" : "file"}`);
    }
    if (made.get(parentOf(path)) === "directory") return;
    // Missing ones are made by the program that unpacks.
    const missing: string[] = [];
    for (let parent = parentOf(path); made.get(parent) !== "directory"; parent = parentOf(parent)) missing.push(parent);
    for (const parent of missing.reverse()) {
      const found = look?.(parent) ?? null;
      if (found !== null && found !== "directory")
        throw refused(archive, name, `${what} a ${found === "symlink" ? "symbolic link" : "file"}`);
      made.set(parent, "directory");
    }
  };

  return {
    admit(path, kind, target) {
      checkParents(path, path, "goes through");
      let is = kind;
      if (target !== null) {
        checkParents(target, path, "is a hard link through");
        is = made.get(target) ?? look?.(target) ?? "other";
        if (is === "directory") throw refused(archive, path, "is a hard link to a directory");
      }
      const before = made.get(path);
      if (before === undefined) {
        made.set(path, is);
        return is !== "directory" && look?.(path) === "directory" ? "directory in the way" : "free";
      }
      if (before !== is) throw refused(archive, path, `is there twice, as ${words[before]} and as ${words[is]}`);
      return "free";
    },
  };
}

const words: Readonly<Record<Kind, string>> = { directory: "a directory", symlink: "a symbolic link", other: "a file" };
