import { readFileSync } from "node:fs";
import { IsletError } from "../../base/errors.js";
import type { VariableFile } from "./config/lxc-net.js";

/** Those that are there. @throws IsletError ISLET_IO */
export function readHostFiles(files: readonly string[]): readonly VariableFile[] {
  return files.flatMap((file) => {
    try {
      return [{ file, text: readFileSync(file, "utf8") }];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new IsletError("ISLET_IO", `cannot read ${file}`, { cause: error });
    }
  });
}
