import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { commandTables } from "../../src/frontends/lxc/commands/pages.js";
import { sides, type Seen } from "../support/sides.js";
import { lacks } from "../support/skip.js";
import type { Case } from "./cases/case.js";
import { commonCases } from "./cases/common.js";
import { copyCases } from "./cases/copies.js";
import { enterCases } from "./cases/enter.js";
import { lifeCases } from "./cases/life.js";
import { lookCases } from "./cases/look.js";
import { makeCases } from "./cases/make.js";
import { scriptCases } from "./cases/scripts.js";
import { toolCases } from "./cases/tools.js";
import { type Aspect, differences } from "./differences.js";

/** LXC puts the words of errno before a message, if it has one: they are no part of what it says. */
const withoutErrno = (line: string): string => line.replace(/^((?:lxc-\S+: )?(?:\S+: )?)[A-Z][A-Za-z ()/]+ - /, "$1");

/** Every line of LXC's is in one of islet's, in the same order. */
function saysMore(theirs: string, ours: string): boolean {
  const lines = ours.split("\n");
  let at = 0;
  for (const line of theirs.split("\n").filter((each) => each !== "")) {
    const found = lines.findIndex(
      (each, index) => index >= at && (each.includes(line) || withoutErrno(each).includes(withoutErrno(line))),
    );
    if (found < 0) return false;
    at = found + 1;
  }
  return true;
}

function aspectsOf(theirs: Seen, ours: Seen): readonly Aspect[] {
  const aspects: Aspect[] = (["stdout", "status", "after"] as const).filter((key) => theirs[key] !== ours[key]);
  if (theirs.stderr !== ours.stderr) aspects.push(saysMore(theirs.stderr, ours.stderr) ? "more" : "stderr");
  return aspects;
}

/** Which of the aspects the known difference is about. "stderr" is about whatever it says there. */
const covers = (shows: readonly Aspect[], aspect: Aspect): boolean =>
  shows.includes(aspect) || (aspect === "more" && shows.includes("stderr"));

function comparison(theirs: Seen, ours: Seen): string {
  return (["stdout", "stderr", "status", "after"] as const)
    .filter((key) => theirs[key] !== ours[key])
    .map((key) => `${key}\n  LXC:   ${JSON.stringify(theirs[key])}\n  islet: ${JSON.stringify(ours[key])}`)
    .join("\n");
}

/** Differences that showed, with a command line that shows each. */
const seen = new Map<string, string>();
let compared = 0;

function check(one: Case, theirs: Seen, ours: Seen): void {
  const known = (one.differs ?? []).map((id) => {
    const found = differences.find((each) => each.id === id);
    assert.ok(found !== undefined, `${id} is no known difference`);
    return found;
  });
  const aspects = aspectsOf(theirs, ours);
  const unknown = aspects.filter((aspect) => !known.some(({ shows }) => covers(shows, aspect)));
  assert.deepEqual(unknown, [], `differs in a way that nobody has explained:\n${comparison(theirs, ours)}`);
  for (const { id, shows } of known) {
    assert.ok(
      aspects.some((aspect) => covers(shows, aspect)),
      `${id} does not show here any more:\n${JSON.stringify(ours)}`,
    );
    if (!seen.has(id)) seen.set(id, one.run);
  }
  compared += 1;
}

/** Two at a time: many cases wait. */
const lanes: readonly (readonly [marks: readonly [string, string], cases: readonly Case[]])[] = [
  [
    ["a", "b"],
    [...lookCases, ...makeCases, ...scriptCases, ...toolCases],
  ],
  [
    ["c", "d"],
    [...lifeCases, ...enterCases, ...copyCases, ...commonCases],
  ],
];

describe("islet does what Debian's LXC does", { concurrency: lanes.length }, () => {
  for (const [marks, cases] of lanes) {
    describe(`lane ${marks.join("")}`, { concurrency: 1 }, () => {
      const both = sides({ after }, marks);
      for (const one of cases) {
        it(`${one.run} (${one.given ?? "stopped"})`, async (t) => {
          if (lacks(t, "lxc")) return;
          const { theirs, ours } = await both.run(one);
          check(one, theirs, ours);
        });
      }
    });
  }
});

/** islet's own, and one of a later LXC. */
const additions = new Set(["format", "rbduser", "idmap"]);
/** LXC had them up to 1.0. */
const former = new Set(
  "lxc-backup lxc-clone lxc-kill lxc-list lxc-netstat lxc-ps lxc-restore lxc-shutdown lxc-start-ephemeral".split(" "),
);

it("every option of every command is in some case", () => {
  const lines = lanes.flatMap(([, cases]) => cases.map(({ run }) => run));
  const missing = commandTables
    .filter(({ tool }) => tool.startsWith("lxc-") && !former.has(tool))
    .flatMap(({ tool, options }) => {
      const call = new RegExp(`${tool}((?: (?!lxc-)[^ ;|&]+| '[^']*')*)`, "g");
      const calls = lines.flatMap((line) => [...line.matchAll(call)].map(([words]) => words));
      return options
        .filter(({ long }) => !additions.has(long))
        .filter(({ long, short }) => {
          const forms = [`--${long}(?=[= ]|$)`, ...short.map((letter) => `-[A-Za-z0-9]*[${letter}]`)];
          return !calls.some((words) => new RegExp(` (${forms.join("|")})`).test(words));
        })
        .map(({ long }) => `${tool} --${long}`);
    });
  assert.deepEqual(missing, []);
});

it("every known difference shows in some case, and here they are", (t) => {
  if (lacks(t, "lxc")) return;
  for (const { id, commands } of differences)
    t.diagnostic(`${id}: ${commands.join(" ")}: ${seen.get(id) ?? "nowhere"}`);
  t.diagnostic(`${compared} cases compared, ${differences.length} known differences`);
  assert.deepEqual(
    differences.filter(({ id }) => !seen.has(id)).map(({ id }) => id),
    [],
  );
});
