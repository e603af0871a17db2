/** `<metadata>`: elements of others' namespaces, one of each, kept with all in them and printed as libxml2 prints. */
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc, MetadataElement } from "./domain.js";
import { parseXml, type XmlElement, type XmlNode } from "./tree.js";
import { elementsOf, first, internalError, mostDepth, tooDeep } from "./values.js";

/** The first element of each namespace; those without are dropped. */
export function readMetadata(domain: XmlElement): readonly MetadataElement[] {
  const found = first(domain, "metadata");
  if (found === null) return [];
  const kept = new Map<string, MetadataElement>();
  for (const element of elementsOf(found)) {
    if (element.uri === "" || kept.has(element.uri)) continue;
    kept.set(element.uri, { uri: element.uri, xml: nodeText(element, new Map(), 0) });
  }
  return [...kept.values()];
}

/** Text of an element as it stands `depth` levels deep; the first line is not indented. */
export function metadataText({ xml }: MetadataElement, depth: number): string {
  return nodeText(parseXml(xml, { what: "(metadata_xml)" }), new Map(), depth);
}

const xmlUri = "http://www.w3.org/XML/1998/namespace";

/** `depth`: levels of indentation; -1: within text, nothing is laid out. */
function nodeText(element: XmlElement, scope: ReadonlyMap<string, string>, depth: number, nested = 0): string {
  if (nested > mostDepth) throw tooDeep();
  const names = new Map(scope);
  const declared = new Map<string, string>();
  const declare = (prefix: string, uri: string): void => {
    if (names.get(prefix) === uri || prefix === "xml") return;
    names.set(prefix, uri);
    declared.set(prefix, uri);
  };
  for (const [prefix, uri] of element.declared) declare(prefix, uri);
  // What surrounded the element may have declared what it and its attributes use.
  if (element.uri !== "" || names.has("")) declare(element.prefix, element.uri);
  for (const { prefix, uri } of element.attributes)
    if (prefix !== "" && uri !== "" && uri !== xmlUri) declare(prefix, uri);
  const name = qualified(element.prefix, element.name);
  let head = `<${name}`;
  for (const [prefix, uri] of declared) head += ` ${prefix === "" ? "xmlns" : `xmlns:${prefix}`}="${valueText(uri)}"`;
  for (const { prefix, name: local, value } of element.attributes)
    head += ` ${qualified(prefix, local)}="${valueText(value)}"`;
  const { children } = element;
  if (children.length === 0) return `${head}/>`;
  // An element with text among its children is not laid out, and nothing in it.
  const laidOut = depth >= 0 && !children.some(({ kind }) => kind === "text" || kind === "cdata");
  const inner = children.map((child) => childText(child, names, laidOut ? depth + 1 : -1, nested + 1));
  if (!laidOut) return `${head}>${inner.join("")}</${name}>`;
  const indent = "  ".repeat(depth);
  return `${head}>\n${inner.map((line) => `${indent}  ${line}\n`).join("")}${indent}</${name}>`;
}

function qualified(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}:${name}`;
}

function childText(node: XmlNode, scope: ReadonlyMap<string, string>, depth: number, nested: number): string {
  switch (node.kind) {
    case "element":
      return nodeText(node, scope, depth, nested);
    case "text":
      return node.text.replace(/[&<>\r]/g, reference);
    case "cdata":
      return `<![CDATA[${node.text}]]>`;
    case "comment":
      return `<!--${node.text}-->`;
    case "instruction":
      return node.text === "" ? `<?${node.target}?>` : `<?${node.target} ${node.text}?>`;
    default:
      return node satisfies never;
  }
}

const references: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function reference(character: string): string {
  return references[character] ?? `&#${character.charCodeAt(0)};`;
}

function valueText(text: string): string {
  return text.replace(/[&<>"\t\n\r]/g, reference);
}

/** What virDomainSetMetadata can set. */
export type MetadataKind = "description" | "title" | "element";

type WithMetadata = Pick<DomainDoc, "title" | "description" | "metadata">;

export interface MetadataValue {
  /** null: take it away. */
  readonly value: string | null;
  /** Of an element: the prefix it gets, and the namespace it is known by. */
  readonly key: string | null;
  readonly uri: string | null;
}

/** The document with one piece changed. Throws 1/5, 8 or 35 for what cannot be set. */
export function setMetadata<T extends WithMetadata>(doc: T, kind: MetadataKind, { value, key, uri }: MetadataValue): T {
  switch (kind) {
    case "title":
      if (value?.includes("\n") === true) throw badArgument("metadata title can't contain newlines");
      return { ...doc, title: value === "" ? null : value };
    case "description":
      return { ...doc, description: value === "" ? null : value };
    case "element": {
      const namespace = uri ?? lacking("uri", "virDomainSetMetadata");
      const element = value === null ? null : made(value, key ?? lacking("key", "virDomainSetMetadata"), namespace);
      const kept = doc.metadata.filter((each) => each.uri !== namespace && each.uri !== element?.uri);
      return { ...doc, metadata: element === null ? kept : [...kept, element] };
    }
    default:
      return kind satisfies never;
  }
}

/** The text as an element of the namespace; what in it has a namespace already keeps that. */
function made(text: string, key: string, uri: string): MetadataElement {
  const element = parseXml(text, { what: "(metadata_xml)" });
  if (!/^[\p{L}_][\p{L}\p{N}\p{M}._-]*$/u.test(key))
    throw internalError("failed to validate prefix for a new XML namespace", errorDomains.xml);
  if (uri === "" || key === "xml" || key === "xmlns")
    throw internalError("failed to create a new XML namespace", errorDomains.xml);
  const put = mapElements(element, (each) => (each.uri === "" ? { ...each, prefix: key, uri } : each));
  const declaring = { ...put, declared: new Map([...put.declared, [key, uri]]) };
  return { uri: put.uri, xml: nodeText(declaring, new Map(), 0) };
}

function mapElements(element: XmlElement, change: (element: XmlElement) => XmlElement): XmlElement {
  const children = element.children.map((child) => (child.kind === "element" ? mapElements(child, change) : child));
  return change({ ...element, children });
}

function lacking(name: string, where: string): never {
  throw badArgument(`${name} in ${where} must not be NULL`);
}

/** 8/20, in words of their own. */
function badArgument(message: string): LibvirtError {
  return new LibvirtError(errorCodes.invalidArgument, errorDomains.domain, message, { bare: true });
}

/** As virDomainGetMetadata answers: an element without the namespace it is known by. Throws 80 where there is none. */
export function getMetadata(doc: WithMetadata, kind: MetadataKind, uri: string | null): string {
  switch (kind) {
    case "title":
    case "description":
      return doc[kind] ?? missing();
    case "element": {
      const namespace = uri ?? lacking("uri", "virDomainGetMetadata");
      const found = doc.metadata.find((each) => each.uri === namespace) ?? missing();
      const bare = mapElements(parseXml(found.xml, { what: "(metadata_xml)" }), (each) => ({
        ...each,
        ...(each.uri === namespace ? { prefix: "", uri: "" } : {}),
        declared: new Map([...each.declared].filter(([, declared]) => declared !== namespace)),
      }));
      return nodeText(bare, new Map(), 0);
    }
    default:
      return kind satisfies never;
  }
}

function missing(): never {
  const detail = "Requested metadata element is not present";
  throw new LibvirtError(errorCodes.noDomainMetadata, errorDomains.domain, detail);
}
