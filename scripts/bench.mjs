// Measures islet against Debian's lxc and Debian's libvirtd, side by side in one run, and against the bare system calls of the same start.
//
//   npm run bench -- [--runs N] [--only NAME]... [--containers N | --full] [--json FILE] [--strict]
//
//   --runs N        measured runs of each command (default 40)
//   --only NAME     only measurements whose name contains NAME; may be repeated
//   --containers N  how many run at once for lists and memory (default 10); --full: 50, as the budgets say
//   --json FILE     where the numbers go as JSON (default bench/results/TIME.json)
//   --strict        exit status 1 if a budget does not hold
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Failure, filesBelow, main, mtime, must, root } from "./lib/common.mjs";
import { daemonsOf, picture, stopDaemons, sweepDomains, sweepLxc } from "./lib/host.mjs";
import { libvirtd } from "./lib/libvirtd.mjs";
import { setup } from "./setup.mjs";

/** The C helpers, rebuilt when their source is newer. */
function buildHelpers(say) {
  const dir = join(root, "build/bench");
  mkdirSync(dir, { recursive: true });
  for (const source of filesBelow("bench", (path) => path.endsWith(".c"))) {
    const output = join(dir, source.replace(/^bench\//, "").replace(/\.c$/, ""));
    if (mtime(output) >= mtime(join(root, source))) continue;
    say(`cc ${source}`);
    must("cc", ["-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", output, join(root, source)]);
  }
}

const count = (text, name) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Failure(`--${name} wants a whole number from 1, not ${text}`);
  return value;
};

await main(async () => {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        runs: { type: "string", default: "40" },
        only: { type: "string", multiple: true, default: [] },
        containers: { type: "string", default: "10" },
        full: { type: "boolean", default: false },
        json: { type: "string" },
        strict: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new Failure(`${error.message}; see the head of scripts/bench.mjs`);
  }
  if (process.getuid() !== 0) throw new Failure("the benchmark starts containers: run it as root");
  const say = (text) => process.stderr.write(`bench: ${text}\n`);
  setup({ quiet: true, peers: true, more: ["iperf3"] });
  buildHelpers(say);
  const { bench } = await import(join(root, "dist/bench/main.js"));
  const result = await bench({
    root,
    runs: count(values.runs, "runs"),
    many: values.full ? 50 : count(values.containers, "containers"),
    only: values.only,
    say,
    sweeper: () => {
      const before = picture();
      return (what) => {
        sweepLxc(before, what);
        sweepDomains(before, what);
      };
    },
    libvirtd: () => libvirtd(say),
    daemonsOf,
    stopDaemons,
  });
  const file = resolve(
    values.json ?? join(root, `bench/results/${new Date().toISOString().replace(/[:.]/g, "-")}.json`),
  );
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result.json, null, 2)}\n`);
  console.log(
    `median (min p25-p75), ${values.runs} runs in turn; ratio of islet to what the budget names, else to the other manager\n`,
  );
  console.log(result.table);
  console.log(`\nnumbers: ${file}`);
  const verdicts = result.json.measured;
  if (verdicts.length === 0) throw new Failure("no measurement has such a name");
  if (verdicts.some(({ sides }) => sides.islet === null)) return 1;
  return values.strict && verdicts.some(({ holds }) => holds === false) ? 1 : 0;
});
