import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { literal } from "./identity.js";
import type { TextFiles } from "./text-files.js";

/**
 * LXC's own clone hook, clonehostname, which its common configurations of most distributions name: done here instead of by a shell and seds of the host's
 * root, which would follow links that the guest has made to files of the host. Only the very script of LXC (1.0 to 6.0) is taken for it; one that its
 * administrator has changed is run.
 */

/** Of the script's lines, without comments and empty ones: SHA-256. */
const known = "950991851a9191f28daea1fec0367882847ae6d51cc04e6681ead00a2ae6302b";
const mostBytes = 8192;

/** `command`: of a hook, as the configuration has it. */
export function isHostnameHook(command: string): boolean {
  if (!/^\/[^\s'"\\$`;&|<>()*?[\]]+$/.test(command)) return false;
  try {
    const { size } = statSync(command);
    if (size > mostBytes) return false;
    return digestOf(readFileSync(command, "utf8")) === known;
  } catch {
    return false;
  }
}

const digestOf = (script: string): string =>
  createHash("sha256")
    .update(
      script
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "" && !line.startsWith("#"))
        .join("\n"),
    )
    .digest("hex");

/** Of distributions like Fedora. */
export const sysconfig = "etc/sysconfig";
const scripts = `${sysconfig}/network-scripts`;

/**
 * In each line the first place where the original's name stands by itself or in a domain name. The script's sed finds it within words, too, and makes
 * `localcopy` of localhost where a container is called `host`.
 */
export function runHostnameHook(files: TextFiles, from: string, to: string): void {
  const whole = new RegExp(`(?<![\\w-])${literal(from)}(?![\\w-])`);
  const edit = (text: string): string =>
    text
      .split("\n")
      .map((line) => line.replace(whole, () => to))
      .join("\n");
  const interfaces = files
    .names(scripts)
    .filter((name) => name.startsWith("ifcfg-"))
    .map((name) => `${scripts}/${name}`);
  for (const path of ["etc/hosts", `${sysconfig}/network`, ...interfaces]) files.change(path, edit);
}
