/**
 * Option parsing as getopt_long(3) does it, from one table per command. The same table renders --help, --usage and the
 * reference pages (help.ts), so what is documented is what is accepted.
 */

/** One option. Rows stand in the order in which LXC's own table has them. */
export interface OptionRow {
  /** Also the key by which a command asks for the option. */
  readonly long: string;
  /** One-letter forms, without the dash. */
  readonly short: readonly string[];
  /** The argument's name in help texts; null: a flag. */
  readonly argument: string | null;
  /** The argument may be left out; it must then be glued: -eCAP, --nesting=2. */
  readonly optional?: boolean;
  /** The values that there are, for completion. */
  readonly words?: readonly string[];
  readonly help: string;
  /** Heading it stands under in --help. */
  readonly group: string;
}

/**
 * What operands are. `command`: options end where the container's command begins, which is the first operand after the
 * name (with -n: the first operand). `any`: options may stand anywhere (GNU permutation).
 */
export type OperandStyle = "any" | "command";

export interface CommandTable {
  /** lxc-start */
  readonly tool: string;
  /** After "Usage: TOOL ". */
  readonly synopsis: string;
  readonly description: string;
  readonly options: readonly OptionRow[];
  readonly operands: OperandStyle;
  /** The command works on one named container; otherwise it takes no name. */
  readonly named: boolean;
  /** Which containers it makes sense for, as completion offers them; all without. `new`: the name must be free. */
  readonly containers?: "running" | "frozen" | "stopped" | "new";
  /** -P may be given several times. */
  readonly manyPaths?: boolean;
  /** Further paragraphs of the reference page. */
  readonly notes?: readonly string[];
}

export interface ParsedOptions {
  /** The last value of an option; "" for a flag or an optional argument left out; null: not given. */
  readonly value: (long: string) => string | null;
  readonly has: (long: string) => boolean;
  /** All values, in order. */
  readonly values: (long: string) => readonly string[];
  /** In order of appearance, each with its value ("" for flags). */
  readonly given: readonly (readonly [long: string, value: string])[];
  readonly operands: readonly string[];
}

/** `problem`: getopt's own sentence, without the program's name. */
export type ParseResult =
  { readonly kind: "parsed"; readonly options: ParsedOptions } | { readonly kind: "problem"; readonly text: string };

const quoted = (text: string): string => `'${text}'`;

function findLong(
  rows: readonly OptionRow[],
  name: string,
): { readonly row: OptionRow } | { readonly problem: string } {
  const exact = rows.find((row) => row.long === name);
  if (exact !== undefined) return { row: exact };
  // An option may stand twice (LXC lists --rcfile so); that alone is no ambiguity.
  const candidates = rows.filter(
    (row, index) => row.long.startsWith(name) && rows.findIndex((other) => other.long === row.long) === index,
  );
  const first = candidates[0];
  if (first === undefined) return { problem: `unrecognized option ${quoted(`--${name}`)}` };
  if (candidates.length > 1) {
    const list = candidates.map((row) => quoted(`--${row.long}`)).join(" ");
    return { problem: `option ${quoted(`--${name}`)} is ambiguous; possibilities: ${list}` };
  }
  return { row: first };
}

/** argv without the program's name. `posixlyCorrect`: options end at the first operand. */
export function parseOptions(
  table: Pick<CommandTable, "options" | "operands" | "named">,
  argv: readonly string[],
  posixlyCorrect: () => boolean = () => false,
): ParseResult {
  const given: (readonly [string, string])[] = [];
  const operands: string[] = [];
  const problem = (text: string): ParseResult => ({ kind: "problem", text });
  const commandStarted = (): boolean => {
    if (table.operands !== "command") return false;
    return operands.length > (table.named && !given.some(([long]) => long === "name") ? 1 : 0);
  };

  let index = 0;
  while (index < argv.length) {
    const word = argv[index] ?? "";
    index += 1;
    if (word === "--") break;
    if (word === "-" || !word.startsWith("-")) {
      operands.push(word);
      if (posixlyCorrect() || commandStarted()) break;
      continue;
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const name = word.slice(2, equals < 0 ? undefined : equals);
      const found = findLong(table.options, name);
      if ("problem" in found) return problem(found.problem);
      const { row } = found;
      let value = equals < 0 ? null : word.slice(equals + 1);
      if (row.argument === null && value !== null)
        return problem(`option ${quoted(`--${row.long}`)} doesn't allow an argument`);
      if (row.argument !== null && row.optional !== true && value === null) {
        value = argv[index] ?? null;
        index += 1;
        if (value === null) return problem(`option ${quoted(`--${row.long}`)} requires an argument`);
      }
      given.push([row.long, value ?? ""]);
    } else {
      for (let at = 1; at < word.length; at += 1) {
        const letter = word.charAt(at);
        const row = table.options.find((candidate) => candidate.short.includes(letter));
        if (row === undefined) return problem(`invalid option -- ${quoted(letter)}`);
        if (row.argument === null) {
          given.push([row.long, ""]);
          continue;
        }
        const glued = word.slice(at + 1);
        if (glued !== "" || row.optional === true) {
          given.push([row.long, glued]);
          break;
        }
        const next = argv[index];
        index += 1;
        if (next === undefined) return problem(`option requires an argument -- ${quoted(letter)}`);
        given.push([row.long, next]);
        break;
      }
    }
    // -n after an operand: that operand was not the name but the command's first word.
    if (operands.length > 0 && commandStarted()) break;
  }
  operands.push(...argv.slice(index));

  return {
    kind: "parsed",
    options: {
      given,
      operands,
      has: (long) => given.some(([name]) => name === long),
      value: (long) => given.findLast(([name]) => name === long)?.[1] ?? null,
      values: (long) => given.filter(([name]) => name === long).map(([, value]) => value),
    },
  };
}
