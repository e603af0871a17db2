// `npm run soak -- [--minutes 5] [--containers 20] [--seed N] [--shared]`: the daemon is killed (SIGKILL) at random moments while workers start, stop,
// enter, freeze, list and ask containers and sit at their consoles. Nothing may be lost: a container runs until somebody stops it, every command either does what it
// should or says that the daemon went away, and the next one works. Exit status 0 only if that held and the machine is as it was.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Failure, main, must, root } from "./lib/common.mjs";
import { differences, picture, stopDaemons } from "./lib/host.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    containers: { type: "string", default: "20" },
    // Others use the machine meanwhile: only what is ours counts as left behind.
    shared: { type: "boolean", default: false },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

/** What the client says when the daemon dies under it. */
const wentAway = /the islet daemon went away|cannot start the islet daemon|\[daemon killed\]/;

/** A small generator (mulberry32), so that a seed gives the same run as far as time allows. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const soak = async () => {
  if (process.getuid() !== 0) throw new Failure("containers of root are made by root: please run this as root");
  const count = Number(values.containers);
  const random = generator(Number(values.seed));
  const pick = (list) => list[Math.floor(random() * list.length)];
  console.log(`soak: ${count} containers, ${values.minutes} minutes, seed ${values.seed}`);
  const before = picture();
  const dir = mkdtempSync(join(tmpdir(), "islt-soak-"));
  const store = join(dir, "lxc");
  const runtime = join(dir, "run");
  mkdirSync(store);
  mkdirSync(runtime, { mode: 0o711 });
  process.env.ISLET_RUNTIME_DIR = runtime;

  const problems = [];
  const tally = new Map();
  const add = (what) => tally.set(what, (tally.get(what) ?? 0) + 1);
  const problem = (text) => {
    problems.push(text);
    console.error(`soak: ${text}`);
  };

  const at = (name) => ["-P", store, "-n", name];
  /** Runs a command of islet's; a command that does not end within 30 s is killed and is a problem. */
  const call = (words) =>
    new Promise((resolve) => {
      const child = spawn(join(root, "bin", words[0]), words.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (data) => (stdout += data));
      child.stderr.on("data", (data) => (stderr += data));
      const timer = setTimeout(() => {
        problem(`${words.join(" ")}: no end after 30 s`);
        child.kill("SIGKILL");
      }, 30_000);
      child.on("close", (status) => {
        clearTimeout(timer);
        const lost = status !== 0 && wentAway.test(stderr);
        add(lost ? `${words[0]}, daemon killed under it` : words[0]);
        resolve({ status, stdout, stderr, lost });
      });
    });
  /** A user at a tty: types until the guest answers, leaves with the escape keys. The daemon's death is no reason for the session to end. */
  const sit = (container, tty) =>
    new Promise((resolve) => {
      const what = `lxc-console -t ${tty}`;
      const child = spawn(join(root, "bin/lxc-console"), [...at(container.name), "-t", String(tty)], {
        stdio: ["pipe", "pipe", "pipe"],
      });
      const wanted = tty === 0 ? /^answer 42\r?$/m : /login: /;
      let [stdout, stderr, isDone] = ["", "", false];
      child.stderr.on("data", (data) => (stderr += data));
      child.stdin.on("error", () => {});
      child.stdout.on("data", (data) => {
        stdout += data;
        if (isDone || !wanted.test(stdout)) return;
        isDone = true;
        child.stdin.write("\x01q");
      });
      // The shell is asked for with Enter (askfirst); what is typed before anybody reads may be lost.
      const type = () => {
        if (!isDone) child.stdin.write(tty === 0 ? "\necho answer $((40 + 2))\n" : "\n");
      };
      const typing = setInterval(type, 500);
      type();
      const timer = setTimeout(() => {
        problem(`${what} ${container.name}: no answer after 30 s: ${JSON.stringify(stdout.slice(-200))}${stderr}`);
        child.kill("SIGKILL");
      }, 30_000);
      child.on("close", (status) => {
        clearInterval(typing);
        clearTimeout(timer);
        const lost = !isDone && wentAway.test(stderr);
        add(lost ? `${what}, daemon killed under it` : what);
        resolve({ status, stdout, stderr, lost, isDone });
      });
    });
  /** The same, again and again until the daemon lives long enough to answer. */
  const answer = async (words) => {
    for (let round = 0; round < 50; round += 1) {
      const result = await call(words);
      if (!result.lost) return result;
    }
    problem(`${words.join(" ")}: the daemon went away fifty times`);
    return { status: -1, stdout: "", stderr: "", lost: true };
  };

  const containers = [];
  try {
    for (let index = 0; index < count; index += 1) {
      const name = `islt-soak${index}`;
      must(join(root, "bin/lxc-create"), [...at(name), "-t", "busybox"]);
      const config = join(store, name, "config");
      const kept = readFileSync(config, "utf8")
        .split("\n")
        .filter((line) => !line.startsWith("lxc.net"));
      writeFileSync(config, `${kept.join("\n")}\nlxc.net.0.type = empty\n`);
      containers.push({ name, pid: null, isFrozen: false });
    }

    const end = performance.now() + Number(values.minutes) * 60_000;
    const isOver = () => performance.now() > end || problems.length > 20;

    /** What the container is, when a command about it was lost; a start that goes on without us is waited for. */
    const find = async (container) => {
      for (let round = 0; round < 200; round += 1) {
        const { stdout } = await answer(["lxc-info", ...at(container.name), "-sH"]);
        const state = stdout.trim();
        if (state === "RUNNING" || state === "STOPPED" || state === "FROZEN") {
          container.pid = state === "STOPPED" ? null : await pidOf(container);
          container.isFrozen = state === "FROZEN";
          return;
        }
        await sleep(20);
      }
      problem(`${container.name} is neither RUNNING nor STOPPED for seconds`);
    };
    const pidOf = async (container) =>
      Number((await answer(["lxc-info", ...at(container.name), "-pH"])).stdout.trim()) || null;

    const actions = {
      start: async (container) => {
        const result = await call(["lxc-start", ...at(container.name)]);
        if (result.lost) return find(container);
        if (result.status !== 0) problem(`lxc-start ${container.name}: ${result.status}: ${result.stderr}`);
        container.pid = await pidOf(container);
        if (container.pid === null) problem(`${container.name} has no pid after its start`);
      },
      stop: async (container) => {
        const result = await call(["lxc-stop", ...at(container.name), "-k"]);
        if (result.lost) return find(container);
        if (result.status !== 0) problem(`lxc-stop ${container.name}: ${result.status}: ${result.stderr}`);
        container.pid = null;
        container.isFrozen = false;
      },
      freeze: async (container) => {
        const verb = container.isFrozen ? "lxc-unfreeze" : "lxc-freeze";
        const result = await call([verb, ...at(container.name)]);
        if (result.lost) return find(container);
        if (result.status !== 0) problem(`${verb} ${container.name}: ${result.status}: ${result.stderr}`);
        else container.isFrozen = !container.isFrozen;
      },
      console: async (container) => {
        const tty = pick([0, 1]);
        for (let round = 0; round < 20; round += 1) {
          const { status, stdout, stderr, lost, isDone } = await sit(container, tty);
          if (lost) continue;
          if (status !== 0 || !isDone)
            problem(`lxc-console -t ${tty} ${container.name}: ${status}: ${stdout.slice(-200)}${stderr}`);
          return;
        }
        problem(`lxc-console ${container.name}: the daemon went away twenty times`);
      },
      attach: async (container) => {
        const result = await call(["lxc-attach", ...at(container.name), "--", "/bin/echo", "hello"]);
        // The command may have run before its client lost the daemon.
        if (!result.lost && (result.status !== 0 || result.stdout !== "hello\n"))
          problem(`lxc-attach ${container.name}: ${result.status}: ${result.stdout}${result.stderr}`);
      },
      check: async (container) => {
        const state = (await answer(["lxc-info", ...at(container.name), "-sH"])).stdout.trim();
        const wanted = container.pid === null ? "STOPPED" : container.isFrozen ? "FROZEN" : "RUNNING";
        if (state !== wanted) problem(`${container.name} is ${state}, not ${wanted}`);
        else if (container.pid !== null && (await pidOf(container)) !== container.pid)
          problem(`${container.name} has another init than before`);
      },
      list: async () => {
        const result = await call(["lxc-ls", "-P", store, "-1"]);
        if (result.lost) return;
        const names = result.stdout.trim().split("\n").length;
        if (result.status !== 0 || names !== count) problem(`lxc-ls shows ${names} of ${count} containers`);
      },
    };

    const worker = async (mine) => {
      while (!isOver()) {
        const container = pick(mine);
        const choice =
          container.pid === null
            ? ["start", "start", "check", "list"]
            : container.isFrozen
              ? ["stop", "freeze", "freeze", "check", "check", "list"]
              : ["stop", "freeze", "attach", "attach", "console", "console", "check", "check", "list"];
        await actions[pick(choice)](container);
      }
    };
    const killer = async () => {
      while (!isOver()) {
        await sleep(100 + random() * 1500);
        try {
          const pid = Number(readFileSync(join(runtime, "daemon.pid"), "utf8"));
          // The file of one that is just starting is empty; 0 would be ourselves.
          if (!(pid > 1)) continue;
          process.kill(pid, "SIGKILL");
          add("daemons killed");
        } catch {
          // Between two daemons.
        }
      }
    };
    const workers = 4;
    await Promise.all([
      ...Array.from({ length: workers }, (_, index) =>
        worker(containers.filter((__, place) => place % workers === index)),
      ),
      killer(),
    ]);
    for (const container of containers) await actions.check(container);
  } finally {
    for (const { name } of containers) await call(["lxc-stop", ...at(name), "-k"]);
    await stopDaemons(runtime);
    rmSync(dir, { recursive: true, force: true });
  }
  const left = differences(before, picture(), { marks: ["islt-soak"], shared: values.shared });
  for (const line of left) problem(`left behind: ${line}`);
  for (const [what, times] of [...tally].toSorted((a, b) => (a[0] < b[0] ? -1 : 1)))
    console.log(`${String(times).padStart(8)}  ${what}`);
  console.log(problems.length === 0 ? "soak: nothing was lost" : `soak: ${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
};

await main(soak);
