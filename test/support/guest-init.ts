import { chmodSync, copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root, testDir } from "./paths.js";
import { compileStatic } from "./static.js";
import { waitFor } from "./wait.js";

/** The init of native/test/guest_init.c in images of tests: it reports what PID 1 got, and logs every signal. */

const source = join(root, "native/test/guest_init.c");
let program: string | null = null;

function built(): string {
  if (program !== null) return program;
  const path = join(testDir, "islt-guest-init");
  compileStatic(source, path);
  process.on("exit", () => {
    rmSync(path, { force: true });
  });
  program = path;
  return path;
}

/** Makes it a root file system's /sbin/init, or another file of it. */
export function installInit(rootfs: string, path: string = "sbin/init"): void {
  const target = join(rootfs, path);
  rmSync(target, { force: true });
  copyFileSync(built(), target);
  chmodSync(target, 0o755);
}

/** The values of a report by their name, in the order of the lines. */
export type Report = ReadonlyMap<string, readonly string[]>;

/** What init has reported; waits until it has. */
export async function reportOf(rootfs: string): Promise<Report> {
  const path = join(rootfs, "report");
  await waitFor("init's report", () => existsSync(path));
  const out = new Map<string, string[]>();
  for (const line of readFileSync(path, "utf8").trim().split("\n")) {
    const space = line.indexOf(" ");
    const name = line.slice(0, space);
    out.set(name, [...(out.get(name) ?? []), line.slice(space + 1)]);
  }
  return out;
}

/** The signals that init got, in order. */
export function signalsOf(rootfs: string): readonly number[] {
  const path = join(rootfs, "signals");
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n").map(Number) : [];
}
