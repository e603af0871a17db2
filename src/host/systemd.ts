import { createHash } from "node:crypto";
import { SIGNALS } from "../sys/signals.js";
import { cgroupMemberships } from "./probe.js";

/** The host's systemd, as far as it makes scopes (org.freedesktop.systemd1(5)): busctl(1) speaks D-Bus for us. */

/** A string as systemd-escape(1) writes it into the name of a unit. */
export function escapeUnit(text: string): string {
  return escapedBytes(text).join("");
}

function escapedBytes(text: string): readonly string[] {
  return [...new TextEncoder().encode(text)].map((byte, index) => {
    const char = String.fromCharCode(byte);
    if (char === "/") return "-";
    return /[A-Za-z0-9:_]/.test(char) || (char === "." && index > 0)
      ? char
      : `\\x${byte.toString(16).padStart(2, "0")}`;
  });
}

/** Bytes of an escaped container name that a unit's name (255 bytes) has room for, beside all that is around it. */
const longestEscaped = 220;

/** The unit of a container: `islet-NAME-HASH.scope`, another for each store. Of a very long name the beginning. */
export function scopeUnit(storePath: string, name: string): string {
  const hash = createHash("sha256").update(`${storePath}\0${name}`).digest("hex").slice(0, 8);
  let escaped = "";
  for (const one of escapedBytes(name)) {
    if (escaped.length + one.length > longestEscaped) break;
    escaped += one;
  }
  return `islet-${escaped}-${hash}.scope`;
}

/** Where systemd has containers and virtual machines. */
export const slice = "machine.slice";

/** It means nothing to anybody in a scope but the monitor. */
const stopSignal = SIGNALS.SIGURG;
/** infinity, as D-Bus has it. */
const noLimit = "18446744073709551615";

/** busctl's arguments that ask for a scope with that process in it. */
export function scopeRequest(unit: string, description: string, pid: number, seconds: number): readonly string[] {
  const properties: readonly (readonly string[])[] = [
    ["PIDs", "au", "1", String(pid)],
    ["Description", "s", description],
    ["Slice", "s", slice],
    ["Delegate", "b", "true"],
    ["CollectMode", "s", "inactive-or-failed"],
    // All in the scope get it, and then they have the time that systemd gives everybody: the monitor stops the guest in good order.
    ["KillSignal", "i", String(stopSignal)],
    // Limits are the configuration's.
    ["TasksMax", "t", noLimit],
    // At halt that service stops the containers, each in its turn.
    ["Before", "as", "1", "islet-autostart.service"],
  ];
  return [
    "--system",
    "--no-pager",
    `--timeout=${seconds}`,
    "call",
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
    "StartTransientUnit",
    "ssa(sv)a(sa(sv))",
    unit,
    "fail",
    String(properties.length),
    ...properties.flat(),
    "0",
  ];
}

/** Where a process is, by hierarchy, in those in which it is in the unit; null: in none. A path that leads out of what can be seen here is no use. */
export function scopeCgroups(membership: string, unit: string): Readonly<Record<string, string>> | null {
  const found: Record<string, string> = {};
  for (const [key, path] of cgroupMemberships(membership)) {
    const names = path.split("/");
    if (names.at(-1) === unit && !names.includes("..")) found[key] = path;
  }
  return Object.keys(found).length === 0 ? null : found;
}
