import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { copyTree, removeTree } from "../src/storage/tree.js";

/**
 * Copies and removals of a whole root file system against rsync, cp and rm, in turns: `node dist/bench/tree.js [ROUNDS [ROOT]]`. Copies are made into new
 * directories and removed only at the end: for a minute ext4 looks for an inode past each that was removed lately, which would be measured instead.
 */

const [rounds = "5", given] = process.argv.slice(2);
const host = {
  arch: process.arch === "x64" ? ("x86_64" as const) : ("arm64" as const),
  binary: join(import.meta.dirname, "../../build/islet"),
};
const place = mkdtempSync("/var/tmp/islt-bench-tree-");
const run = (program: string, ...words: readonly string[]): Promise<unknown> => {
  execFileSync(program, words, { stdio: ["ignore", "ignore", "inherit"] });
  return Promise.resolve();
};

function debianRoot(): string {
  const cache = "/var/cache/islet-test";
  const tar = existsSync(cache)
    ? readdirSync(cache).find((name) => /^debian-bookworm-systemd-.*\.tar$/.test(name))
    : undefined;
  if (tar === undefined)
    throw new Error(`no image of Debian in ${cache}: run the tests with Debian guests, or name a directory`);
  const root = join(place, "root");
  mkdirSync(root);
  execFileSync("tar", ["-xf", join(cache, tar), "-C", root, "--xattrs", "--xattrs-include=*"]);
  return root;
}

const times = new Map<string, number[]>();

async function time(name: string, body: () => Promise<unknown>): Promise<void> {
  execFileSync("sync");
  const begin = performance.now();
  await body();
  times.set(name, [...(times.get(name) ?? []), performance.now() - begin]);
}

function median(name: string): number {
  const sorted = (times.get(name) ?? []).sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

try {
  const from = given ?? debianRoot();
  await run("du", "-s", from);
  for (let round = 0; round < Number(rounds); round++) {
    const [islet, rsync, cp] = ["islet", "rsync", "cp"].map((name) => join(place, `${name}-${round}`)) as [
      string,
      string,
      string,
    ];
    for (const path of [islet, rsync, cp]) mkdirSync(path);
    await time("copy: islet", () => copyTree(host, { from, to: islet }));
    await time("copy: rsync -aHAXS", () => run("rsync", "-aHAXS", `${from}/`, `${rsync}/`));
    await time("copy: cp -a", () => run("cp", "-a", `${from}/.`, cp));
  }
  for (let round = 0; round < Number(rounds); round++) {
    await time("removal: islet", () => removeTree(host, join(place, `islet-${round}`)));
    await time("removal: rm -rf", () => run("rm", "-rf", join(place, `rsync-${round}`)));
    rmSync(join(place, `cp-${round}`), { recursive: true });
  }
  for (const name of times.keys()) {
    const ours = median(name.replace(/:.*/, ": islet"));
    console.log(`${name.padEnd(20)} ${median(name).toFixed(0).padStart(6)} ms  ${(ours / median(name)).toFixed(2)}`);
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}
