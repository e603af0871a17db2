import type { Command } from "../../../../engine/engine.js";
import { type Call, jsonText, lxcCommand, outputFormat } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { harmless, type Look, lookOf, render, type Style, widthOf } from "../look.js";
import { formatOption, option } from "../options.js";
import { examine } from "./doctor-examine.js";
import type { Finding, Level, Section } from "./doctor-facts.js";
import { readFacts } from "./doctor-read.js";
import { ownOptions } from "./options.js";

export const doctorTable: CommandTable = {
  tool: "islet-doctor",
  synopsis: "[--problems] [--format=text|json] [-P PATH]",
  description: "Tells what this host lacks, what does not work without it, and what helps.",
  options: [option("problems", "only what is not in order"), formatOption, ...ownOptions],
  operands: "any",
  named: false,
  notes: [
    "It looks at the kernel, its control groups and security modules, the privileges of the daemon, the programs that are called, islet's own directories and sockets, and the containers in the store: faults of their configurations with file and line, missing interfaces and root file systems, creations that were cut off, and containers that LXC's own monitors run at the same time. It changes nothing.",
    "✓ (ok): in order. · (--): missing, and only some need it. ! (!!): something does not work. ✗ (XX): islet cannot do its work. The signs in brackets stand where the locale is not UTF-8.",
    "`--format json` prints an array of sections, each with title and findings; a finding has level (ok, note, warning, error), what, effect and remedy.",
    "What the kernel has is found out by looking for it, and in its configuration: `lxc-checkconfig` says where that may be.",
    "Exit status: 0 when nothing is an error, 1 otherwise.",
  ],
};

const signs: Readonly<Record<Level, readonly [unicode: string, ascii: string, style: Style]>> = {
  ok: ["✓", "ok", "green"],
  note: ["·", "--", "cyan"],
  warning: ["!", "!!", "yellow"],
  error: ["✗", "XX", "red"],
};

/** Lines of at most `columns`, broken between words; a longer word stands alone. */
export function wrap(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || widthOf(last) + 1 + widthOf(word) > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

function findingLines(finding: Finding, look: Look): readonly string[] {
  const [unicode, ascii, style] = signs[finding.level];
  const sign = look.unicode ? unicode : ascii;
  const indent = 3 + widthOf(sign);
  const room = look.columns === null ? Number.POSITIVE_INFINITY : Math.max(20, look.columns - indent);
  const rest = (text: string): readonly string[] => wrap(harmless(text, look), room);
  const [head = "", ...more] = rest(finding.what);
  const arrow = look.unicode ? "→ " : "-> ";
  return [
    `  ${render([{ text: sign, style }], look)} ${head}`,
    ...more.map((line) => " ".repeat(indent) + line),
    ...(finding.effect === null ? [] : rest(finding.effect).map((line) => " ".repeat(indent) + line)),
    ...(finding.remedy === null
      ? []
      : wrap(harmless(finding.remedy, look), Math.max(20, room - widthOf(arrow))).map(
          (line, index) => " ".repeat(indent) + (index === 0 ? arrow : " ".repeat(widthOf(arrow))) + line,
        )),
  ];
}

const isProblem = ({ level }: Finding): boolean => level === "warning" || level === "error";

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

/** The whole report, with what it comes to in the last line. */
export function doctorText(sections: readonly Section[], look: Look, onlyProblems: boolean): string {
  const lines: string[] = [];
  for (const { title, findings } of sections) {
    const shown = findings.filter((finding) => !onlyProblems || isProblem(finding));
    if (shown.length === 0) continue;
    lines.push(render([{ text: title, style: "bold" }], look), ...shown.flatMap((one) => findingLines(one, look)), "");
  }
  const all = sections.flatMap(({ findings }) => findings);
  const errors = all.filter(({ level }) => level === "error").length;
  const warnings = all.filter(({ level }) => level === "warning").length;
  lines.push(
    errors === 0 && warnings === 0
      ? render([{ text: "All is well.", style: "green" }], look)
      : render(
          [
            {
              text: `${counted(errors, "error")}, ${counted(warnings, "warning")}.`,
              style: errors > 0 ? "red" : "yellow",
            },
          ],
          look,
        ),
  );
  return `${lines.join("\n")}\n`;
}

async function body(call: Call): Promise<number> {
  const isJson = outputFormat(call.options) === "json";
  const onlyProblems = call.options.has("problems");
  const sections = examine(await readFacts(call));
  const shown = onlyProblems
    ? sections.map(({ title, findings }) => ({ title, findings: findings.filter(isProblem) }))
    : sections;
  call.session.write(1, isJson ? jsonText(shown) : doctorText(sections, lookOf(call.session, 1), onlyProblems));
  return sections.some(({ findings }) => findings.some(({ level }) => level === "error")) ? 1 : 0;
}

export const doctor: Command = lxcCommand(doctorTable, body, { isOwn: true });
