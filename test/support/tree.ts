import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { type Cleaner, cleanup } from "./cleanup.js";
import { root, testDir } from "./paths.js";

/** Trees of files to copy, remove and change, and another tool's opinion of whether two are the same. */

export const sh = (script: string, ...words: readonly string[]): string =>
  execFileSync("sh", ["-e", "-c", script, "sh", ...words], { encoding: "latin1", maxBuffer: 1 << 28 });

/** Nothing in it may keep it from being removed: what is mounted below it goes first. Processes that were killed may still make a last file. */
export function removeForTest(path: string): void {
  sh(
    `awk -v top="$1/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -d '\\n' umount
chattr -R -f -i -a "$1" 2>&1 || true
for try in 1 2 3 4 5; do ! rm -rf "$1" || exit 0; sleep 0.2; done; exit 1`,
    path,
  );
}

/** A file system of its own in a file, mounted until the test is over. */
export function mountFile(place: string, type: string, megabytes: number): string {
  const path = join(place, type);
  mkdirSync(path);
  sh(
    'truncate -s "$3M" "$2.image"; "mkfs.$1" -q "$2.image" >/dev/null 2>&1; mount -o loop "$2.image" "$2"',
    type,
    path,
    `${megabytes}`,
  );
  return path;
}

/** A directory of the test's own, gone with it. */
export function placeOf(t: Cleaner): string {
  const path = mkdtempSync(join(testDir, "islt-tree-"));
  cleanup(t)(() => {
    removeForTest(path);
  });
  return path;
}

/** Everything that a copy may lose or trip over, in the new directory. */
export function makeNasty(path: string): void {
  mkdirSync(path);
  sh('exec sh "$1" "$2"', join(root, "test/support/nasty-tree.sh"), path);
}

/**
 * What rsync would change to make `to` the same as `from`, and what it does not look at: numbers of names and of devices, blocks of what has holes,
 * flags, rights of what is in the way of times.
 */
export function differencesOf(from: string, to: string): string {
  const rsync = sh('rsync -aHAXn --checksum --delete --itemize-changes "$1/" "$2/"', from, to);
  const facts = (path: string): string =>
    sh(
      `cd "$1"; find . ! -type d -print0 | sort -z | xargs -0 -r stat -c '%N %f %u %g %s %y %h %t:%T'
find . -type d -print0 | sort -z | xargs -0 -r stat -c '%N %f %u %g %y'; find . '(' -type f -o -type d ')' -print0 | sort -z | xargs -0 -r lsattr -d 2>&1 | LC_ALL=C awk '{ print substr($0, 5, 3), substr($0, index($0, " ") + 1) }'`,
      path,
    );
  const [mine, its] = [facts(from), facts(to)].map((text) => text.split("\n")) as [string[], string[]];
  const lines = mine.filter((line) => !its.includes(line)).map((line) => `- ${line}`);
  return [rsync, ...lines, ...its.filter((line) => !mine.includes(line)).map((line) => `+ ${line}`)].join("\n");
}

/** 512-byte blocks of all files. */
export const blocksOf = (path: string): number =>
  sh('find "$1" -type f -printf "%b\\n"', path)
    .split("\n")
    .reduce((sum, blocks) => sum + Number(blocks), 0);
