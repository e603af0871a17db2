// Runs the tests: folder by folder, with a check that the host is left as it was. Ends with one line that adds all up.
//
//   npm test                          everything
//   npm test -- unit                  one folder
//   npm test -- unit/sys kernel/start narrower: all test files below test/ whose path begins so
//   npm test -- --verbose ...         every test by name, not only those that fail or are skipped
//   npm test -- --shared ...          others use this machine now: the host check looks at what carries this run's marks only
//
// ISLET_REQUIRE=feature,... turns the skips for want of these features into failures (see test/support/skip.ts); "all" means every one.
import { setMaxListeners } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { run as runTests } from "node:test";
import { inspect } from "node:util";
import { runChecks } from "./check.mjs";
import { Failure, bold, dim, filesBelow, green, main, red, root, run, yellow } from "./lib/common.mjs";
import { differences, end, picture, stopDaemons, sweepLxc } from "./lib/host.mjs";
import { setup } from "./setup.mjs";

/** In this order: what is quick and names its fault best comes first. `containers`: real ones, one file after another. */
const folders = {
  check: {},
  native: {},
  unit: { minutes: 3 },
  golden: { minutes: 3 },
  types: { minutes: 3 },
  kernel: { containers: true, minutes: 10 },
  conformance: { containers: true, minutes: 10 },
  peers: { containers: true, minutes: 15 },
  security: { containers: true, minutes: 10 },
};

// Longer waits on slow machines (test/support/patience.ts).
const patience = Math.max(1, Number(process.env.ISLET_TEST_PATIENCE ?? "1") || 1);

const counts = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const verbose = process.argv.includes("--verbose");

/** One result line, or none for what went well. */
function record({ title, ms, fault = "", skip = null }) {
  const time = dim(`(${ms.toFixed(0)} ms)`);
  if (fault !== "") {
    counts.failed += 1;
    failures.push(title);
    console.log(`  ${red("✘")} ${title} ${time}\n${fault.replace(/^/gm, "      ")}`);
  } else if (skip !== null) {
    counts.skipped += 1;
    console.log(`  ${yellow("-")} ${title}: ${yellow(`skipped: ${skip}`)}`);
  } else {
    counts.passed += 1;
    if (verbose) console.log(`  ${green("✔")} ${title} ${time}`);
  }
}

/** The error of a test in words: assertion messages with their difference, and the first own frames of the stack. */
function explain(error) {
  const cause = error?.cause ?? error;
  if (typeof cause === "string") {
    // A file that ended by itself, without a failing test to blame.
    return error.exitCode === undefined && !error.signal
      ? cause
      : `${cause}: the file's process ended with ${error.signal ?? `status ${error.exitCode}`}`;
  }
  if (!(cause instanceof Error) && typeof cause?.stack !== "string") return inspect(cause);
  const [, frames = ""] = /\n((?:\s+at [^\n]*\n?)+)$/.exec(cause.stack ?? "") ?? [];
  const own = frames
    .split("\n")
    .filter((line) => line.includes(root) || line.includes("/dist/"))
    .slice(0, 4);
  const also = cause.cause === undefined ? "" : `\ncause: ${inspect(cause.cause)}`;
  return `${cause.message}${also}\n${own.join("\n")}`.trimEnd();
}

/** Who wants the run to end (its time limit in .ci/run, Control-C) gets no more tests, and what those that were under way have left is cleared away. */
const interrupted = new AbortController();
// Every part of the run listens.
setMaxListeners(0, interrupted.signal);
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => interrupted.abort(new Failure(`ended by ${signal}`)));

