import { readFileSync } from "node:fs";
import { availableParallelism, hostname, loadavg, uptime } from "node:os";
import type { Command, Screen } from "../../../../engine/engine.js";
import { type Call, lxcCommand, unsignedOption, UsageError } from "../frame.js";
import type { CommandTable, ParsedOptions } from "../getopt.js";
import { type Look, lookOf, shortBytes } from "../look.js";
import { option } from "../options.js";
import { ownOptions } from "./options.js";
import {
  advance,
  type ContainerSample,
  emptyModel,
  firstView,
  keysOf,
  type Model,
  pressed,
  type Sample,
  visibleRows,
} from "./top-model.js";
import { type HostState, pageOf, paint, picture, plainTable } from "./top-screen.js";

export const commandTable: CommandTable = {
  tool: "islet-top",
  synopsis: "[-d SECONDS] [-b [-n COUNT]] [-P PATH]",
  description: "Shows what the running containers use, live.",
  options: [
    option("delay", "seconds between two looks (2)", { short: "d", argument: "SECONDS" }),
    option("batch", "print plain lines, for files and pipes", { short: "b" }),
    option("count", "with --batch: so many times (for ever)", { short: "n", argument: "COUNT" }),
    ...ownOptions,
  ],
  operands: "any",
  named: false,
  notes: [
    "CPU% is of one processor; 100 keeps one busy. HISTORY is its course, ten looks, the newest on the right. MEMORY is what the control group accounts, with a bar where there is a limit. READ and WRITE are those of disks, RECV and SENT of the interfaces that have an end on the host.",
    "Keys: `c` CPU, `m` memory, `i` disk I/O, `t` network traffic, `p` processes, `n` name and `s` state sort by that, the same once more turns the order round, as `r` does. Up, down, PgUp, PgDn, Home and End choose a row and scroll. `/` shows only names that contain what is typed, Esc all again. `?` shows the keys, `q` leaves.",
    "Without a terminal there is only `--batch`: for each look a line with time, load and memory of the host, then the table. `lxc-top -b` prints comma-separated counts instead, for programs.",
    "Exit status: 0; 1 without a terminal, or on failure.",
  ],
};

/** Milliseconds. */
const defaultDelay = 2000;
const leastDelay = 200;
const longestDelay = 2 ** 31 - 1;
/** Until the second look: the first has no rates. */
const firstDelay = 500;

function delayOf(options: ParsedOptions): number {
  const text = options.value("delay");
  if (text === null) return defaultDelay;
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(text)) throw new UsageError(`"${text}" is no number of seconds`);
  return Math.min(Math.max(Number(text) * 1000, leastDelay), longestDelay);
}

const sum = (values: readonly bigint[]): bigint | null =>
  values.length === 0 ? null : values.reduce((total, value) => total + value, 0n);

async function look(call: Call): Promise<Sample> {
  const { engine, id } = call;
  const active = (await engine.active(id.storePath)).filter(({ state }) => state !== "STOPPED");
  const containers = await Promise.all(
    active.map(async (status): Promise<ContainerSample> => {
      const [usage, links] = await Promise.all([engine.liveUsage(status, { activity: true }), engine.links(status)]);
      return {
        name: status.name,
        state: status.state,
        pid: status.initPid,
        usage,
        // What the host's end sends is what the container receives.
        rxBytes: sum(links.map((link) => link.txBytes)),
        txBytes: sum(links.map((link) => link.rxBytes)),
      };
    }),
  );
  return { at: performance.now(), containers };
}

async function hostState(call: Call): Promise<HostState> {
  const meminfo = readFileSync("/proc/meminfo", "latin1");
  const kilobytes = (name: string): bigint => BigInt(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(meminfo)?.[1] ?? "0");
  const total = kilobytes("MemTotal") * 1024n;
  return {
    name: hostname(),
    uptimeSeconds: uptime(),
    load: loadavg(),
    processors: availableParallelism(),
    memoryTotalBytes: total,
    memoryBytes: total - kilobytes("MemAvailable") * 1024n,
    containers: (await call.engine.defined(call.id.storePath)).length,
  };
}

