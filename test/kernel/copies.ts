import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../support/instance.js";
import { busybox } from "../support/store.js";
import { differencesOf, sh } from "../support/tree.js";

/** Containers of an own daemon that are copied. */

export interface Copies {
  readonly own: Instance;
  /** Makes one by hand, as it says nothing to the daemon. Gives back its root file system. */
  readonly make: (name: string, config?: string) => string;
  readonly rootfs: (name: string) => string;
  readonly path: (name: string, ...rest: readonly string[]) => string;
  readonly config: (name: string) => string;
  /** All that is in the store. */
  readonly names: () => readonly string[];
  readonly run: (
    tool: string,
    ...words: readonly string[]
  ) => Promise<{ status: number; stdout: string; stderr: string }>;
  readonly ok: (tool: string, ...words: readonly string[]) => Promise<string>;
  /** A picture of a container that must not change: names, contents, times, owners of everything in its directory. */
  readonly picture: (name: string) => string;
}

export function copiesOf(own: Instance): Copies {
  const path = (name: string, ...rest: readonly string[]): string => join(own.store.path, name, ...rest);
  return {
    own,
    make: (name, config = "") => busybox(own.store, name, config),
    rootfs: (name) => path(name, "rootfs"),
    path,
    config: (name) => readFileSync(path(name, "config"), "utf8"),
    names: () => readdirSync(own.store.path).sort(),
    run: (tool, ...words) => own.command([tool, "-P", own.store.path, ...words]),
    ok: (tool, ...words) => own.ok([tool, "-P", own.store.path, ...words], { timeout: 60_000 }),
    picture: (name) =>
      sh(
        'cd "$1"; find . -print0 | sort -z | xargs -0 stat -c "%N %f %u %g %s %y"; find . -type f -print0 | sort -z | xargs -0 sha256sum',
        path(name),
      ),
  };
}

/** What differs but for the names in etc/hostname and etc/hosts. */
export function realDifferences(from: string, to: string): string {
  return differencesOf(from, to)
    .split("\n")
    .filter((line) => line !== "" && !/etc\/host(name|s)\b/.test(line) && !/ '?\.\/?etc'? /.test(line))
    .join("\n");
}

/** Enough files that a copy of them can be interrupted. */
export function fill(path: string, files: number): void {
  sh('mkdir -p "$1"; cd "$1"; for i in $(seq "$2"); do echo "$i" > "f$i"; done', path, String(files));
  writeFileSync(join(path, "large"), Buffer.alloc(64 << 20, 1));
}

export const inode = (path: string): number => statSync(path).ino;
