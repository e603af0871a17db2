// The names the static binary is called by: share/command-names.txt, one a line, # starts a comment.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./common.mjs";

export function commandNames() {
  return readFileSync(join(root, "share/command-names.txt"), "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
}

/** The templates that are built in: the table in src/frontends/lxc/templates/builtin.ts. */
export function templateNames() {
  const text = readFileSync(join(root, "src/frontends/lxc/templates/builtin.ts"), "utf8");
  return [...text.matchAll(/^ {2}"?([a-z][\w.-]*)"?: async \(\) =>/gm)].map(([, name]) => name);
}
