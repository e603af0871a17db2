// Holds the import matrix: who may see whom in src/. Fails with file:line for every import that goes the wrong way.
//
//   node scripts/check-imports.mjs
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { filesBelow, main, root } from "./lib/common.mjs";

/**
 * The layers, lowest first. `sees`: the layers (beside itself) a file may import; a value with a slash is one file.
 * `pure`: no module of Node and no clock, random numbers or environment. CONTRIBUTING.md explains; change both.
 */
export const layers = {
  base: { sees: [], pure: true },
  sys: { sees: ["base"], pure: true },
  program: { sees: ["base", "sys"], pure: true },
  spec: { sees: ["base", "sys"], pure: true },
  plan: { sees: ["base", "sys", "program", "spec"], pure: true },
  host: { sees: ["base", "sys", "program", "spec"] },
  storage: { sees: ["base", "sys", "program", "spec", "plan", "host", "runtime/helper"] },
  network: { sees: ["base", "sys", "program", "spec", "host"] },
  image: { sees: ["base", "sys", "program", "spec", "host", "storage"] },
  runtime: { sees: ["base", "sys", "program", "spec", "plan", "host"] },
  engine: { sees: ["base", "sys", "program", "spec", "plan", "host", "storage", "network", "image", "runtime"] },
  frontends: { sees: ["base", "spec", "engine/engine", "engine/library"] },
  client: { sees: ["base", "sys", "spec", "host", "engine/engine", "engine/library"] },
  daemon: { sees: ["base", "spec", "engine/engine", "engine/library", "host"] },
};
/** The files that wire everything: the daemon, the daemon in a program of its user, and the library's face, which re-exports. */
const wirers = ["src/daemon/main.ts", "src/client/in-process.ts", "src/index.ts"];

/** What a pure layer may not touch, beside Node's modules. */
const impure =
  /(?<![.\w])(process\.(?:env|cwd|argv|pid|ppid|platform|arch|version|hrtime|uptime|getuid|getgid|umask|exit|std\w+|nextTick|memoryUsage)\b|Date\.now\b|new Date\b|Math\.random\b|performance\.now\b|setTimeout\b|setInterval\b|setImmediate\b|crypto\.|fetch\()/;

/** Comments replaced by blanks, lines kept. */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<![:"'`\\])\/\/.*/g, (match) => match.replace(/[^\n]/g, " "));
}

/** Every `from "x"`, `import "x"` and `import("x")` with its line. */
function importsOf(text) {
  const found = [];
  for (const match of text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\n]+)\1/g)) {
    found.push({ target: match[2], line: text.slice(0, match.index).split("\n").length });
  }
  return found;
}

const layerOf = (path) => path.split("/")[1];

/** What is wrong with one file; [] if nothing. */
export function faultsOf(path, source) {
  if (wirers.includes(path)) return [];
  const layer = layerOf(path);
  const rule = layers[layer];
  if (rule === undefined)
    return [`${path}:1: no layer is called ${layer}; the table in scripts/check-imports.mjs has them all`];
  const faults = [];
  const text = withoutComments(source);
  for (const { target, line } of importsOf(text)) {
    const at = `${path}:${line}`;
    if (!target.startsWith(".")) {
      if (rule.pure) faults.push(`${at}: ${layer} is pure and may not import ${target}`);
      continue;
    }
    const resolved = posix.normalize(posix.join(posix.dirname(path), target));
    const to = layerOf(resolved);
    if (to === layer) {
      const [mine, its] = [path, resolved].map((each) => each.split("/")[2]);
      if (layer === "frontends" && mine !== its) faults.push(`${at}: front ends may not import each other (${target})`);
      continue;
    }
    const file = resolved.replace(/^src\//, "").replace(/\.js$/, "");
    if (!rule.sees.includes(to) && !rule.sees.includes(file)) {
      faults.push(`${at}: ${layer} may not import ${file}; it sees ${rule.sees.join(", ") || "nothing but itself"}`);
    }
  }
  if (rule.pure) {
    text.split("\n").forEach((content, index) => {
      const match = impure.exec(content.replace(/(["'`])(?:\\.|(?!\1).)*\1/g, '""'));
      if (match) faults.push(`${path}:${index + 1}: ${layer} is pure and may not use ${match[1]}`);
    });
  }
  return faults;
}

export function checkImports() {
  return filesBelow("src", (path) => path.endsWith(".ts")).flatMap((path) =>
    faultsOf(path, readFileSync(join(root, path), "utf8")),
  );
}

if (process.argv[1] === import.meta.filename) {
  await main(() => {
    const faults = checkImports();
    for (const fault of faults) console.log(fault);
    return faults.length === 0 ? 0 : 1;
  });
}
