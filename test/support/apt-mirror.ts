import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ok } from "./command.js";
import type { Signer } from "./signing.js";

/** A small archive with apt's layout, as that of a distribution which cannot be reached here: its packages are Debian's, by another release's name. */

const cache = "/var/cache/islet-test";

/** What the packages of these names need, down to an empty machine; fetched once from the mirror that this machine's apt uses. */
async function debs(packages: readonly string[]): Promise<string> {
  const key = createHash("sha256").update(JSON.stringify(packages)).digest("hex").slice(0, 12);
  const directory = join(cache, `debs-${key}`);
  if (existsSync(directory)) return directory;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(`${directory}.`);
  try {
    mkdirSync(join(work, "partial"));
    writeFileSync(join(work, "status"), "");
    const options = [
      `Dir::State::status=${work}/status`,
      `Dir::Cache::archives=${work}`,
      "Debug::NoLocking=1",
      "APT::Install-Recommends=0",
      "APT::Sandbox::User=root",
    ];
    const words = ["-q", "-y", "--download-only", ...options.flatMap((each) => ["-o", each])];
    await ok(["apt-get", ...words, "install", "?priority(required)", "apt", ...packages], { timeout: 300_000 });
    rmSync(join(work, "partial"), { recursive: true });
    // Another run may have been faster.
    if (!existsSync(directory)) renameSync(work, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return directory;
}

const hash = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

function stanza(pool: string, name: string): string {
  const bytes = readFileSync(join(pool, name));
  const control = execFileSync("dpkg-deb", ["-f", join(pool, name)], { encoding: "utf8" }).trimEnd();
  return `${control}\nFilename: pool/${name}\nSize: ${bytes.length}\nSHA256: ${hash(bytes)}\n`;
}

/** A package with nothing in it. */
function emptyDeb(pool: string, name: string): void {
  const tree = join(pool, `${name}.tree`);
  mkdirSync(join(tree, "DEBIAN"), { recursive: true });
  const control = `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@islet.invalid>\nDescription: nothing\n`;
  writeFileSync(join(tree, "DEBIAN/control"), control);
  execFileSync("dpkg-deb", ["--root-owner-group", "-b", tree, join(pool, `${name}_1_all.deb`)], { stdio: "ignore" });
  rmSync(tree, { recursive: true });
}

export interface AptMirror {
  /** Where it is written. */
  readonly directory: string;
  /** The main one; with NAME-updates and NAME-security, which are empty, beside it. */
  readonly suite: string;
  readonly packages: readonly string[];
  /** Made with nothing in them. */
  readonly empty: readonly string[];
  readonly key: Signer;
}

export async function makeAptMirror({ directory, suite, packages, empty, key }: AptMirror): Promise<void> {
  const pool = join(directory, "pool");
  mkdirSync(pool, { recursive: true });
  const from = await debs(packages);
  for (const name of readdirSync(from)) if (name.endsWith(".deb")) symlinkSync(join(from, name), join(pool, name));
  for (const name of empty) emptyDeb(pool, name);
  const arch = execFileSync("dpkg", ["--print-architecture"], { encoding: "utf8" }).trim();
  const all = readdirSync(pool).map((name) => stanza(pool, name));
  const components = ["main", "restricted", "universe", "multiverse"];
  for (const each of [suite, `${suite}-updates`, `${suite}-security`]) {
    const dist = join(directory, "dists", each);
    const indexes = components.map((component) => {
      const path = `${component}/binary-${arch}/Packages`;
      const text = each === suite && component === "main" ? all.join("\n") : "";
      mkdirSync(join(dist, component, `binary-${arch}`), { recursive: true });
      writeFileSync(join(dist, path), text);
      return ` ${hash(text)} ${Buffer.byteLength(text)} ${path}`;
    });
    const release = [
      "Origin: Islet",
      `Suite: ${each}`,
      `Codename: ${each}`,
      `Date: ${new Date().toUTCString()}`,
      `Architectures: ${arch}`,
      `Components: ${components.join(" ")}`,
      "SHA256:",
      ...indexes,
      "",
    ].join("\n");
    writeFileSync(join(dist, "InRelease"), key.inline(release));
  }
}
