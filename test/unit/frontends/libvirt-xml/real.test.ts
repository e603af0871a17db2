/**
 * What libvirtd 9.0 made of some 500 documents (fixtures/real.json: `lines` are those of its dumpxml that the smallest domain does not have): the same
 * document, or the same error. Where islet differs, fixtures/differences.json says how and why.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { readDomain } from "../../../../src/frontends/libvirt/xml/read-domain.js";
import { writeDomain } from "../../../../src/frontends/libvirt/xml/write-domain.js";
import { context, fixture, type Give, textOf } from "./support.js";

interface Row {
  readonly give: Give;
  readonly lines?: readonly string[];
  readonly error?: readonly [number, number, string];
}

interface Difference extends Row {
  readonly why: string;
}

const { minimal, rows } = fixture("real") as {
  readonly minimal: readonly string[];
  readonly rows: readonly Row[];
};

const differences = fixture("differences") as readonly Difference[];

const inactive = { inactive: true, secure: false } as const;

function answer(give: Give): Row {
  try {
    const text = writeDomain(readDomain(textOf(give), context), inactive);
    const lines = text.trimEnd().split("\n");
    return { give, lines: lines.filter((line) => !minimal.includes(line)) };
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return { give, error: [error.code, error.domain, error.message] };
  }
}

test("documents are read and printed as libvirtd does, and refused in its words", () => {
  assert.ok(rows.length > 400);
  const known = new Map(differences.map(({ why, ...ours }) => [JSON.stringify(ours.give), { why, ours }]));
  for (const row of rows) {
    const difference = known.get(JSON.stringify(row.give));
    assert.deepEqual(answer(row.give), difference?.ours ?? row, difference?.why);
  }
});

test("every difference is of a document that libvirtd was given, and is one", () => {
  for (const { why, ...ours } of differences) {
    const row = rows.find(({ give }) => JSON.stringify(give) === JSON.stringify(ours.give));
    assert.ok(row, why);
    assert.notDeepEqual(ours, row, why);
  }
});

test("what was printed is read as the same document", () => {
  for (const { give, lines } of rows) {
    if (lines === undefined) continue;
    const first = answer(give);
    if (first.lines === undefined) continue;
    const doc = readDomain(textOf(give), context);
    const again = readDomain(writeDomain(doc, inactive), { ...context, newUuid: refuse, newMac: refuse });
    assert.deepEqual(again, doc, JSON.stringify(give));
  }
});

function refuse(): never {
  throw new Error("everything was said");
}
