import { readFileSync } from "node:fs";
import type { CommandSession } from "../../../engine/engine.js";
import { bar, cutSpans, harmless, type Look, lookOf, plain, render, type Spans, shortTime } from "./look.js";

/**
 * What is waited for, in one line of the terminal: drawn when something takes longer than a second, a few times a second, and gone when it
 * is over or something else is to be written. Who is no terminal, or asked for quiet, sees nothing of it.
 */

export interface Waiting {
  readonly what: string;
  /** How much is done, 0 to 1. */
  readonly share?: number;
  /** Milliseconds until something happens, and what that is: "killed". */
  readonly limit?: { readonly milliseconds: number; readonly what: string } | null;
}

/** The clock; tests have their own. */
export interface Ticker {
  /** Milliseconds. */
  readonly now: () => number;
  /** Calls again and again, until the function it gives back is called. */
  readonly every: (milliseconds: number, tick: () => void) => () => void;
}

export interface Progress {
  /** Shows `about` as long as `work` takes. */
  during<T>(about: Waiting | (() => Waiting), work: Promise<T>): Promise<T>;
  /** Takes the line away. `forGood`: what is written now leaves the cursor within a line. */
  hide(forGood: boolean): void;
}

const patience = 1000;
const interval = 200;
const barWidth = 12;
const spinners = { unicode: Array.from("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"), ascii: Array.from("|/-\\") } as const;

/** The line, without what clears it. `elapsed`: milliseconds. */
export function progressSpans(about: Waiting, elapsed: number, look: Look): Spans {
  const frames = look.unicode ? spinners.unicode : spinners.ascii;
  const { limit } = about;
  const share = about.share ?? (limit === undefined || limit === null ? null : elapsed / limit.milliseconds);
  const left = limit === undefined || limit === null ? null : Math.max(0, limit.milliseconds - elapsed);
  const spans: Spans = [
    { text: `${frames[Math.floor(elapsed / interval) % frames.length] ?? ""} `, style: "cyan" },
    ...plain(harmless(about.what, look)),
    ...(share === null ? [] : [...plain(" "), ...bar(share, barWidth, look, "cyan")]),
    ...plain(` ${shortTime(elapsed / 1000)}`),
    ...(left === null ? [] : plain(`, ${limit?.what ?? ""} in ${shortTime(Math.ceil(left / 1000))}`)),
  ];
  // The last column stays free: some terminals go on to the next line there.
  return cutSpans(spans, Math.max(1, (look.columns ?? 80) - 1), look);
}

/** `write`: to the terminal. `mayDraw`: asked each time; who was sent to the background or stopped meanwhile leaves the terminal to others. */
export function createProgress(
  write: (text: string) => void,
  look: Look,
  ticker: Ticker,
  mayDraw: () => boolean,
): Progress {
  let isShown = false;
  let isOver = false;
  const hide = (forGood: boolean): void => {
    isOver ||= forGood;
    if (!isShown) return;
    isShown = false;
    if (mayDraw()) write("\r\u001b[K");
  };
  return {
    hide,
    async during(about, work) {
      const began = ticker.now();
      const stop = ticker.every(interval, () => {
        const elapsed = ticker.now() - began;
        if (isOver || elapsed < patience) return;
        isShown = mayDraw();
        if (!isShown) return;
        const line = progressSpans(typeof about === "function" ? about() : about, elapsed, look);
        write(`\r${render(line, look)}\u001b[K`);
      });
      try {
        return await work;
      } finally {
        stop();
        hide(false);
      }
    },
  };
}

const realTicker: Ticker = {
  now: () => performance.now(),
  every(milliseconds, tick) {
    const timer = setInterval(tick, milliseconds).unref();
    return () => {
      clearInterval(timer);
    };
  },
};

/** Shows nothing. */
const silent: Progress = {
  during: (_about, work) => work,
  hide: () => undefined,
};

/** Whether a process is in the foreground of its terminal: proc(5), stat, fields pgrp and tpgid. */
export function isForeground(stat: string): boolean {
  // The name, in brackets, may have anything in it.
  const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return group !== undefined && group === foreground;
}

function callerIsInFront(pid: number): boolean {
  try {
    return isForeground(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** For one command, and the session through which it must write so that the line is gone before anything else comes. */
export function withProgress(
  raw: CommandSession,
  isQuiet: boolean,
): { readonly progress: Progress; readonly session: CommandSession } {
  // Most commands end here: the environment is not even looked at.
  if (isQuiet || !raw.terminals[2]) return { progress: silent, session: raw };
  const { environment, pid } = raw.caller;
  if ((environment["TERM"] ?? "dumb") === "dumb") return { progress: silent, session: raw };
  const progress = createProgress(
    (text) => {
      raw.write(2, text);
    },
    lookOf(raw, 2),
    realTicker,
    () => callerIsInFront(pid),
  );
  const session: CommandSession = {
    ...raw,
    write(descriptor, text) {
      const last = typeof text === "string" ? text.at(-1) : String.fromCharCode(text.at(-1) ?? 10);
      progress.hide(last !== undefined && last !== "\n");
      raw.write(descriptor, text);
    },
    run(task) {
      progress.hide(true);
      return raw.run(task);
    },
    relay(descriptor, options) {
      progress.hide(true);
      return raw.relay(descriptor, options);
    },
    screen(on) {
      progress.hide(true);
      return raw.screen(on);
    },
  };
  return { progress, session };
}
