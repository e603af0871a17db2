/** Faults of form, and what is too large or reaches outside of the text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { formFault } from "../../../../src/frontends/libvirt/xml/form.js";
import { readDomain } from "../../../../src/frontends/libvirt/xml/read-domain.js";
import { parseXml, xmlLimits } from "../../../../src/frontends/libvirt/xml/tree.js";
import { contentOf } from "../../../../src/frontends/libvirt/xml/values.js";
import { context, fixture } from "./support.js";

function refusal(text: string): LibvirtError {
  try {
    readDomain(text, context);
  } catch (error) {
    if (error instanceof LibvirtError) return error;
    throw error;
  }
  return assert.fail(`it was taken: ${text.slice(0, 200)}`);
}

/** Where libvirt's own words are no help: it prints `(null)` for an empty line, and does not know a word for two faults. */
const otherwise: Readonly<Record<string, string>> = {
  "<domain><![CDATA[": "(domain_definition):1: CData section not finished\n\n<domain><![CDATA[\n-----------------^",
  "<?xml version='2.0'?><domain/>":
    "(domain_definition):1: version number must match /^1\\.[0-9]+$/.\n<?xml version='2.0'?><domain/>\n-------------------^",
  "<?xml version='1.0'><domain/>":
    "(domain_definition):1: parsing XML declaration: '?>' expected\n<?xml version='1.0'><domain/>\n-----^",
  "<?xml version=1.0?><domain/>":
    "(domain_definition):1: value must be quoted.\n<?xml version=1.0?><domain/>\n---------------^",
};

test("what is not well formed is told in libvirt's words, with the line and a pointer", () => {
  const rows = fixture("form") as readonly { readonly text: string; readonly message: string }[];
  assert.ok(rows.length > 80);
  for (const { text, message } of rows) {
    const error = refusal(text);
    const wanted = otherwise[text] ?? message.replace("\n(null)\n", "\n\n");
    assert.deepEqual([error.code, error.domain, error.message], [35, 20, wanted]);
  }
});

test("a text that the parser takes has no fault of form", () => {
  const word = fc.constantFrom(
    "a",
    "<b/>",
    "<c d='1'>",
    "</c>",
    "&amp;",
    "<!-- x -->",
    "\n",
    "é",
    "<![CDATA[<]]>",
    "<",
    "'",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      const text = `<domain>${words.join("")}</domain>`;
      let taken = true;
      try {
        parseXml(text, { what: "x" });
      } catch (error) {
        assert.ok(error instanceof LibvirtError && error.code === 35);
        taken = false;
      }
      assert.equal(formFault(text) === null, taken, text);
    }),
  );
});

test("any text is taken or refused, and never breaks the reader", () => {
  const markup = fc.constantFrom(
    "<domain type='lxc'>",
    "<",
    ">",
    "&",
    ";",
    "<!DOCTYPE d [",
    "<!ENTITY",
    "]>",
    "'",
    '"',
    "/>",
    "<?",
    "--",
    "=",
    "x",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(markup, fc.string({ unit: "binary", maxLength: 5 })), { maxLength: 20 }), (parts) => {
      assert.ok(refusal(parts.join("")).message.length > 0);
    }),
    { numRuns: 300 },
  );
});

const small = "<name>x</name><memory>1</memory><os><type>exe</type><init>/i</init></os>";

test("entities that the document declares as text are put in place", () => {
  const type = `<!DOCTYPE domain [ <!ENTITY who "w&#101;b"> <!ENTITY all '&who;-&who;1'> <!ELEMENT x ANY> ]>`;
  const text = `<?xml version="1.0"?><!-- a > b -->${type}<domain type='lxc'><title>&all;</title>${small}</domain>`;
  assert.equal(readDomain(text, context).title, "web-web1");
});

test("nothing is read from outside of the document", () => {
  const external = [
    [`<!DOCTYPE d SYSTEM "file:///etc/passwd">`, /a DOCTYPE that is read from elsewhere is not allowed/],
    [`<!DOCTYPE d PUBLIC "x" "http://x/">`, /a DOCTYPE that is read from elsewhere is not allowed/],
    [`<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>`, /the entity 'a' would be read from elsewhere/],
    [`<!DOCTYPE d [<!ENTITY a PUBLIC "x" "y">]>`, /the entity 'a' would be read from elsewhere/],
    [`<!DOCTYPE d [<!ENTITY % p SYSTEM "y"> %p;]>`, /entities of a document type are not allowed/],
    [`<!DOCTYPE d [<!ENTITY a "<b/>">]>`, /the entity 'a' is more than text/],
    [`<!DOCTYPE d [<!ENTITY a "&b;"><!ENTITY b "&a;">]>`, /the entity 'a' expands to too much text or to one/],
  ] as const;
  for (const [type, words] of external) {
    const error = refusal(`${type}<domain type='lxc'><title>&a;</title>${small}</domain>`);
    assert.deepEqual([error.code, error.domain], [35, 20]);
    assert.match(error.message, words);
    assert.ok(!error.message.includes("\n"));
  }
});

