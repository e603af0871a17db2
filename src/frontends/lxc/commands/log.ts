import { appendFileSync } from "node:fs";

/** LXC's priorities (lxc(7), Common Options); a command logs what is at least as grave as the one asked for. */
const priorities = ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT", "ALERT", "FATAL"] as const;
export type Priority = (typeof priorities)[number];

/** A name in any case, or a number 0-8; null: neither. */
export function parsePriority(text: string): Priority | null {
  const named = priorities.find((priority) => priority === text.toUpperCase());
  if (named !== undefined) return named;
  return /^[0-8]$/.test(text) ? (priorities[Number(text)] ?? null) : null;
}

const isAtLeast = (priority: Priority, least: Priority): boolean =>
  priorities.indexOf(priority) >= priorities.indexOf(least);

/** YYYYMMDDhhmmss.mmm, UTC as LXC has it. */
export function logTime(now: Date): string {
  const digits = now.toISOString().replaceAll(/[-:TZ]/g, "");
  return digits.slice(0, 18);
}

/** One line of a log file in LXC's format: TOOL NAME TIME LEVEL SUBSYSTEM - FILE:FUNCTION:LINE - MESSAGE. */
export function logLine(tool: string, name: string, time: string, priority: Priority, message: string): string {
  const subsystem = tool.replace(/^lxc-/, "lxc_");
  return `${tool} ${name === "" ? "" : `${name} `}${time} ${priority.padEnd(8)} ${subsystem.padEnd(8)} - ${subsystem}:main:0 - ${message}\n`;
}

export interface Log {
  write(priority: Priority, message: string): void;
}

export const noLog: Log = { write: () => undefined };

/** Appends to `file` as messages come; a file that cannot be written is told once to `complain` and left alone from then on. */
export function fileLog(
  file: string,
  least: Priority,
  tool: string,
  name: string,
  complain: (text: string) => void,
): Log {
  let usable = true;
  return {
    write(priority, message) {
      if (!usable || !isAtLeast(priority, least)) return;
      try {
        appendFileSync(file, logLine(tool, name, logTime(new Date()), priority, message), { mode: 0o640 });
      } catch (error) {
        usable = false;
        complain(`cannot write the log file ${file}: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
  };
}
