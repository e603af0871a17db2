import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { call, must, run, type Side } from "./sides.js";
import { type Bench, both, kill, type Measure, measured, ofLxc, start, time, type Timed } from "./timing.js";

/**
 * Starts of containers with a veth pair on a bridge, and what passes between two of them. All of it, islet's daemon and LXC too, is in a
 * network namespace of the measurement's own, with a sysfs that shows it (LXC looks for bridges there).
 */
interface Place {
  /** What a command in there begins with. */
  readonly within: readonly string[];
  readonly end: () => Promise<void>;
}

const bridge = "islt-bench";
/** Seconds for a command. */
const patience = 60;

/** The cgroups stay where they were below the new /sys. */
const setUp = `set -e
mkdir -p "$1"
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
umount -l "$1"
ip link set lo up
ip link add ${bridge} type bridge
ip addr add 10.11.0.1/24 dev ${bridge}
ip link set ${bridge} up
: > "$2"
exec sleep 86400`;

async function makePlace(bench: Bench): Promise<Place> {
  const runtimeDir = join(bench.memory, "net");
  mkdirSync(runtimeDir, { recursive: true, mode: 0o711 });
  const [cgroups, ready] = [join(runtimeDir, "cgroups"), join(runtimeDir, "ready")];
  const script = ["sh", "-c", setUp, "sh", cgroups, ready];
  const holder = spawn("unshare", ["--net", "--mount", "--propagation", "private", ...script], { stdio: "inherit" });
  const release = bench.guard(() => holder.kill("SIGKILL"));
  const end = async (): Promise<void> => {
    await bench.stopDaemonsOf(runtimeDir);
    release();
    rmSync(runtimeDir, { recursive: true, force: true });
  };
  for (let waited = 0; !existsSync(ready); waited += 20) {
    if (waited > 5000 || holder.exitCode !== null) {
      await end();
      throw new Error("cannot make a network namespace with a bridge");
    }
    await sleep(20);
  }
  const [net, mnt] = ["net", "mnt"].map((kind) => `/proc/${holder.pid}/ns/${kind}`);
  const within = ["nsenter", `--net=${net}`, `--mount=${mnt}`, "--", "env", `ISLET_RUNTIME_DIR=${runtimeDir}`];
  return { within, end };
}

/** BASE-net-1 ... on both sides, each with an address of its own and an init that does nothing. */
function makeContainers(bench: Bench, count: number): void {
  for (const [which, side] of [bench.islet, bench.lxc].entries()) {
    const config = readFileSync(join(side.store, bench.base, "config"), "utf8");
    for (let i = 1; i <= count; i += 1) {
      const name = `${bench.base}-net-${i}`;
      const lines = [
        "lxc.net.0.type = veth",
        `lxc.net.0.link = ${bridge}`,
        "lxc.net.0.flags = up",
        `lxc.net.0.ipv4.address = ${addressOf(which, i)}/24`,
        "lxc.init.cmd = /islt-init",
      ];
      mkdirSync(join(side.store, name), { recursive: true });
      const text = config.replaceAll(`"${bench.base}"`, `"${name}"`).replace(/^lxc\.net\.0\.type = empty$/m, "");
      writeFileSync(join(side.store, name, "config"), `${text}\n${lines.join("\n")}\n`);
    }
  }
}

const addressOf = (side: number, container: number): string => `10.11.0.${10 + side * 100 + container}`;

async function inPlace(bench: Bench, count: number, body: (place: Place) => Timed | Promise<Timed>): Promise<Timed> {
  const place = await makePlace(bench);
  const killAll = bench.guard(() => {
    for (const side of [bench.islet, bench.lxc]) {
      for (let i = 1; i <= count; i += 1) run([...place.within, ...kill(side, `${bench.base}-net-${i}`)]);
    }
  });
  try {
    makeContainers(bench, count);
    return await body(place);
  } finally {
    killAll();
    await place.end();
  }
}