/** Runs compiled test files through node:test; resolves when all have ended. */
async function runFiles(files, { containers = false, minutes }) {
  const said = new Map();
  const paths = new Map();
  const perFile = new Map();
  const stream = runTests({
    files,
    concurrency: containers ? 1 : true,
    timeout: minutes * 60_000 * patience,
    signal: interrupted.signal,
  });
  // node:test gives the compiled file for output and, thanks to source maps, the source file for results.
  const nameOf = (file) =>
    relative(join(root, "test"), (file ?? "").replace(`${root}/dist/`, `${root}/`)).replace(/\.test\.[jt]s$/, "");
  const finish = (data, fault) => {
    const { name, nesting, details } = data;
    const file = nameOf(data.file);
    const whole = nameOf(name) === file;
    const above = (paths.get(file) ?? []).slice(0, nesting);
    if (details?.type === "suite" && (fault === "" || /subtests? failed/.test(fault))) return;
    if (whole && fault === "") return;
    // The parent of failed subtests only repeats what they said.
    if (/^\d+ subtests? failed$/.test(fault.split("\n")[0])) return;
    const output =
      fault !== "" && said.has(file)
        ? `\n--- output of the file so far:\n${said.get(file).slice(-4000).trimEnd()}`
        : "";
    const title = whole ? file : [file, ...above, name].join(" › ");
    const skip =
      data.skip === undefined && data.todo === undefined
        ? null
        : String(data.skip === "" || data.skip === true ? "no reason given" : (data.skip ?? `to do: ${data.todo}`));
    record({ title, ms: details?.duration_ms ?? 0, fault: skip === null ? fault + output : "", skip });
    perFile.set(file, (perFile.get(file) ?? 0) + 1);
  };
  stream.on("test:start", ({ file: source, name, nesting }) => {
    const file = nameOf(source);
    const path = (paths.get(file) ?? []).slice(0, nesting);
    path[nesting] = name;
    paths.set(file, path);
  });
  stream.on("test:pass", (data) => finish(data, ""));
  stream.on("test:fail", (data) => finish(data, explain(data.details.error) || "failed"));
  const keep = ({ file, message }) => said.set(nameOf(file), (said.get(nameOf(file)) ?? "") + message);
  stream.on("test:stdout", keep);
  stream.on("test:stderr", keep);
  await new Promise((resolve, reject) => {
    stream.on("end", resolve);
    stream.on("error", reject);
    stream.resume();
  });
  for (const file of files) {
    if (!perFile.has(nameOf(file))) record({ title: nameOf(file), ms: 0, fault: "the file has no test in it" });
  }
}

async function runNative() {
  const began = performance.now();
  const result = run("make", ["-C", join(root, "native"), "--no-print-directory", "test", `NODE=${process.execPath}`]);
  record({
    title: "make -C native test",
    ms: performance.now() - began,
    fault: result.ok ? "" : `${result.stdout}${result.stderr}`.trim() || "failed",
  });
}

