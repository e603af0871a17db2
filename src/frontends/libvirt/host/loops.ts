/** Loop devices, as sysfs tells of them. */
import { type HostFiles, numbered } from "./files.js";

/** Numbers (`7:3`) of the loop devices over a file. `path`: not a link. */
export function loopsOver(files: HostFiles, path: string): readonly string[] {
  return numbered(files, "/sys/block", "loop").flatMap((number) => {
    const directory = `/sys/block/loop${number}`;
    const file = files.read(`${directory}/loop/backing_file`);
    if (file?.replace(/\n$/, "") !== path) return [];
    return files.read(`${directory}/dev`)?.trim() ?? [];
  });
}
