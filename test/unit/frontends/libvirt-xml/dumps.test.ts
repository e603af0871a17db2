/** Documents that libvirtd printed, and what a running domain has in addition. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { readDomain } from "../../../../src/frontends/libvirt/xml/read-domain.js";
import { writeDomain } from "../../../../src/frontends/libvirt/xml/write-domain.js";
import { context, fixture, textOf } from "./support.js";

interface Dump {
  readonly from: string;
  readonly live: boolean;
  readonly xml: string;
}

const dumps = fixture("dumps") as readonly Dump[];

test("what libvirtd printed is read and printed as the same bytes", () => {
  assert.ok(dumps.some(({ live }) => live) && dumps.some(({ live }) => !live));
  for (const { from, live, xml } of dumps) {
    const doc = readDomain(xml, { ...context, live });
    assert.equal(writeDomain(doc, { inactive: !live, secure: false }), xml, from);
  }
});

function running(): { readonly xml: string; readonly doc: DomainDoc } {
  const { xml } = dumps.find(({ live }) => live) ?? assert.fail();
  return { xml, doc: readDomain(xml, { ...context, live: true }) };
}

test("the live document has what the host gave it, and keeps that through being stored", () => {
  const { doc } = running();
  assert.deepEqual(doc.live, { id: 7556, consoles: ["/dev/pts/2", "/dev/pts/3"] });
  assert.deepEqual(
    doc.interfaces.map(({ target }) => target),
    ["vnet0", "vnet2"],
  );
  const source = doc.interfaces[1]?.source;
  assert.deepEqual(source, {
    kind: "network",
    network: "default",
    portgroup: null,
    portId: "53250c1d-7b3b-4a9e-8661-22a3d72ce0dd",
    bridge: "virbr0",
  });
});

test("the definition of a running domain has no id, no names of links and no terminals", () => {
  const { xml, doc } = running();
  const inactive = writeDomain(doc, { inactive: true, secure: false });
  const gone = xml.split("\n").filter((line) => !inactive.split("\n").includes(line));
  assert.deepEqual(gone, [
    "<domain type='lxc' id='7556'>",
    "      <target dev='vnet0'/>",
    "      <source network='default' portid='53250c1d-7b3b-4a9e-8661-22a3d72ce0dd' bridge='virbr0'/>",
    "      <target dev='vnet2'/>",
    "    <console type='pty' tty='/dev/pts/2'>",
    "      <source path='/dev/pts/2'/>",
    "      <alias name='console0'/>",
    "      <source path='/dev/pts/3'/>",
    "      <alias name='console1'/>",
  ]);
  // What a client sends back of a live document is a definition.
  assert.deepEqual(readDomain(xml, context), readDomain(inactive, context));
});

test("a document without a running domain is printed as a definition whatever is asked", () => {
  const doc = readDomain(textOf({}), context);
  const text = writeDomain(doc, { inactive: false, secure: true });
  assert.equal(text, writeDomain(doc, { inactive: true, secure: false }));
  assert.ok(text.startsWith("<domain type='lxc'>\n"));
});

test("any text in any place is the same text after being printed and read", () => {
  // XML has no control characters but these, and ends lines with one.
  const character = fc.oneof(
    fc.constantFrom("&amp;", "]]>", "<!--", "\u0085", "\u00a0", "😀", "\r\n"),
    fc.constantFrom(...`aé<>&"'% \t\n\r]-=/;#`.split("")),
  );
  const text = fc.array(character, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(""));
  const line = text.map((each) => each.replaceAll("\n", "") || "x");
  const doc = readDomain(
    textOf({
      dev: "<filesystem><source dir='/a'/><target dir='/'/></filesystem><interface type='bridge'><source bridge='b'/></interface>",
    }),
    context,
  );
  fc.assert(
    fc.property(line, text, text, text, text, (title, description, argument, path, name) => {
      const changed: DomainDoc = {
        ...doc,
        title,
        description,
        emulator: path,
        os: { ...doc.os, init: path, initArgs: [argument], initEnv: [{ name, value: argument }], cmdline: argument },
        filesystems: [
          { source: { kind: "mount", dir: path }, accessMode: "passthrough", target: name, readonly: true },
          { source: { kind: "ram", usage: 5n }, accessMode: "passthrough", target: path, readonly: false },
        ],
        interfaces: doc.interfaces.map((nic) => ({ ...nic, source: { kind: "bridge", bridge: name }, guest: path })),
        hostdevs: [{ kind: "misc", char: path }],
        namespaces: { net: { type: "netns", value: name }, ipc: null, uts: null },
      };
      assert.deepEqual(readDomain(writeDomain(changed, { inactive: true, secure: false }), context), changed);
    }),
  );
});
