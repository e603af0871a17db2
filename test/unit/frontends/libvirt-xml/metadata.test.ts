import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodes, LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { getMetadata, type MetadataKind, setMetadata } from "../../../../src/frontends/libvirt/xml/metadata.js";
import { readDomain } from "../../../../src/frontends/libvirt/xml/read-domain.js";
import { writeDomain } from "../../../../src/frontends/libvirt/xml/write-domain.js";
import { context, fixture, textOf } from "./support.js";

interface Row {
  /** What the definition has below its memory. */
  readonly start: string;
  readonly kind: MetadataKind;
  readonly value: string | null;
  readonly key: string | null;
  readonly uri: string | null;
  /** Lines between uuid and memory afterwards. */
  readonly xml?: readonly string[];
  readonly get?: string;
  readonly getError?: readonly [number, number, string];
  readonly error?: readonly [number, number, string];
}

function outcome<T>(run: () => T): T | readonly [number, number, string] {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return [error.code, error.domain, error.message];
  }
}

test("metadata is set and given back as libvirtd does", () => {
  const rows = fixture("metadata") as readonly Row[];
  assert.ok(rows.length > 20);
  for (const row of rows) {
    const doc = readDomain(textOf({ top: row.start }), context);
    const set = outcome(() => setMetadata(doc, row.kind, row));
    if ("length" in set) {
      assert.deepEqual(set, row.error, JSON.stringify(row));
      continue;
    }
    assert.equal(row.error, undefined, JSON.stringify(row));
    const lines = writeDomain(set, { inactive: true, secure: false }).split("\n");
    assert.deepEqual(
      lines.slice(
        3,
        lines.findIndex((line) => line.includes("<memory")),
      ),
      row.xml,
    );
    assert.deepEqual(
      outcome(() => getMetadata(set, row.kind, row.uri)),
      row.get ?? row.getError,
    );
    // It survives being stored.
    assert.deepEqual(readDomain(lines.join("\n"), context), set);
  }
});

test("setting metadata leaves the document as it was and nothing half done", () => {
  const top = `<title>t</title><metadata><q:x xmlns:q='urn:q'>1</q:x></metadata>`;
  const doc = readDomain(textOf({ top }), context);
  const set = setMetadata(doc, "element", { value: "<y/>", key: "q", uri: "urn:q" });
  assert.equal(getMetadata(doc, "element", "urn:q"), "<x>1</x>");
  assert.equal(getMetadata(set, "element", "urn:q"), "<y/>");
  assert.throws(
    () => setMetadata(doc, "element", { value: "<!DOCTYPE a SYSTEM 'b'><y/>", key: "q", uri: "urn:q" }),
    (error) => error instanceof LibvirtError && error.code === errorCodes.malformedXml,
  );
  assert.throws(() => setMetadata(doc, "element", { value: "<y/>", key: "q", uri: "" }), /new XML namespace/);
  assert.equal(getMetadata(doc, "element", "urn:q"), "<x>1</x>");
});

test("an element brings the declarations that it needs from what surrounds it", () => {
  const attrs = "type='lxc' xmlns:p='urn:p' xmlns:a='urn:attribute'";
  const doc = readDomain(textOf({ attrs, top: "<metadata><p:x a:y='1'><p:z/></p:x></metadata>" }), context);
  assert.deepEqual(doc.metadata, [
    { uri: "urn:p", xml: `<p:x xmlns:p="urn:p" xmlns:a="urn:attribute" a:y="1">\n  <p:z/>\n</p:x>` },
  ]);
});
