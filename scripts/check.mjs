// The checks that read the sources and run nothing: types, lint, format, import matrix, the interpreter's words, generated pages.
//
//   node scripts/check.mjs [NAME ...]
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkImports } from "./check-imports.mjs";
import { stalePages } from "./docs.mjs";
import { filesBelow, green, main, red, root, run, which, yellow } from "./lib/common.mjs";

const tool = (name) => join(root, "node_modules/.bin", name);
const output = ({ ok, stdout, stderr }) => (ok ? "" : `${stdout}${stderr}`.trim() || "failed without a word");

/** A formatter's exact output is a matter of its release: only this one is asked. */
const clangFormat = "clang-format-14";

/** Words of containers, which the interpreter must not know. */
const containerWords =
  /\b(containers?|rootfs|guests?|veth|macvlan|bridges?|lxc|lxd|libvirt|oci|cgroups?|devpts|sysfs|procfs|hooks?|seccomp|apparmor|selinux|hostname|idmaps?|pivot_root|busybox|nics?|consoles?|ttys?)\b/i;
const interpreterFiles = /^native\/interp[^/]*\.[ch]$/;

/** Name to a function that returns "" or what is wrong; { skip } where the machine lacks the tool. */
export const checks = {
  "types: tsc finds nothing": () => output(run(tool("tsc"), ["-p", ".", "--noEmit"])),
  "lint: oxlint, typed rules included, finds nothing": () =>
    output(run(tool("oxlint"), ["--type-aware", "--deny-warnings", "src", "test", "bench", "scripts"])),
  "format: prettier would change nothing": () => {
    const result = run(tool("prettier"), ["--list-different", "--cache", "."]);
    return result.ok ? "" : `not formatted (npm run format):\n${result.stdout}${result.stderr}`.trim();
  },
  "format: clang-format would change nothing": () => {
    if (which(clangFormat) === null) return { skip: `${clangFormat} is not installed` };
    const files = [...filesBelow("native"), ...filesBelow("bench")].filter((path) => /\.[ch]$/.test(path));
    const faults = files.filter(
      (path) =>
        !run(clangFormat, ["--dry-run", "-Werror", `--style=file:${join(root, "native/.clang-format")}`, path]).ok,
    );
    return faults.length === 0 ? "" : `not formatted (npm run format):\n${faults.join("\n")}`;
  },
  "imports: every layer of src/ sees only what it may": () => checkImports().join("\n"),
  "interpreter: no word of containers": () =>
    filesBelow("native", (path) => interpreterFiles.test(path))
      .flatMap((path) =>
        readFileSync(join(root, path), "utf8")
          .split("\n")
          .map((line, index) => ({ line, at: `${path}:${index + 1}` }))
          .filter(({ line }) => containerWords.test(line))
          .map(({ line, at }) => `${at}: ${line.trim()}`),
      )
      .join("\n"),
  "docs: every link between pages leads somewhere": () =>
    filesBelow(".", (path) => path.endsWith(".md") && !/^(node_modules|dist|build)\//.test(path))
      .flatMap((path) =>
        [...readFileSync(join(root, path), "utf8").matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)/g)]
          .filter(([, target]) => !existsSync(join(root, dirname(path), target)))
          .map(([, target]) => `${path}: ${target} does not exist`),
      )
      .join("\n"),
  "docs: groff has nothing to say about the man pages": () => {
    if (which("groff") === null) return { skip: "groff is not installed" };
    return filesBelow("share/man")
      .map((path) => ({ path, ...run("groff", ["-man", "-Tutf8", "-ww", "-z", "-Kutf8", join(root, path)]) }))
      .filter(({ ok, stderr }) => !ok || stderr !== "")
      .map(({ path, stderr }) => stderr.trim() || `${path}: groff failed`)
      .join("\n");
  },
  "docs: generated pages are up to date": async () =>
    existsSync(join(root, "dist/src/base/errors.js"))
      ? (await stalePages()).map((path) => `${path}: run node scripts/docs.mjs`).join("\n")
      : "there is no build to read the tables from; run: npm run build",
};

/** Runs the checks whose name starts with one of `only` (all if empty); calls `report` for each. */
export async function runChecks(report, only = []) {
  for (const [name, check] of Object.entries(checks)) {
    if (only.length > 0 && !only.some((each) => name.startsWith(each))) continue;
    const began = performance.now();
    const result = await check();
    const fault = typeof result === "string" ? result : "";
    const skip = typeof result === "string" ? null : result.skip;
    report({ name, fault, skip, ms: performance.now() - began });
  }
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    let failed = 0;
    await runChecks(({ name, fault, skip, ms }) => {
      const mark = fault !== "" ? red("✘") : skip ? yellow("-") : green("✔");
      console.log(`${mark} ${name} (${ms.toFixed(0)} ms)${skip ? `: ${skip}` : ""}`);
      if (fault !== "") {
        failed += 1;
        console.log(fault.replace(/^/gm, "    "));
      }
    }, process.argv.slice(2));
    return failed === 0 ? 0 : 1;
  });
}
