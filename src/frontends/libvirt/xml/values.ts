/** Reading values off a tree as libvirt does: which errors, what is empty, what counts as a number. */
import { errorCodes, errorDomains, type ErrorDomain, LibvirtError } from "../errors.js";
import { parseCpuList } from "../host/cpu-list.js";
import type { XmlElement } from "./tree.js";

/** 27/20: what the document says is wrong. */
export function xmlError(detail: string, domain: ErrorDomain = errorDomains.domain): LibvirtError {
  return new LibvirtError(errorCodes.xml, domain, detail);
}

/** 27/5: a value that its attribute cannot have. */
export function valueError(detail: string): LibvirtError {
  return new LibvirtError(errorCodes.xml, errorDomains.xml, detail);
}

/** 67/20: understood, but it cannot be had. */
export function unsupported(detail: string, domain: ErrorDomain = errorDomains.domain): LibvirtError {
  return new LibvirtError(errorCodes.configUnsupported, domain, detail);
}

/** 1/20 */
export function internalError(detail: string, domain: ErrorDomain = errorDomains.domain): LibvirtError {
  return new LibvirtError(errorCodes.internal, domain, detail);
}

/** 8/0 */
export function invalidArgument(detail: string, domain: ErrorDomain = errorDomains.none): LibvirtError {
  return new LibvirtError(errorCodes.invalidArgument, domain, detail);
}

/** 35/0 */
export function detailError(detail: string): LibvirtError {
  return new LibvirtError(errorCodes.malformedXml, errorDomains.none, detail);
}

/** Elements that are kept whole are no deeper, since what is printed grows with each level. */
export const mostDepth = 64;

export function tooDeep(): LibvirtError {
  return unsupported(`elements within each other, more than ${mostDepth}, that are kept as they are`);
}

/** Elements below, by a path of names without namespace, in document order. */
export function all(element: XmlElement, ...path: readonly string[]): readonly XmlElement[] {
  let found: readonly XmlElement[] = [element];
  for (const name of path)
    found = found.flatMap((each) => elementsOf(each).filter((one) => one.uri === "" && one.name === name));
  return found;
}

export function first(element: XmlElement, ...path: readonly string[]): XmlElement | null {
  return all(element, ...path)[0] ?? null;
}

/** Child elements of any namespace. */
export function elementsOf(element: XmlElement): readonly XmlElement[] {
  return element.children.filter((child) => child.kind === "element");
}

/** All text in an element, also that of elements within. */
export function contentOf(element: XmlElement): string {
  let text = "";
  for (const child of element.children) {
    if (child.kind === "element") text += contentOf(child);
    else if (child.kind === "text" || child.kind === "cdata") text += child.text;
  }
  return text;
}

/** Text of the first element at a path; an empty one counts as none. */
export function textAt(element: XmlElement, ...path: readonly string[]): string | null {
  const found = first(element, ...path);
  const text = found === null ? "" : contentOf(found);
  return text === "" ? null : text;
}

/** An attribute without namespace; an empty one is a value. */
export function attribute(element: XmlElement | null, name: string): string | null {
  return element?.attributes.find((each) => each.name === name && each.uri === "")?.value ?? null;
}

/** An attribute, where an empty one counts as none. */
export function filled(element: XmlElement | null, name: string): string | null {
  const value = attribute(element, name);
  return value === "" ? null : value;
}

export function required(element: XmlElement, name: string): string {
  const value = attribute(element, name);
  if (value === null) throw valueError(`Missing required attribute '${name}' in element '${element.name}'`);
  return value;
}

/** An attribute with a closed set of values. */
export function choice<T extends string>(element: XmlElement | null, name: string, values: readonly T[]): T | null {
  const value = attribute(element, name);
  if (value === null || element === null) return null;
  const found = values.find((each) => each === value);
  if (found === undefined)
    throw valueError(`Invalid value for attribute '${name}' in element '${element.name}': '${value}'.`);
  return found;
}

export function requiredChoice<T extends string>(element: XmlElement, name: string, values: readonly T[]): T {
  required(element, name);
  return choice(element, name, values) ?? values[0]!;
}

