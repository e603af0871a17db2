import { join } from "node:path";
import { connect } from "../src/index.js";
import { hasDebianImage, makeDebian } from "./debian.js";
import { copyMeasures } from "./copies.js";
import { libvirtMeasures } from "./libvirt.js";
import { netMeasures } from "./net.js";
import { call, monitorOf, must, pssOf, rssOf, run, type Side } from "./sides.js";
import type { Budget, Measured } from "./table.js";
import { type Bench, both, kill, type Measure, measured, none, ofLxc, start, time, type Turn } from "./timing.js";

function whileRunning(bench: Bench, container: string, body: () => Measured): Measured {
  for (const side of [bench.lxc, bench.islet]) must(call(side, "lxc-start", container, "-d"));
  try {
    return body();
  } finally {
    for (const side of [bench.lxc, bench.islet]) run(call(side, "lxc-stop", container, "-k"));
  }
}

/** Both sides' Debian guest, as a comparison of few runs. */
function ofDebian(name: string, turn: (side: Side, container: string, stamp: string) => Omit<Turn, "name">): Measure {
  return {
    name,
    unasked: hasDebianImage,
    make: async (bench) => {
      const container = `${bench.base}-debian`;
      const turns: Turn[] = [];
      for (const side of [bench.islet, bench.lxc]) {
        const rootfs = await makeDebian(side, container, join(bench.helpers, "stamp"), bench.memory);
        turns.push({ name: side.name, ...turn(side, container, join(rootfs, "islt-stamp")) });
      }
      return measured(name, "ms", ofLxc(1), time(bench, turns, Math.min(bench.runs, 15), 1, 1000));
    },
  };
}

/** As many starts one after another as `bench.many` says, of the containers BASE-KIND1 ... */
function inARow(name: string, what: string, kind: string, budget: Budget): Measure {
  return {
    name: `${name}${what}`,
    make: (bench) => {
      const forEach = (command: string): string[] => [
        "/bin/sh",
        "-c",
        `for i in $(seq ${bench.many}); do ${command} || exit 1; done`,
      ];
      const each = (side: Side, tool: string, word: string): string[] =>
        forEach(`${side.tool(tool)} -P ${side.store} -n ${bench.base}-${kind}$i ${word}`);
      const bare = (words: string): string[] => forEach(`${join(bench.helpers, "floor")} ${words}`);
      const rootfs = join(bench.islet.store, bench.base, "rootfs");
      // One process a start that makes the bare calls: what is left to a manager is the difference.
      const floor: readonly Turn[] =
        kind === ""
          ? []
          : [
              {
                name: "floor",
                timed: bare(`-s ${bench.base}-floor$i ${rootfs} /islt-init`),
                after: bare(`-k ${bench.base}-floor$i`),
              },
            ];
      const turns = [
        ...both(bench, (side) => ({
          timed: each(side, "lxc-start", "-d"),
          after: each(side, "lxc-stop", "-k"),
        })),
        ...floor,
      ];
      const label = `${bench.many} starts in a row${what}`;
      return measured(label, "ms", budget, time(bench, turns, Math.min(bench.runs, 5), 1));
    },
  };
}

