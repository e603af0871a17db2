import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { command, type CommandResult } from "../support/command.js";
import { instance } from "../support/instance.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Every example of README and docs/library is compiled and run as it stands there, and prints what the page says. */

interface Example {
  readonly name: string;
  readonly code: string;
  /** null: the page does not say. */
  readonly output: string | null;
}

const pages = ["README.md", ...readdirSync(join(root, "docs/library")).map((name) => `docs/library/${name}`)];

function examplesOf(page: string): readonly Example[] {
  const blocks = [...readFileSync(join(root, page), "utf8").matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return blocks.flatMap(([, language, code = ""], index) => {
    if (language !== "ts") return [];
    const next = blocks[index + 1];
    const name = `${page.replace(/^docs\/|\.md$/g, "").replace("/", "-")}-${index}`.toLowerCase();
    return [{ name, code, output: next?.[1] === "text" ? (next[2] ?? "") : null }];
  });
}

/**
 * A mount namespace whose /var/lib/lxc is empty and nobody else's, since examples use the default store; and a network namespace, since the lock
 * of a container is its path in there.
 */
async function emptyStore(t: Cleaner): Promise<number> {
  mkdirSync("/var/lib/lxc", { recursive: true });
  const script = "mount -t tmpfs none /var/lib/lxc && exec sleep 86400";
  const holder = spawn("unshare", ["--mount", "--net", "--propagation", "private", "sh", "-c", script], {
    stdio: "ignore",
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  cleanup(t)(() => {
    holder.kill("SIGKILL");
  });
  await waitFor("a store of its own", () =>
    readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(" /var/lib/lxc rw"),
  );
  return pid;
}

test("the examples of the pages compile, run, and print what the pages say", async (t) => {
  const mntnsPid = await emptyStore(t);
  const own = await instance(t, { mntnsPid, netnsPid: mntnsPid });
  const directory = join(own.runtimeDir, "../examples");
  mkdirSync(join(directory, "node_modules/@types"), { recursive: true });
  symlinkSync(root, join(directory, "node_modules/islet"));
  symlinkSync(join(root, "node_modules/@types/node"), join(directory, "node_modules/@types/node"));
  const examples = pages.flatMap(examplesOf);
  assert.ok(examples.length >= 11);
  for (const { name, code } of examples) writeFileSync(join(directory, `${name}.ts`), code);
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }\n');
  const { compilerOptions } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")) as {
    readonly compilerOptions: Readonly<Record<string, unknown>>;
  };
  const options = {
    ...compilerOptions,
    rootDir: ".",
    outDir: "out",
    declaration: false,
    isolatedDeclarations: false,
    sourceMap: false,
  };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }));
  const compiled = await command([join(root, "node_modules/.bin/tsc"), "-p", directory], { timeout: 60_000 });
  assert.equal(compiled.status, 0, compiled.stdout);

  const env = { ISLET_RUNTIME_DIR: own.runtimeDir };
  for (const { name, code, output } of examples) {
    await t.test(name, async (example) => {
      if (code.includes("cpuset") && lacks(example, "cpuset")) return;
      const inside = [
        "nsenter",
        `--mount=/proc/${mntnsPid}/ns/mnt`,
        `--net=/proc/${mntnsPid}/ns/net`,
        process.execPath,
        join(directory, "out", `${name}.js`),
      ];
      const run: CommandResult = await command(inside, { env, timeout: 60_000 });
      assert.equal(run.status, 0, run.stderr);
      if (output === null) assert.equal(run.stderr, "");
      else assert.equal(run.stdout.trim(), output.trim());
    });
    // An example that fails leaves its container running.
    const left = await own.ok(["lxc-ls", "-P", "/var/lib/lxc", "-1", "--active"]);
    for (const box of left.split("\n").filter(Boolean))
      await own.ok(["lxc-stop", "-P", "/var/lib/lxc", "-n", box, "-k"]);
  }
});