const uint32 = 0xffff_ffffn;
export const uint64 = 0xffff_ffff_ffff_ffffn;

/** As strtoull reads it, but nothing negative: white space before, a plus, digits, nothing behind. null: no number, or too large. */
export function unsigned(text: string, most: bigint = uint64): bigint | null {
  const [, digits] = /^[ \t\n\v\f\r]*\+?([0-9]+)$/.exec(text) ?? [];
  if (digits === undefined || digits.length > 40) return null;
  const value = BigInt(digits);
  return value <= most ? value : null;
}

/** As strtoll reads it. */
export function signed(text: string): bigint | null {
  const [, sign, digits] = /^[ \t\n\v\f\r]*([+-]?)([0-9]+)$/.exec(text) ?? [];
  if (digits === undefined || digits.length > 40) return null;
  const value = sign === "-" ? -BigInt(digits) : BigInt(digits);
  return value >= -(1n << 63n) && value < 1n << 63n ? value : null;
}

export function unsigned32(text: string): number | null {
  const value = unsigned(text, uint32);
  return value === null ? null : Number(value);
}

/** Also 0x.. and octal, as strtoul does with base 0. */
export function unsignedOfAnyBase(text: string): number | null {
  const trimmed = text.replace(/^[ \t\n\v\f\r]*\+?/, "");
  if (/^0[xX][0-9a-fA-F]{1,8}$/.test(trimmed)) return Number.parseInt(trimmed, 16);
  if (/^0[0-7]{1,10}$/.test(trimmed)) return Number.parseInt(trimmed, 8);
  return unsigned32(text);
}

/** A number in an attribute. Throws 27/5 for anything else. */
export function uintAttribute(
  element: XmlElement,
  name: string,
  read: (text: string) => number | null = unsigned32,
): number | null {
  const text = attribute(element, name);
  if (text === null) return null;
  const value = read(text);
  if (value === null)
    throw valueError(
      `Invalid value for attribute '${name}' in element '${element.name}': '${text}'. Expected non-negative integer value`,
    );
  return value;
}

const powers = "kmgtpe";

/** A number with a unit, in bytes. `scale`: of a number without one. Throws 8/0 for an unknown unit, 82 for too much. */
export function scaled(value: bigint, unit: string | null, scale: bigint, most: bigint): bigint {
  const suffix = unit ?? "";
  const factor = suffix === "" ? scale : factorOf(suffix);
  if (value !== 0n && value > most / factor)
    throw new LibvirtError(errorCodes.overflow, errorDomains.none, `value too large: ${value}${suffix}`);
  return value * factor;
}

function factorOf(suffix: string): bigint {
  const lower = suffix.toLowerCase();
  if (lower === "b" || lower === "byte" || lower === "bytes") return 1n;
  const power = powers.indexOf(lower[0] ?? "?") + 1;
  const rest = lower.slice(1);
  if (power === 0 || !["", "b", "ib"].includes(rest)) throw invalidArgument(`unknown suffix '${suffix}'`);
  return (rest === "b" ? 1000n : 1024n) ** BigInt(power);
}

/** Bytes of the element at a path, with its `unit`; null: none. Plain numbers are KiB. */
export function scaledAt(element: XmlElement, path: readonly string[], most: bigint, scale = 1024n): bigint | null {
  const text = textAt(element, ...path);
  if (text === null) return null;
  const value = unsigned(text);
  if (value === null) throw valueError(`Invalid value '${text}' for element or attribute './${path.join("/")}[1]'`);
  return scaled(value, filled(first(element, ...path), "unit"), scale, most);
}

/** Bytes to KiB, rounded up. */
export function kib(bytes: bigint): bigint {
  return (bytes + 1023n) / 1024n;
}

/** `0-3,^2` as a sorted list. Throws 8/0. `most`: numbers below it. */
export function bitmap(text: string, most?: number): readonly number[] {
  // A comma may end the list.
  const list = parseCpuList(text.replace(/,\s*$/, ""), most);
  if (list === null) throw invalidArgument(`Failed to parse bitmap '${text}'`);
  return list;
}
