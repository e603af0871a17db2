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
