import { IsletError } from "../../../base/errors.js";
import { type OptionRow, type ParsedOptions, parseOptions } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import type { TemplateCall } from "./builtin.js";

/** What lxc-create gives every template. */
const callerOptions: readonly OptionRow[] = [
  option("help", "", { short: "h" }),
  option("path", "", { short: "p", argument: "PATH" }),
  option("name", "", { short: "n", argument: "NAME" }),
  option("rootfs", "", { argument: "PATH" }),
  option("mapped-uid", "", { argument: "MAP" }),
  option("mapped-gid", "", { argument: "MAP" }),
];

/**
 * The options of a template, with those that every one has. null: the help has been printed. ISLET_BAD_REQUEST, with the usage written to
 * `complainTo`, as the template's script does it.
 */
export function callOptions(
  template: string,
  options: readonly OptionRow[],
  usage: string,
  { argv, host }: Pick<TemplateCall, "argv" | "host">,
  complainTo: 1 | 2,
): ParsedOptions | null {
  const parsed = parseOptions({ options: [...options, ...callerOptions], operands: "any", named: false }, argv);
  if (parsed.kind === "problem") {
    host.write(complainTo, usage);
    throw new IsletError("ISLET_BAD_REQUEST", `lxc-${template}: ${parsed.text}`);
  }
  if (!parsed.options.has("help")) return parsed.options;
  host.write(1, usage);
  return null;
}