/** Compares the host with its picture from before; what the run left behind is ended, so that the next run starts clean. */
async function checkHost(before, runDir, shared) {
  const began = performance.now();
  await stopDaemons(join(runDir, "run"));
  const marks = [runDir, `${root}/build/`];
  let found = [];
  // A monitor that is just ending, a network namespace that the kernel is just taking down: a few seconds are theirs.
  for (let attempt = 0; attempt < 30; attempt += 1) {
    // Debian's lxc makes its monitors' last cgroup and leaves it; a monitor was in it when its test looked, perhaps.
    sweepLxc(before, { names: [], stores: [] });
    found = differences(before, picture(), { marks, shared });
    if (found.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const line of found) {
    const pid = /^processes: left behind: pid (\d+)/.exec(line)?.[1];
    if (pid !== undefined) end(Number(pid), "SIGKILL");
  }
  for (const name of readdirSync(runDir)) {
    const rest =
      name === "run"
        ? readdirSync(join(runDir, "run"), { recursive: true }).filter((each) => /^monitor\/./.test(each))
        : [name];
    for (const each of rest) found.push(`files: left behind: ${join(runDir, name === "run" ? "run" : "", each)}`);
  }
  record({
    title: "host: mounts, links, cgroups, /run, network namespaces and processes are as they were",
    ms: performance.now() - began,
    fault: found.join("\n"),
  });
}

await main(async () => {
  // Whoever read it may have gone (head(1)): the run goes on to its end all the same, or nobody would clean up.
  process.stdout.on("error", () => {});
  const wanted = process.argv
    .slice(2)
    .filter((each) => !each.startsWith("-"))
    .map((each) => each.replace(/^test\//, "").replace(/\.test\.ts$/, ""));
  const shared = process.argv.includes("--shared");
  const selected = (folder) => wanted.length === 0 || wanted.some((each) => each.split("/")[0] === folder);
  const filesOf = (folder) =>
    filesBelow(`test/${folder}`, (path) => path.endsWith(".test.ts"))
      .filter((path) => wanted.length === 0 || wanted.some((each) => path.slice(5).startsWith(each)))
      .map((path) => join(root, "dist", path.replace(/\.ts$/, ".js")));
  for (const each of wanted) {
    if (!Object.hasOwn(folders, each.split("/")[0]))
      throw new Failure(`no test folder is called ${each}; there are ${Object.keys(folders).join(", ")}`);
  }
  const began = performance.now();
  const containers = Object.keys(folders).filter(
    (folder) => folders[folder].containers && selected(folder) && filesOf(folder).length > 0,
  );
  const compares = (file) => /\/test\/(peers\/|kernel\/debian)[^/]*\.test\.js$/.test(file);
  if (Object.keys(folders).some((folder) => selected(folder) && filesOf(folder).some(compares)))
    setup({ quiet: true, peers: true, buildToo: false });
  if (containers.length > 0 && process.getuid() !== 0)
    throw new Failure(`the tests in ${containers.join(", ")} make containers: run them as root`);

  const runDir = mkdtempSync(join(tmpdir(), "islt-run-"));
  // Root of an id-mapped container looks for its place in it when a hook asks.
  chmodSync(runDir, 0o711);
  mkdirSync(join(runDir, "run"), { mode: 0o711 });
  process.env.ISLET_RUNTIME_DIR = join(runDir, "run");
  process.env.ISLET_TEST_DIR = runDir;
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ""} --enable-source-maps`.trim();
  const before = containers.length > 0 ? picture() : null;
  try {
    for (const [folder, how] of Object.entries(folders)) {
      if (!selected(folder) || interrupted.signal.aborted) continue;
      const start = { ...counts, at: performance.now() };
      console.log(bold(folder));
      if (folder === "check") await runChecks(({ name, fault, skip, ms }) => record({ title: name, ms, fault, skip }));
      else if (folder === "native") await runNative();
      else {
        const files = filesOf(folder);
        const unbuilt = files.filter((file) => !existsSync(file));
        if (unbuilt.length > 0) throw new Failure(`not built: ${unbuilt.join(" ")}; run: npm run build`);
        if (files.length > 0) await runFiles(files, how);
      }
      const seconds = ((performance.now() - start.at) / 1000).toFixed(1);
      console.log(
        dim(
          `  ${counts.passed - start.passed} passed, ${counts.failed - start.failed} failed, ${counts.skipped - start.skipped} skipped in ${seconds} s`,
        ),
      );
    }
    if (before !== null) {
      console.log(bold("host"));
      await checkHost(before, runDir, shared);
    }
  } finally {
    await stopDaemons(join(runDir, "run"));
    rmSync(runDir, { recursive: true, force: true });
  }
  if (interrupted.signal.aborted) record({ title: "the run", ms: 0, fault: interrupted.signal.reason.message });
  if (failures.length > 0) console.log(`\n${red("failed:")}\n${failures.map((each) => `  ${each}`).join("\n")}`);
  if (counts.passed + counts.failed + counts.skipped === 0) throw new Failure("no test was run");
  console.log(
    `\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped (${((performance.now() - began) / 1000).toFixed(0)} s)`,
  );
  return counts.failed === 0 ? 0 : 1;
});