/** What `once` measures between two containers of each side, in turn. `once` gets what a command in the first and second begins with. */
function between(
  bench: Bench,
  once: (first: readonly string[], second: readonly string[], address: string) => Promise<number>,
): Promise<Timed> {
  return inPlace(bench, 2, async ({ within }) => {
    const inside = (side: Side, i: number): readonly string[] => {
      must([...within, ...start(side, `${bench.base}-net-${i}`)], patience);
      const pid = must([...within, ...call(side, "lxc-info", `${bench.base}-net-${i}`, "-pH")]).trim();
      return ["nsenter", `--net=/proc/${pid}/ns/net`, "--"];
    };
    const pairs = [bench.islet, bench.lxc].map((side, which) => ({
      name: side.name,
      first: inside(side, 1),
      second: inside(side, 2),
      address: addressOf(which, 1),
    }));
    const samples = new Map<string, number[]>();
    for (let i = -1; i < bench.runs; i += 1) {
      // Who comes second finds the machine warmer.
      for (const { name, first, second, address } of i % 2 === 0 ? pairs : pairs.toReversed()) {
        const value = await once(first, second, address);
        if (i >= 0) samples.set(name, [...(samples.get(name) ?? []), value]);
      }
    }
    return { samples, faults: [] };
  });
}

/** Runs one command for as long as the other takes, which is tried again until the first one listens. */
async function against(bench: Bench, server: readonly string[], client: readonly string[]): Promise<string> {
  const [program = "", ...words] = server;
  const serving = spawn(program, words, { stdio: "ignore" });
  const end = bench.guard(() => serving.kill("SIGKILL"));
  try {
    for (let tries = 0; ; tries += 1) {
      const { status, stdout, stderr } = run(client, patience);
      if (status === 0) return stdout;
      if (tries === 50) throw new Error(`${client.join(" ")}: status ${status}\n${stdout}${stderr}`);
      await sleep(20);
    }
  } finally {
    end();
  }
}

interface Iperf {
  readonly end: { readonly sum_received?: { readonly bytes: number; readonly seconds: number } };
  readonly error?: string;
}

const port = "5201";
const gigabyte = 1e9;
const roundTrips = 20_000;

/** Seconds between an end and the next start. */
const rest = 0.1;

/** Of the 254 addresses that there are. */
const most = 100;

export const netMeasures: readonly Measure[] = [
  {
    name: "net: lxc-start -d",
    make: async (bench) => {
      const name = `${bench.base}-net-1`;
      const timed = await inPlace(bench, 1, ({ within }) => {
        const turns = both(bench, (side) => ({
          timed: start(side, name),
          // The kernel takes the last one's interfaces away for some time after it has ended, and makes nobody's meanwhile.
          after: ["/bin/sh", "-c", `${kill(side, name).join(" ")} && sleep ${rest}`],
        }));
        return time(bench, turns, bench.runs, bench.warmup, undefined, within);
      });
      return measured("net: lxc-start -d, veth on a bridge", "ms", ofLxc(0.5), timed);
    },
  },
  {
    name: "net: starts in a row",
    make: async (bench) => {
      const count = Math.min(bench.many, most);
      const timed = await inPlace(bench, count, ({ within }) => {
        const all = (side: Side, tool: string, word: string): string[] => {
          const command = `${side.tool(tool)} -P ${side.store} -n ${bench.base}-net-$i ${word}`;
          return ["/bin/sh", "-c", `for i in $(seq ${count}); do ${command} || exit 1; done`];
        };
        const turns = both(bench, (side) => ({
          timed: all(side, "lxc-start", "-d"),
          after: all(side, "lxc-stop", "-k"),
        }));
        return time(bench, turns, Math.min(bench.runs, 5), 1, undefined, within);
      });
      return measured(`net: ${count} starts in a row`, "ms", ofLxc(0.5), timed);
    },
  },
  {
    name: "net: a gigabyte over TCP",
    make: async (bench) => {
      const timed = await between(bench, async (first, second, address) => {
        const client = [...second, "iperf3", "-c", address, "-p", port, "-n", String(gigabyte), "-J"];
        for (let tries = 0; ; tries += 1) {
          const said = await against(bench, [...first, "iperf3", "-s", "-1", "-p", port], client);
          const { end, error } = JSON.parse(said) as Iperf;
          if (end.sum_received !== undefined) {
            const { bytes, seconds } = end.sum_received;
            return (seconds * 1000 * gigabyte) / bytes;
          }
          // It calls a connection that was refused, or broke off, a success.
          if (tries === 5) throw new Error(`iperf3: ${error ?? said}`);
        }
      });
      return measured("net: a gigabyte over TCP, guest to guest", "ms", ofLxc(1.03), timed);
    },
  },
  {
    name: "net: round trip",
    make: async (bench) => {
      const program = join(bench.helpers, "round-trip");
      const timed = await between(bench, async (first, second, address) => {
        const client = [...second, program, "ask", address, port, String(roundTrips)];
        return Number(await against(bench, [...first, program, "serve", address, port], client)) / 1000;
      });
      return measured("net: round trip, guest to guest", "us", ofLxc(1.03), timed);
    },
  },
];
