// Builds everything: TypeScript to dist/, the native part to build/, links to the binary in bin/ and templates/.
// Does nothing, quickly, when all is up to date.
//
//   node scripts/build.mjs [--force]
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Failure, filesBelow, main, root, run } from "./lib/common.mjs";
import { nodeIncludes } from "./lib/headers.mjs";
import { commandNames, templateNames } from "./lib/names.mjs";

const sourceDirs = ["src", "test", "bench"];
const stampFile = join(root, "dist/.stamp");

/** Changes whenever a source file is added, removed or written. */
function fingerprint() {
  const files = [
    "tsconfig.json",
    "package-lock.json",
    ...sourceDirs.flatMap((dir) => filesBelow(dir, (path) => path.endsWith(".ts"))),
  ];
  const hash = createHash("sha256");
  for (const file of files) {
    const { mtimeMs, size } = statSync(join(root, file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return hash.digest("hex");
}

/** Outputs whose source is gone: node --test would still run them. */
function prune() {
  for (const output of filesBelow("dist", (path) => /\.(js|d\.ts|js\.map)$/.test(path))) {
    const source = output.replace(/^dist\//, "").replace(/\.(js|d\.ts|js\.map)$/, ".ts");
    if (!existsSync(join(root, source))) rmSync(join(root, output));
  }
}

function buildTypeScript(say) {
  const current = fingerprint();
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === current) return;
  say("tsc");
  const result = run(join(root, "node_modules/.bin/tsc"), ["-p", "."]);
  prune();
  if (!result.ok) throw new Failure(`tsc failed\n${result.stdout}${result.stderr}`.trimEnd());
  writeFileSync(stampFile, current);
}

function buildNative(say) {
  const includes = nodeIncludes();
  if (includes === null) throw new Failure("node_api.h or uv.h is missing; run: npm run setup");
  const variables = [`NODE=${process.execPath}`, `NODE_HEADERS=${includes.join(" -isystem ")}`];
  const make = (...args) => run("make", ["-C", join(root, "native"), "--no-print-directory", ...args, ...variables]);
  if (make("-q").ok) return;
  say("make -C native");
  const result = make("-j2");
  if (!result.ok) throw new Failure(`make -C native failed\n${result.stdout}${result.stderr}`.trimEnd());
}

/** A directory of links to the binary, by these names and no others. */
function linkInto(directory, names) {
  const path = join(root, directory);
  mkdirSync(path, { recursive: true });
  for (const old of readdirSync(path)) if (!names.includes(old)) rmSync(join(path, old), { recursive: true });
  for (const name of names) {
    const link = join(path, name);
    const target = "../build/islet";
    const there = lstatSync(link, { throwIfNoEntry: false });
    if (there?.isSymbolicLink() && readlinkSync(link) === target) continue;
    rmSync(link, { force: true });
    symlinkSync(target, link);
  }
}

function linkNames() {
  linkInto("bin", commandNames());
  linkInto(
    "templates",
    templateNames().map((name) => `lxc-${name}`),
  );
}

/** All three parts are tried, so that one report has all that is wrong. */
export function build({ say, force = false }) {
  mkdirSync(dirname(stampFile), { recursive: true });
  if (force) {
    rmSync(stampFile, { force: true });
    run("make", ["-C", join(root, "native"), "clean"]);
  }
  const failures = [];
  for (const part of [() => buildTypeScript(say), () => buildNative(say), linkNames]) {
    try {
      part();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push(error.message);
    }
  }
  if (failures.length > 0) throw new Failure(failures.join("\n\n"));
}

if (process.argv[1] === import.meta.filename) {
  await main(() =>
    build({ say: (text) => process.stderr.write(`build: ${text}\n`), force: process.argv.includes("--force") }),
  );
}
