import { readFileSync } from "node:fs";

/** CLOCK_BOOTTIME, milliseconds, as /proc/uptime shows it (10 ms steps). */
export function bootTime(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ", 1)[0]) * 1000;
}
