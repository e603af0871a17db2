import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { controller, type LibvirtPlace, makeLibvirtPlace, type PlaceSide } from "./libvirt-place.js";
import { must, run } from "./sides.js";
import type { Measured } from "./table.js";
import { type Bench, type Measure, measured, none, ofLibvirt, time, type Timed, type Turn } from "./timing.js";

/**
 * islet's domains against those of Debian's libvirtd, with Debian's virsh for both. Of each command virsh itself (its libraries, its connection) takes a large
 * part and is the same for both: the floor says how long `virsh --version` takes as often, which makes no connection, and a line of its own how
 * long the calls take over a connection that is open already. Budgets are for the whole commands.
 */
const virsh = "/usr/bin/virsh";
const python = "/usr/bin/python3";
const client = join(import.meta.dirname, "../../bench/libvirt-calls.py");

/** Seconds for what is not measured. */
const patience = 60;
/** Milliseconds before each call: as before each command. */
const gap = 30;

/** Its init ends at SIGTERM: for the end of another one libvirt would wait for two seconds. */
function documentOf(bench: Bench, side: PlaceSide, name: string): string {
  const store = side === "islet" ? bench.islet.store : bench.lxc.store;
  const emulator = side === "islet" ? "" : `<emulator>${controller}</emulator>`;
  return `<domain type='lxc'><name>${name}</name><memory unit='MiB'>256</memory>
<os><type>exe</type><init>/islt-init</init></os><features><privnet/></features>
<devices>${emulator}<filesystem type='mount'><source dir='${join(store, bench.base, "rootfs")}'/><target dir='/'/></filesystem>
<console type='pty'/></devices></domain>
`;
}

/** Lines of libvirt-calls.py about one thing, in a unit of so many of its own. */
export function readCalls(output: string, what: string, unit: number): Timed {
  const samples = new Map<string, number[]>();
  const faults: string[] = [];
  for (const line of output.split("\n")) {
    const [word = "", side = "", value = ""] = line.split(" ");
    if (word === "fault") faults.push(`${side}: ${line.slice(`${word} ${side} `.length)}`);
    else if (word === what) samples.set(side, [...(samples.get(side) ?? []), Number(value) / unit]);
  }
  return { samples, faults };
}

/** The domains of both sides, in a place that lasts for one measurement. NAME in a command is the first one. */
interface Domains {
  /** Those commands of virsh one after another, of each side and then virsh alone, in turn. */
  readonly commands: (...commands: readonly (readonly string[])[]) => Timed;
  /** What libvirt-calls.py says. */
  readonly calls: (what: string) => string;
}

function domainsIn(bench: Bench, { within, uris }: LibvirtPlace, name: string): Domains {
  const shell = (commands: readonly (readonly string[])[]): readonly string[] => {
    const [first = [], ...more] = commands;
    return more.length === 0 ? first : ["/bin/sh", "-c", commands.map((words) => words.join(" ")).join(" && ")];
  };
  return {
    commands: (...commands) => {
      const turns = [...uris].map(([side, uri]): Turn => {
        const of = (words: readonly string[]): readonly string[] =>
          words.map((word) => (word === "NAME" ? name : word));
        return { name: side, timed: shell(commands.map((words) => [virsh, "-c", uri, ...of(words)])) };
      });
      const floor: Turn = { name: "floor", timed: shell(commands.map(() => [virsh, "--version"])) };
      return time(bench, [...turns, floor], bench.runs, bench.warmup, gap, within);
    },
    calls: (what) => {
      const options = ["-r", bench.runs, "-w", bench.warmup, "-g", gap, "-d", name].map(String);
      const sides = [...uris].map(([side, uri]) => `${side}=${uri}`);
      const argv = [...within, python, client, what, ...options, ...sides];
      const { status, stdout, stderr } = run(argv, patience + (bench.runs + bench.warmup) * sides.length * 5);
      const last = stderr.trim().split("\n").at(-1) ?? "";
      return status === 0 ? stdout : `${stdout}fault client status ${status} ${last}\n`;
    },
  };
}

async function withDomains(
  bench: Bench,
  { count, started }: { readonly count: number; readonly started: boolean },
  body: (domains: Domains) => readonly Measured[],
): Promise<readonly Measured[]> {
  const place = await makeLibvirtPlace(bench);
  const name = (i: number): string => `${bench.base}-dom-${i}`;
  try {
    const documents = join(bench.memory, "domains");
    mkdirSync(documents, { recursive: true });
    for (const [side, uri] of place.uris) {
      for (let i = 1; i <= count; i += 1) {
        const file = join(documents, `${side}-${i}.xml`);
        writeFileSync(file, documentOf(bench, side, name(i)));
        const asks = [`define ${file}`, ...(started ? [`start ${name(i)}`] : [])];
        must([...place.within, virsh, "-c", uri, asks.join("; ")], patience);
      }
    }
    return body(domainsIn(bench, place, name(1))).map((each, index) =>
      // Once is enough.
      index === 0 ? { ...each, faults: [...place.faults, ...each.faults] } : each,
    );
  } finally {
    place.end();
  }
}

export const libvirtMeasures: readonly Measure[] = [
  {
    name: "libvirt: virsh start and destroy",
    make: (bench) =>
      withDomains(bench, { count: 1, started: false }, ({ commands, calls }) => {
        const whole = commands(["start", "NAME"], ["destroy", "NAME"]);
        const said = calls("cycle");
        return [
          measured("virsh start, virsh destroy: whole commands", "ms", ofLibvirt(0.4), whole),
          measured("virsh start, virsh destroy: their calls alone", "ms", none, readCalls(said, "cycle", 1e6)),
          measured("virsh start: its call alone", "ms", none, readCalls(said, "start", 1e6)),
        ];
      }),
  },
  {
    name: "libvirt: virsh list and memory",
    make: (bench) =>
      withDomains(bench, { count: bench.many, started: true }, ({ commands, calls }) => [
        measured(`virsh list, ${bench.many} running: whole command`, "ms", ofLibvirt(0.6), commands(["list"])),
        measured(
          `virsh list, ${bench.many} running: its calls alone`,
          "us",
          none,
          readCalls(calls("list"), "list", 1e3),
        ),
        measured(
          `controller PSS, ${bench.many} running`,
          "kB",
          ofLibvirt(0.1),
          readCalls(calls("memory"), "memory", 1),
        ),
      ]),
  },
  {
    name: "libvirt: virsh lxc-enter-namespace",
    make: (bench) =>
      withDomains(bench, { count: 1, started: true }, ({ commands, calls }) => [
        measured(
          "virsh lxc-enter-namespace -- true: whole command",
          "ms",
          ofLibvirt(0.8),
          commands(["lxc-enter-namespace", "NAME", "--", "/bin/true"]),
        ),
        measured(
          "virsh lxc-enter-namespace -- true: its calls alone",
          "us",
          none,
          readCalls(calls("enter"), "enter", 1e3),
        ),
      ]),
  },
];
