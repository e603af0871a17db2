/**
 * Text to a tree of elements, strictly: what is not well formed is an error in libvirt's words. Saxes decides what is well formed; nothing outside the text
 * (external entities, external subsets) is ever read.
 */
import { SaxesParser, type SaxesTagNS } from "saxes";
import { errorCodes, errorDomains, LibvirtError, type ErrorDomain } from "../errors.js";
import { malformed, picture } from "./diagnose.js";
import { entitiesOf } from "./entities.js";
import { mostOpen } from "./form.js";

export interface XmlAttribute {
  readonly prefix: string;
  readonly name: string;
  readonly uri: string;
  readonly value: string;
}

export interface XmlElement {
  readonly kind: "element";
  /** Local name; with its prefix where that is bound to nothing, as libxml2 has it. */
  readonly name: string;
  readonly prefix: string;
  readonly uri: string;
  /** Declarations of namespaces are not among them: `declared`. */
  readonly attributes: readonly XmlAttribute[];
  /** Prefix to namespace, as declared by this element; "" is the default namespace. */
  readonly declared: ReadonlyMap<string, string>;
  readonly children: readonly XmlNode[];
  /** From 1; column: from 0, behind the element's name. */
  readonly line: number;
  readonly column: number;
}

export type XmlNode =
  | XmlElement
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "cdata"; readonly text: string }
  | { readonly kind: "comment"; readonly text: string }
  | { readonly kind: "instruction"; readonly target: string; readonly text: string };

/** Far above any document, far below what exhausts a daemon. The depth is libxml2's own limit. */
export const xmlLimits: { readonly [K in "characters" | "depth" | "elements" | "attributes"]: number } = {
  characters: 16 * 1024 * 1024,
  depth: mostOpen,
  elements: 100_000,
  attributes: 1_000,
};

export interface ParseOptions {
  /** What messages call the text: libvirt has `(domain_definition)`, `(device_definition)`. */
  readonly what: string;
  /** Domain of errors of form. */
  readonly domain?: ErrorDomain;
}

interface Open {
  readonly name: string;
  readonly prefix: string;
  readonly uri: string;
  readonly attributes: readonly XmlAttribute[];
  readonly declared: ReadonlyMap<string, string>;
  readonly children: XmlNode[];
  readonly line: number;
  readonly column: number;
}

const xmlnsUri = "http://www.w3.org/2000/xmlns/";

/** The root element. Throws 35 for what is not well formed or is larger than the limits. */
export function parseXml(text: string, options: ParseOptions): XmlElement {
  const domain = options.domain ?? errorDomains.domain;
  const refuse = (line: number, reason: string): LibvirtError =>
    new LibvirtError(errorCodes.malformedXml, domain, `${options.what}:${line}: ${reason}`);
  if (text.length > xmlLimits.characters)
    throw refuse(1, `the document is longer than ${xmlLimits.characters} characters`);
  const encoding = foreignEncoding(text);
  if (encoding !== null) throw refuse(1, `Unsupported encoding ${encoding.name}\n${picture(text, encoding.end)}`);
  const parser = new SaxesParser({ xmlns: true, position: true });
  const declared: string[] = [];
  const wrong = (reason: string): LibvirtError =>
    malformed(text, options.what, domain, { reason, line: parser.line, position: parser.position }, declared);
  const open: Open[] = [];
  let root: XmlElement | null = null;
  let elements = 0;
  let start = { line: 1, column: 0 };

  const add = (node: XmlNode): void => {
    open.at(-1)?.children.push(node);
  };
  parser.on("error", (error) => {
    // A prefix that is bound to nothing is no fault of form; the element then counts as one of another namespace.
    if (error.message.includes("unbound namespace prefix")) return;
    throw wrong(error.message.replace(/^\d+:\d+: /, ""));
  });
  parser.on("doctype", (doctype) => {
    const found = entitiesOf(doctype);
    if (found.kind === "refused") throw refuse(parser.line, found.reason);
    let expanded = 0;
    for (const [name, value] of found.entities) {
      declared.push(name);
      Object.defineProperty(parser.ENTITIES, name, {
        get: () => {
          expanded += value.length;
          if (expanded > found.most) throw refuse(parser.line, "the entities of the document expand to too much text");
          return value;
        },
      });
    }
  });
  parser.on("opentagstart", () => {
    start = { line: parser.line, column: parser.column };
    elements += 1;
    if (elements > xmlLimits.elements) throw refuse(parser.line, `more than ${xmlLimits.elements} elements`);
  });
  let attributes = 0;
  parser.on("attribute", () => {
    attributes += 1;
    if (attributes > xmlLimits.attributes)
      throw refuse(parser.line, `more than ${xmlLimits.attributes} attributes in an element`);
  });
  parser.on("opentag", (tag) => {
    attributes = 0;
    if (open.length > xmlLimits.depth) throw wrong(`more than ${xmlLimits.depth} elements within each other`);
    open.push(opened(tag, start));
  });
  parser.on("closetag", () => {
    const ended = open.pop();
    if (ended === undefined) return;
    const element: XmlElement = { kind: "element", ...ended, children: withoutBlanks(ended.children) };
    if (open.length === 0) root = element;
    else add(element);
  });
  parser.on("text", (value) => {
    if (value !== "") add({ kind: "text", text: value });
  });
  parser.on("cdata", (value) => add({ kind: "cdata", text: value }));
  parser.on("comment", (value) => add({ kind: "comment", text: value }));
  parser.on("processinginstruction", ({ target, body }) => add({ kind: "instruction", target, text: body }));

  // One character at a time would be as good; in one piece, positions of errors are those of the text.
  parser.write(text).close();
  if (root === null) throw wrong("Document is empty");
  return root;
}

/** Texts are decoded before they come here; one that says what they are not is refused. */
const encodings = /^(?:utf-?8|utf-?16|us-ascii|ascii|iso-8859-[0-9]+|latin-?[0-9])$/i;

function foreignEncoding(text: string): { readonly name: string; readonly end: number } | null {
  const [declaration = "", name] = /^<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["']/.exec(text) ?? [];
  return name === undefined || encodings.test(name) ? null : { name, end: declaration.length };
}

function opened(tag: SaxesTagNS, at: { readonly line: number; readonly column: number }): Open {
  const attributes: XmlAttribute[] = [];
  for (const { prefix, local, uri, value } of Object.values(tag.attributes))
    if (uri !== xmlnsUri) attributes.push({ prefix, name: local, uri: prefix === uri ? "" : uri, value });
  // Saxes gives an element of an unbound prefix that prefix as its namespace.
  const unbound = tag.prefix !== "" && tag.uri === tag.prefix && !bound(tag);
  return {
    name: unbound ? tag.name : tag.local,
    prefix: unbound ? "" : tag.prefix,
    uri: unbound ? "" : tag.uri,
    attributes,
    declared: new Map(Object.entries(tag.ns)),
    children: [],
    ...at,
  };
}

/** Whether the tag itself binds its prefix (to a namespace that is called like it). */
function bound(tag: SaxesTagNS): boolean {
  return tag.ns[tag.prefix] !== undefined;
}

/**
 * Without the white space between elements, which is layout: an element whose first child is text keeps all, and so does one that holds nothing else.
 * libxml2 does the same when it is told not to keep blanks.
 */
function withoutBlanks(children: readonly XmlNode[]): readonly XmlNode[] {
  const first = children[0];
  if (children.length < 2) return children;
  if (first !== undefined && (first.kind === "cdata" || (first.kind === "text" && first.text.trim() !== "")))
    return children;
  return children.filter((child) => child.kind !== "text" || child.text.trim() !== "");
}
