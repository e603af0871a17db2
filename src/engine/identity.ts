import type { TextFiles } from "./text-files.js";

/** Names that a copy has in files of its root file system. */

/** A text as a regular expression that matches just that. */
export const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** One word of a file of lines, wherever it stands alone or begins a domain name: `web` of `web.lan` too. */
export function replaceName(text: string, from: string, to: string): string {
  if (from === "" || from === to) return text;
  const name = new RegExp(`(?<=[ \\t])${literal(from)}(?=[.\\s]|$)`, "g");
  return text
    .split("\n")
    .map((line) => {
      const hash = line.indexOf("#");
      const names = hash < 0 ? line : line.slice(0, hash);
      return names.replace(name, () => to) + line.slice(names.length);
    })
    .join("\n");
}

/** Where `giveName` writes. */
export const namePaths: readonly string[] = ["etc/hostname", "etc/hosts"];

/**
 * The copy calls itself `name`: in etc/hostname, where there is one, and in etc/hosts, where the original's name (the one it had in etc/hostname,
 * else `before`) stands beside an address.
 */
export function giveName(files: TextFiles, name: string, before: string): void {
  let old = before;
  files.change("etc/hostname", (text) => {
    const own = text.split("\n", 1)[0]?.trim() ?? "";
    if (/^[\w.-]+$/.test(own)) old = own;
    return `${name}\n`;
  });
  if (old !== "localhost") files.change("etc/hosts", (text) => replaceName(text, old, name));
}
