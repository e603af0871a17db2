/** Readers of single values: each answers the value, or a Problem that says in words what is wrong. */
import { parseSignal } from "../../../spec/signal.js";

/** Why a value cannot be taken: one line without the position. */
export class Problem {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

export type Read<T> = (value: string) => T | Problem;

/** As strtoul(3) with base 0: decimal, 0x hex, 0 octal, an optional plus; null for anything else. */
function strtoul(text: string): number | null {
  const digits = text.startsWith("+") ? text.slice(1) : text;
  if (/^0[xX][0-9a-fA-F]+$/.test(digits)) return Number.parseInt(digits.slice(2), 16);
  if (/^0[0-7]*$/.test(digits)) return Number.parseInt(digits, 8);
  return /^[1-9][0-9]*$/.test(digits) ? Number.parseInt(digits, 10) : null;
}

/** A whole number from 0 (or `low`) to `high`. */
export function unsigned(high: number = 0xffff_ffff, low = 0): Read<number> {
  return (value) => {
    const number = strtoul(value);
    if (number === null || number < low || number > high)
      return new Problem(`"${value}" is not a whole number from ${low} to ${high}`);
    return number;
  };
}

/** A signed 32-bit number. */
export const signed: Read<number> = (value) => {
  const negative = value.startsWith("-");
  const number = strtoul(negative ? value.slice(1) : value);
  if (number === null || number > 0x7fff_ffff) return new Problem(`"${value}" is not a whole number`);
  return negative && number !== 0 ? -number : number;
};

/** Exactly 0 or 1. */
export const flag: Read<boolean> = (value) => {
  const number = strtoul(value);
  return number === 0 || number === 1 ? number === 1 : new Problem(`"${value}" is neither 0 nor 1`);
};

export const anyText: Read<string> = (value) => value;

/** A signal that may be sent; 0 where the key gives that a meaning of its own. */
export const signal: Read<number> = (value) => {
  if (value === "0") return 0;
  return (
    parseSignal(value) ??
    new Problem(`"${value}" is not a signal: write a number, or a name with its prefix such as SIGPWR or SIGRTMIN+3`)
  );
};

const pageSize = 4096;

/**
 * Sizes of the console log and buffer: N, NB, NKB, NMB, NGB or auto (128 KiB). At least a page, rounded up to a power of two. A
 * single letter counts bytes, as in LXC (5K is 5 bytes).
 */
export const consoleSize: Read<number> = (value) => {
  if (value === "auto") return 128 * 1024;
  const match = /^([0-9]{1,15})\s*(kb|mb|gb|[a-z])?$/i.exec(value);
  if (match === null) return new Problem(`"${value}" is not a size: write auto, or a number with B, KB, MB or GB`);
  const power = { kb: 1, mb: 2, gb: 3 }[(match[2] ?? "").toLowerCase()] ?? 0;
  const bytes = Number(match[1]) * 1024 ** power;
  if (bytes > 2 ** 40) return new Problem(`"${value}" is too large`);
  return 2 ** Math.ceil(Math.log2(Math.max(bytes, pageSize)));
};

const timeUnits: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  ns: 1n,
};

/** A number with a unit (h m s ms us ns), perhaps negative: nanoseconds. */
export const timeOffset: Read<bigint> = (value) => {
  const match = /^([+-]?[0-9]{1,18})\s*(h|m|s|ms|us|ns)$/.exec(value);
  const unit = timeUnits[match?.[2] ?? ""];
  if (match?.[1] === undefined || unit === undefined)
    return new Problem(`"${value}" is not a time: write a number with h, m, s, ms, us or ns`);
  return BigInt(match[1]) * unit;
};

const logLevels = ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT", "ALERT", "FATAL"] as const;

/** 0 to 8 or a name: the name in capitals. */
export const logLevel: Read<string> = (value) => {
  const name = /^[0-8]$/.test(value)
    ? logLevels[Number(value)]
    : logLevels.find((level) => level === value.toUpperCase());
  return name ?? new Problem(`"${value}" is not a log level: ${logLevels.join(" ").toLowerCase()}, or 0 to 8`);
};

/** One of a few words. */
export function oneOf<T extends string>(what: string, words: readonly T[]): Read<T> {
  return (value) =>
    words.find((word) => word === value) ?? new Problem(`"${value}" is not ${what}: ${words.join(", ")}`);
}

/** A path of a cgroup below another: no leading slash, no `..`. */
export const relativePath: Read<string> = (value) => {
  if (value.startsWith("/")) return new Problem(`"${value}" begins with a slash: the path must be relative`);
  if (value.split("/").includes("..")) return new Problem(`"${value}" contains ".."`);
  return value;
};