export const measures: readonly Measure[] = [
  {
    name: "lxc-start -d",
    make: (bench) =>
      measured(
        "lxc-start -d",
        "ms",
        ofLxc(0.5),
        time(
          bench,
          both(bench, (side) => ({ timed: start(side, bench.base), after: kill(side, bench.base) })),
        ),
      ),
  },
  {
    name: "start to init's exec",
    make: (bench) => {
      const name = `${bench.base}-stamp`;
      const rootfs = (side: Side): string => join(side.store, bench.base, "rootfs");
      const stamp = (side: Side): string => join(rootfs(side), "islt-stamp");
      const floor: Turn = {
        name: "floor",
        timed: [join(bench.helpers, "floor"), `${bench.base}-floor`, rootfs(bench.islet), "/islt-init"],
        stamp: stamp(bench.islet),
      };
      const turns = both(bench, (side) => ({ timed: start(side, name), after: kill(side, name), stamp: stamp(side) }));
      return measured(
        "start to init's exec",
        "ms",
        { kind: "ratio", to: "floor", limit: 2.5 },
        time(bench, [...turns, floor]),
      );
    },
  },
  {
    name: "lxc-attach -- /bin/true",
    make: (bench) =>
      whileRunning(bench, bench.base, () =>
        measured(
          "lxc-attach -- /bin/true",
          "ms",
          ofLxc(0.45),
          time(
            bench,
            both(bench, (side) => ({ timed: call(side, "lxc-attach", bench.base, "--", "/bin/true") })),
          ),
        ),
      ),
  },
  {
    name: "lxc-info",
    make: (bench) =>
      whileRunning(bench, bench.base, () =>
        measured(
          "lxc-info",
          "ms",
          ofLxc(0.45),
          time(
            bench,
            both(bench, (side) => ({ timed: call(side, "lxc-info", bench.base) })),
          ),
        ),
      ),
  },
  {
    name: "lxc-info -s -H",
    make: (bench) =>
      whileRunning(bench, bench.base, () =>
        measured(
          "lxc-info -s -H",
          "ms",
          none,
          time(
            bench,
            both(bench, (side) => ({ timed: call(side, "lxc-info", bench.base, "-s", "-H") })),
          ),
        ),
      ),
  },
  {
    name: "lxc-execute -- /bin/true",
    make: (bench) =>
      measured(
        "lxc-execute -- /bin/true",
        "ms",
        ofLxc(0.5),
        time(
          bench,
          both(bench, (side) => ({ timed: call(side, "lxc-execute", bench.base, "--", "/bin/true") })),
        ),
      ),
  },
  {
    name: "lxc-stop -k",
    make: (bench) =>
      measured(
        "lxc-stop -k",
        "ms",
        ofLxc(0.7),
        time(
          bench,
          both(bench, (side) => ({ before: start(side, bench.base), timed: kill(side, bench.base) })),
        ),
      ),
  },
  {
    name: "lxc-freeze and lxc-unfreeze",
    make: (bench) =>
      whileRunning(bench, bench.base, () => {
        const commands = (side: Side): string =>
          `${call(side, "lxc-freeze", bench.base).join(" ")} && ${call(side, "lxc-unfreeze", bench.base).join(" ")}`;
        return measured(
          "lxc-freeze and lxc-unfreeze",
          "ms",
          ofLxc(0.6),
          time(
            bench,
            both(bench, (side) => ({ timed: ["/bin/sh", "-c", commands(side)] })),
          ),
        );
      }),
  },
  // The guest's own boot (busybox: a dozen processes) takes the processors from whoever starts the next one, and is the same on both sides.
  inARow("starts in a row", "", "idle-", ofLxc(0.5)),
  inARow("starts in a row", ", each guest booting", "", none),
  ofDebian("debian boot to multi-user.target", (side, name, stamp) => ({
    timed: start(side, name),
    after: kill(side, name),
    stamp,
  })),
  ofDebian("debian clean stop", (side, name, stamp) => ({
    before: [
      "/bin/sh",
      "-c",
      `rm -f ${stamp}; ${start(side, name).join(" ")} && while [ ! -s ${stamp} ]; do sleep 0.05; done`,
    ],
    timed: call(side, "lxc-stop", name),
    after: kill(side, name),
  })),
  {
    name: "library start",
    make: async (bench) => {
      await using islet = await connect({ store: bench.islet.store });
      const samples: number[] = [];
      for (let i = -bench.warmup; i < bench.runs; i += 1) {
        const stopped = await islet.get(`${bench.base}-stamp`);
        if (stopped.state !== "STOPPED") throw new Error(`${stopped.name} is ${stopped.state}`);
        const began = performance.now();
        const running = await stopped.start();
        if (i >= 0) samples.push(performance.now() - began);
        await running.stop({ kill: true });
      }
      return measured("library: start", "ms", none, { samples: new Map([["islet", samples]]), faults: [] });
    },
  },
  {
    name: "library exec",
    make: async (bench) => {
      await using islet = await connect({ store: bench.islet.store });
      const stopped = await islet.get(bench.base);
      if (stopped.state !== "STOPPED") throw new Error(`${stopped.name} is ${stopped.state}`);
      const running = await stopped.start();
      const samples: number[] = [];
      for (let i = -bench.warmup; i < bench.runs; i += 1) {
        const began = performance.now();
        await running.exec(["/bin/true"]);
        if (i >= 0) samples.push(performance.now() - began);
      }
      await running.stop({ kill: true });
      return measured("library: exec /bin/true", "ms", none, { samples: new Map([["islet", samples]]), faults: [] });
    },
  },
  {
    name: "lxc-create -t busybox",
    make: (bench) => {
      const name = `${bench.base}-new`;
      const conf = join(bench.lxc.store, "..", "bench.conf");
      const turns = both(bench, (side) => ({
        timed: [side.tool("lxc-create"), "-P", side.store, "-n", name, "-t", "busybox", "-f", conf],
        after: call(side, "lxc-destroy", name),
      }));
      return measured("lxc-create -t busybox", "ms", none, time(bench, turns, Math.min(bench.runs, 10), 1));
    },
  },
  {
    name: "first command, no daemon",
    make: async (bench) => {
      const samples: number[] = [];
      const faults: string[] = [];
      for (let i = 0; i < Math.min(bench.runs, 10); i += 1) {
        await bench.stopDaemons();
        const once = time(
          bench,
          [{ name: "islet", timed: [bench.islet.tool("lxc-ls"), "-P", bench.islet.store, "-1"] }],
          1,
          0,
        );
        samples.push(...(once.samples.get("islet") ?? []));
        faults.push(...once.faults);
      }
      return measured(
        "first command, no daemon",
        "ms",
        { kind: "absolute", limit: 400 },
        { samples: new Map([["islet", samples]]), faults },
      );
    },
  },
  // While nothing else of islet's runs that would share its monitors' pages.
  ...libvirtMeasures,
  {
    name: "lxc-ls -1",
    many: true,
    make: (bench) =>
      measured(
        "lxc-ls -1",
        "ms",
        none,
        time(
          bench,
          both(bench, (side) => ({ timed: [side.tool("lxc-ls"), "-P", side.store, "-1"] })),
        ),
      ),
  },
  {
    name: "lxc-ls -f",
    many: true,
    make: (bench) =>
      measured(
        `lxc-ls -f, ${bench.many} running`,
        "ms",
        ofLxc(0.1),
        time(
          bench,
          both(bench, (side) => ({ timed: [side.tool("lxc-ls"), "-P", side.store, "-f"] })),
          Math.min(bench.runs, 20),
          2,
        ),
      ),
  },
  {
    name: "monitor PSS",
    many: true,
    make: (bench) => {
      const samples = new Map<string, number[]>();
      for (const side of [bench.lxc, bench.islet]) {
        const names = Array.from({ length: bench.many }, (_, index) => `${bench.base}-${index + 1}`);
        samples.set(
          side.name,
          names.map((name) => pssOf(monitorOf(side, name))),
        );
      }
      return measured(`monitor PSS, ${bench.many} running`, "kB", ofLxc(0.35), { samples, faults: [] });
    },
  },
  {
    name: "daemon RSS",
    many: true,
    make: (bench) => {
      const pids = bench.daemons();
      const faults = pids.length === 0 ? ["islet: no daemon was found"] : [];
      return measured(
        `daemon RSS, ${bench.many} running`,
        "MB",
        { kind: "absolute", limit: 110 },
        { samples: new Map([["islet", pids.map(rssOf)]]), faults },
      );
    },
  },
  ...netMeasures,
  ...copyMeasures,
];