/** Rejects when the client goes away. */
async function pause({ session }: Call, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([over, session.gone]).finally(() => {
    clearTimeout(timer);
  });
}

/** The time of the day, UTC. */
const clock = (date: Date): string => date.toISOString().slice(11, 19);

async function batch(call: Call, delay: number, count: number): Promise<number> {
  const { session } = call;
  const plainLook: Look = { ...lookOf(session, 1), columns: null, colours: false };
  let model = advance(emptyModel, await look(call));
  for (let done = 0; done < count; done += 1) {
    await pause(call, delay);
    model = advance(model, await look(call));
    const host = await hostState(call);
    const load = host.load.map((value) => value.toFixed(2)).join(" ");
    const head = `${clock(new Date())}  load ${load}  memory ${shortBytes(host.memoryBytes)}/${shortBytes(host.memoryTotalBytes)}`;
    const view = { ...firstView, order: { by: "n", reverse: false } } as const;
    const rows = visibleRows(model.rows, view);
    const table = rows.length === 0 ? ["nothing runs"] : plainTable(rows, plainLook);
    session.write(1, `${done === 0 ? "" : "\n"}${[head, ...table].join("\n")}\n`);
  }
  return 0;
}

/** Of a terminal that does not tell its height. */
const usualRows = 24;

async function live(call: Call, delay: number): Promise<number> {
  const { session } = call;
  let model: Model = emptyModel;
  let host = await hostState(call);
  let view = firstView;
  let from = 0;
  let appearance = lookOf(session, 1);
  let height = session.rows > 0 ? session.rows : usualRows;
  let timer: NodeJS.Timeout | null = null;
  let isOver = false;
  let status = 0;
  let failure: unknown = null;
  const quit = (code: number): void => {
    isOver = true;
    status = code;
    screen.close();
  };
  const draw = (): void => {
    // A terminal that is stopped (^S) or slow gets the next one.
    if (isOver || screen.busy) return;
    const next = picture(model.rows, host, view, height, from, appearance);
    from = next.from;
    screen.write(paint(next.lines));
  };
  const refresh = async (): Promise<void> => {
    const isFirst = model.last === null;
    [model, host] = [advance(model, await look(call)), await hostState(call)];
    if (isOver) return;
    timer = setTimeout(again, isFirst ? Math.min(firstDelay, delay) : delay).unref();
    draw();
  };
  const again = (): void => {
    refresh().catch((error: unknown) => {
      failure ??= error;
      quit(1);
    });
  };
  const decoder = new TextDecoder();
  const screen: Screen = session.screen({
    alternate: true,
    input: (bytes) => {
      for (const key of keysOf(decoder.decode(bytes, { stream: true }))) {
        const next = pressed(key, view, visibleRows(model.rows, view), pageOf(height));
        if (next === null) {
          quit(0);
          return;
        }
        view = next;
      }
      draw();
    },
    resize: (rows, columns) => {
      height = rows > 0 ? rows : usualRows;
      appearance = { ...appearance, columns: columns > 0 ? columns : appearance.columns };
      draw();
    },
    signal: (signal) => {
      quit(signal === 2 || signal === 3 ? 0 : 128 + signal);
    },
  });
  again();
  await Promise.race([screen.over, session.gone]).finally(() => {
    isOver = true;
    if (timer !== null) clearTimeout(timer);
    screen.close();
  });
  if (failure !== null) throw failure instanceof Error ? failure : new Error("islet top cannot go on");
  return status;
}

async function body(call: Call): Promise<number> {
  const { options, session } = call;
  const delay = delayOf(options);
  const count = unsignedOption(options, "count");
  if (options.has("batch")) return await batch(call, delay, count ?? Number.POSITIVE_INFINITY);
  if (count !== null) throw new UsageError("-n is for --batch only");
  if (!session.terminals[0] || !session.terminals[1]) {
    call.report.error("this is no terminal; islet top -b prints plain lines");
    return 1;
  }
  return await live(call, delay);
}

export const top: Command = lxcCommand(commandTable, body, { isOwn: true });
