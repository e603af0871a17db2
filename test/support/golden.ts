import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorLines } from "../../src/base/errors.js";
import { check } from "../../src/host/addon.js";
import { sourceMounts } from "../../src/plan/source.js";
import { planStart } from "../../src/plan/start.js";
import { encodeProgram } from "../../src/program/encode.js";
import { explainProgram } from "../../src/program/explain.js";
import type { HostFacts, StartFacts } from "../../src/spec/host.js";
import type { ContainerSpec } from "../../src/spec/spec.js";

/** Texts that were reviewed: NAME.txt of a plan, NAME.err of what must be refused. UPDATE=1 rewrites them and prints what changed. */

const update = process.env["UPDATE"] === "1";

export interface Outcome {
  readonly kind: "txt" | "err";
  readonly text: string;
}

export function refused(lines: readonly string[]): Outcome {
  return { kind: "err", text: `${lines.join("\n")}\n` };
}

/** The whole program of a start, which must be one that the interpreter takes. */
export function planned(spec: ContainerSpec, host: HostFacts, start: StartFacts): Outcome {
  try {
    const program = planStart(spec, host, start, undefined, sourceMounts);
    check(encodeProgram(program));
    return { kind: "txt", text: explainProgram(program) };
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return refused(errorLines(error));
  }
}

/** The lines that one text has and the other has not, with - and +: enough to see what an update does. */
function changes(before: string, after: string): string {
  const [old, now] = [before.split("\n"), after.split("\n")];
  const [inOld, inNow] = [new Set(old), new Set(now)];
  return [
    ...old.filter((line) => !inNow.has(line)).map((line) => `  - ${line}`),
    ...now.filter((line) => !inOld.has(line)).map((line) => `  + ${line}`),
  ].join("\n");
}

export function compare(directory: string, stem: string, got: Outcome): void {
  const path = join(directory, `${stem}.${got.kind}`);
  const other = join(directory, `${stem}.${got.kind === "txt" ? "err" : "txt"}`);
  const before = existsSync(path) ? readFileSync(path, "utf8") : "";
  if (update) {
    if (before !== got.text) {
      process.stdout.write(`${stem}.${got.kind}:\n${before === "" ? "  (new)" : changes(before, got.text)}\n`);
      writeFileSync(path, got.text);
    }
    rmSync(other, { force: true });
    return;
  }
  if (existsSync(other)) assert.fail(`${stem} has become ${got.kind}:\n${got.text}`);
  assert.ok(before !== "", `${path} is missing; UPDATE=1 npm test -- golden writes it`);
  assert.equal(got.text, before);
}
