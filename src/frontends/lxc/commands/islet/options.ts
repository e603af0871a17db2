import type { OptionRow } from "../getopt.js";
import { commonOptions } from "../options.js";

/** Those of LXC's common options that islet's own commands have. */
const kept = ["help", "quiet", "lxcpath"];
export const ownOptions: readonly OptionRow[] = commonOptions.filter((row) => kept.includes(row.long));
export const helpOption: readonly OptionRow[] = commonOptions.filter((row) => row.long === "help");
