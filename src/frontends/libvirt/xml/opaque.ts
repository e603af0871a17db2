/** Elements that are kept without being understood, and how text is escaped in what libvirt prints. */
import type { XmlElement } from "./tree.js";
import { mostDepth, tooDeep } from "./values.js";

/** Characters that XML cannot have at all. */
const controls = /[^\P{Cc}\t\n\r\u007f-\u009f]/gu;

/** As virBufferEscapeString: control characters are left out, quotes are escaped everywhere. A carriage return survives being read again. */
export function escaped(text: string): string {
  return text
    .replace(controls, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&apos;")
    .replaceAll("\r", "&#13;");
}

/** An attribute's value: as above, and white space survives being read again. */
export function escapedValue(text: string): string {
  return escaped(text).replace(/[\t\n]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Text within an element: line ends survive being read again and being indented. */
function escapedText(text: string): string {
  return escaped(text).replaceAll("\n", "&#10;");
}

/** ` name='value'`, or nothing for null. */
export function attributeText(name: string, value: string | number | bigint | null): string {
  return value === null ? "" : ` ${name}='${escapedValue(String(value))}'`;
}

/** An element of no namespace with all in it, two spaces a level, without a line end behind it. Other namespaces and comments are dropped. */
export function opaqueText(element: XmlElement): string {
  return lines(element, 0).join("\n");
}

function lines(element: XmlElement, depth: number): readonly string[] {
  if (depth > mostDepth) throw tooDeep();
  let head = `<${element.name}`;
  for (const { name, uri, value } of element.attributes) if (uri === "") head += attributeText(name, value);
  const inner = element.children.flatMap((child) =>
    child.kind === "element" && child.uri === "" ? lines(child, depth + 1) : [],
  );
  if (inner.length > 0) return [`${head}>`, ...inner.map((line) => `  ${line}`), `</${element.name}>`];
  let text = "";
  for (const child of element.children) if (child.kind === "text" || child.kind === "cdata") text += child.text;
  return text === "" ? [`${head}/>`] : [`${head}>${escapedText(text)}</${element.name}>`];
}