test("a bomb of entities is refused, whether they multiply or are many", () => {
  let type = `<!ENTITY l0 "${"ha".repeat(500)}">`;
  for (let level = 1; level < 20; level += 1) type += `<!ENTITY l${level} "${`&l${level - 1};`.repeat(10)}">`;
  assert.match(refusal(`<!DOCTYPE d [${type}]><domain>&l19;</domain>`).message, /entity 'l2' expands to too much text/);
  const wide = `<!DOCTYPE d [<!ENTITY a "${"x".repeat(60_000)}">]><domain type='lxc'><title>${"&a;".repeat(100_000)}</title></domain>`;
  assert.match(refusal(wide).message, /the entities of the document expand to too much text/);
  const many = Array.from({ length: 101 }, (_, number) => `<!ENTITY e${number} "x">`).join("");
  assert.match(refusal(`<!DOCTYPE d [${many}]><domain/>`).message, /more than 100 entities/);
});

test("documents have limits of length, depth, elements and attributes", () => {
  assert.match(refusal(" ".repeat(xmlLimits.characters + 1)).message, /is longer than 16777216 characters$/);
  assert.match(
    refusal("<a>".repeat(100_000)).message,
    /^\(domain_definition\):1: Excessive depth in document: 256 use/,
  );
  assert.match(refusal(`<domain>${"<a/>".repeat(100_001)}</domain>`).message, /:1: more than 100000 elements$/);
  const attributes = Array.from({ length: 1001 }, (_, number) => ` a${number}=''`).join("");
  assert.match(refusal(`<domain${attributes}/>`).message, /:1: more than 1000 attributes in an element$/);
});

test("a huge name, attribute or text is no more work than its length", () => {
  const huge = "x".repeat(4_000_000);
  const started = performance.now();
  assert.equal(readDomain(`<domain type='lxc'><title>${huge}</title>${small}</domain>`, context).title, huge);
  assert.match(
    refusal(`<domain ${huge}='1' type='${huge}'><name>${huge}</name></domain>`).message,
    /invalid domain type x/,
  );
  assert.match(refusal(`<${huge}`).message, /Couldn't find end of Start Tag/);
  assert.match(
    refusal(`<domain>${"<a>\n</a>".repeat(50_000)}<`).message,
    /:50001: StartTag: invalid element name\n<\/a><\n-----\^$/,
  );
  // The parser stops at the hundred thousandth element, what explains a fault does not.
  assert.match(refusal(`&${"<a/>\n".repeat(2_500_000)}`).message, /Start tag expected/);
  assert.match(refusal(`<d>${"<a></a>\n".repeat(1_900_000)}`).message, /more than 100000 elements/);
  assert.ok(refusal(`<${huge}`).message.length < 10_000);
  assert.ok(performance.now() - started < 20_000);
});

test("a document has a thousand disks at most, since putting them in order takes the square of their number", () => {
  assert.match(
    refusal(`<domain type='lxc'>${small}<devices>${"<disk/>".repeat(1001)}</devices></domain>`).message,
    /more than 1000 disks$/,
  );
});

test("no text makes the reader look at the same characters again and again", () => {
  const long = 200_000;
  const started = performance.now();
  const types = [
    "<!".repeat(long),
    "<!'".repeat(long),
    `<!ENTITY a x${" ".repeat(long)}y${" ".repeat(long)}'>'>`,
    "<!--".repeat(long),
    "<?".repeat(long),
  ];
  for (const inner of types) assert.equal(refusal(`<!DOCTYPE d [${inner}]><domain/>`).code, 35);
  assert.match(
    refusal(`<!DOCTYPE d [<!ENTITY a ${" ".repeat(long)}"x>" y>]><domain>&a;</domain>`).message,
    /read|not defined/,
  );
  refusal(`<?xml ${"encoding=".repeat(long)}?><domain/>`);
  const sets = [`${"0-16383,".repeat(long)}x`, " ".repeat(long), `1${" ".repeat(long)}x`];
  for (const set of sets)
    assert.match(
      refusal(`<domain type='lxc'>${small}<vcpu cpuset='${set}'>1</vcpu></domain>`).message,
      /Failed to parse bitmap/,
    );
  const deep = `${"<a>".repeat(100)}${"</a>".repeat(100)}`;
  const kept = [`<devices><rng>${deep}</rng></devices>`, `<metadata><x xmlns='urn:x'>${deep}</x></metadata>`];
  for (const inner of kept)
    assert.match(refusal(`<domain type='lxc'>${small}${inner}</domain>`).message, /more than 64/);
  assert.ok(performance.now() - started < 20_000);
});

test("elements keep their namespace, line and column, and white space of layout is dropped", () => {
  const root = parseXml(`<a xmlns='urn:d' xmlns:p='urn:p'>\n  <p:b p:c='1' d='2'/>\n  <q:e> x </q:e>\n</a>`, {
    what: "x",
  });
  assert.deepEqual([root.uri, root.children.length], ["urn:d", 2]);
  const [b, e] = root.children;
  assert.ok(b?.kind === "element" && e?.kind === "element");
  assert.deepEqual([b.name, b.prefix, b.uri, b.line, b.column], ["b", "p", "urn:p", 2, 7]);
  assert.deepEqual(
    b.attributes.map(({ name, uri, value }) => [name, uri, value]),
    [
      ["c", "urn:p", "1"],
      ["d", "", "2"],
    ],
  );
  // A prefix that nobody declared is part of the name.
  assert.deepEqual([e.name, e.uri, contentOf(e)], ["q:e", "", " x "]);
});
