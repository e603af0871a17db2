import { readFileSync } from "node:fs";

function entries(): readonly (readonly string[])[] {
  try {
    return readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}

/** The host's name of a user (passwd(5)), or null. */
export function userName(uid: number): string | null {
  return entries().find((fields) => fields[2] === String(uid))?.[0] ?? null;
}

/** A user of the host by name or number; null: there is none. */
export function findUser(text: string): number | null {
  const key = /^\d+$/.test(text) ? 2 : 0;
  const found = text === "" ? undefined : entries().find((fields) => fields[key] === text)?.[2];
  return found !== undefined && /^\d{1,10}$/.test(found) ? Number(found) : null;
}
