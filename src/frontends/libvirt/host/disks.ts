/** The host's devices behind the disks of running domains. */
import { realpathSync } from "node:fs";
import { hostFile } from "../spec/host-file.js";
import type { Disk } from "../xml/domain.js";
import type { HostFiles } from "./files.js";
import { loopsOver } from "./loops.js";

/**
 * Numbers (`8:16`). Of an image that several domains read they are those of all its loop devices, of which each domain uses its own. None: it is gone from
 * the host.
 */
export function diskNumbers({ type, source }: Pick<Disk, "type" | "source">, files: HostFiles): readonly string[] {
  if (type === "file") return loopsOver(files, realPath(source));
  const found = hostFile(source);
  return found?.kind === "b" ? [`${found.major}:${found.minor}`] : [];
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
