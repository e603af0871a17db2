// `npm run demo`: from a fresh clone to commands in a running container, and back to a clean machine.
//
// Everything happens in a temporary store and runtime directory: no other container, no service and no file of the machine is
// touched. Exit status 0 only if every step did what it should.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure, bold, dim, green, main, red, root, run } from "./lib/common.mjs";
import { stopDaemons } from "./lib/host.mjs";
import { setup } from "./setup.mjs";

const name = "islt-demo";
let number = 0;

/** The lines of a launch program by which one finds one's way in it. */
const landmarks =
  /^(monitor| *init):$| (clone3|sethostname|fsmount|pivot_root|capset|unshare|setsid)\(|mkdirat\(.*payload|execve\("\/(?!proc)/;

function step(text) {
  number += 1;
  console.log(`\n${bold(`${number}. ${text}`)}`);
}

const indent = (text, prefix = "   ") => text.trimEnd().replace(/^/gm, prefix);

/** Lines cut to the width of the terminal, or to 140 columns where there is none. */
const fitted = (lines) => {
  const width = (process.stdout.columns ?? 143) - 3;
  return lines.map((line) => (line.length > width ? `${line.slice(0, width - 3)}...` : line));
};

/**
 * Shows a command as typed, runs it, shows its output and how long it took. `expect` must show in the output, which must come with
 * `status`. With `only`, just the lines that match are shown.
 */
function typed(words, { expect, only, status = 0 } = {}) {
  const shown = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(" ");
  console.log(`   ${green("#")} ${shown}`);
  const began = performance.now();
  const result = run(join(root, "bin", words[0]), words.slice(1), { timeout: 60 });
  const ms = performance.now() - began;
  const output = `${result.stdout}${result.stderr}`.trimEnd();
  const all = output.split("\n");
  const shownLines = only === undefined ? all : all.filter((line) => only.test(line));
  if (output !== "") console.log(indent(fitted(shownLines).join("\n")));
  if (shownLines.length < all.length) console.log(dim(`   (${shownLines.length} of ${all.length} lines)`));
  console.log(dim(`   (${ms.toFixed(1)} ms)`));
  if (result.status !== status)
    throw new Failure(`   ${shown} ended with status ${result.status} instead of ${status}`);
  if (expect !== undefined && !expect.test(output)) throw new Failure(`   ${shown} did not print ${expect}`);
  return output;
}

const demo = async () => {
  const began = performance.now();
  step("Set-up: tools, modules, build (nothing to do if they are there)");
  if (process.getuid() !== 0) throw new Failure("   containers of root are made by root: please run the demo as root");
  const before = performance.now();
  setup({ quiet: false });
  console.log(dim(`   (${((performance.now() - before) / 1000).toFixed(1)} s)`));

  const dir = mkdtempSync(join(tmpdir(), "islt-demo-"));
  const store = join(dir, "lxc");
  process.env.ISLET_RUNTIME_DIR = join(dir, "run");
  mkdirSync(store);
  mkdirSync(process.env.ISLET_RUNTIME_DIR, { mode: 0o711 });
  const at = ["-P", store, "-n", name];
  const clean = async () => {
    run(join(root, "bin/lxc-stop"), [...at, "-k"], { timeout: 20 });
    await stopDaemons(process.env.ISLET_RUNTIME_DIR);
    rmSync(dir, { recursive: true, force: true });
  };
  const onSignal = () => {
    clean().then(
      () => process.exit(130),
      () => process.exit(131),
    );
  };
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);

  try {
    console.log(
      dim(
        `\n   The commands are those of ${root}/bin; containers are in ${store}, sockets in ${process.env.ISLET_RUNTIME_DIR}.`,
      ),
    );

    step("Create a container from the host's busybox, without a download (the first command also starts the daemon)");
    const conf = join(dir, "empty.conf");
    console.log(`   ${green("#")} echo 'lxc.net.0.type = empty' > ${conf}`);
    writeFileSync(conf, "lxc.net.0.type = empty\n");
    typed(["lxc-create", ...at, "-t", "busybox", "-f", conf]);
    typed(["lxc-ls", "-P", store, "-f"], { expect: /islt-demo +STOPPED/ });

    step("What a start will do: its launch program, system calls written down before any is made");
    typed(["islet", "plan", ...at], { only: landmarks, expect: /clone3.*CLONE_NEWPID/ });

    step("Start it");
    typed(["lxc-start", ...at, "-d"]);
    typed(["lxc-ls", "-P", store, "-f"], { expect: /islt-demo +RUNNING/ });
    typed(["lxc-info", ...at], { expect: /State: +RUNNING/ });

    step("Run commands in it: its own processes, host name, cgroups");
    typed(["lxc-attach", ...at, "--", "ps"], { expect: /\binit\b/ });
    typed(["lxc-attach", ...at, "--", "hostname"], { expect: new RegExp(`^${name}$`, "m") });
    typed(["lxc-attach", ...at, "--", "cat", "/proc/self/cgroup"], { expect: /:\// });
    typed(["lxc-attach", ...at, "--", "sh", "-c", "exit 7"], { status: 7 });
    console.log(indent("the exit status of a command is that of lxc-attach"));

    step("Stop it and remove it");
    typed(["lxc-stop", ...at]);
    typed(["lxc-info", ...at, "-s"], { expect: /STOPPED/ });
    typed(["lxc-destroy", ...at]);
    if (typed(["lxc-ls", "-P", store, "-1"]) !== "") throw new Failure("   a container is still there");
  } finally {
    await clean();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
  console.log(
    `\n${green("Done")} in ${((performance.now() - began) / 1000).toFixed(1)} s; nothing is left behind. Next: README.md, docs/tutorial/first-container.md`,
  );
};

await main(demo);
if (process.exitCode !== 0) console.error(red("\nThe demo failed at the step above."));
