/** Entities of a document's own DOCTYPE. Those that would be read from elsewhere are refused, and so is whatever is not plain text. */

export type Entities =
  | {
      readonly kind: "entities";
      readonly entities: ReadonlyMap<string, string>;
      /** Characters that all references together may come to. */
      readonly most: number;
    }
  | { readonly kind: "refused"; readonly reason: string };

const mostEntities = 100;
const mostCharacters = 64 * 1024;
const mostExpanded = 1024 * 1024;

const nameText = "[\\p{L}_:][\\p{L}\\p{N}._:-]*";
const declaration = new RegExp(
  `^<!ENTITY\\s+(%\\s+)?(${nameText})\\s+(?:("[^"]*"|'[^']*')\\s*|([^\\s>][^>]*))>$`,
  "su",
);
const reference = new RegExp(`&(#x[0-9a-fA-F]+|#[0-9]+|${nameText});`, "gu");
/** One declaration, comment or instruction of an internal subset; quoted text may hold anything. The last is what none of these begins with. */
const piece = /<!--.*?-->|<\?.*?\?>|<!(?:"[^"]*"|'[^']*'|[^"'>])*>|%[^;\s]*;|\s+|[^]/gsu;

/** `doctype`: what is between `<!DOCTYPE` and `>`. */
export function entitiesOf(doctype: string): Entities {
  const subset = doctype.indexOf("[");
  const head = subset < 0 ? doctype : doctype.slice(0, subset);
  if (/\b(SYSTEM|PUBLIC)\b/.test(head))
    return { kind: "refused", reason: "a DOCTYPE that is read from elsewhere is not allowed" };
  const entities = new Map<string, string>();
  if (subset < 0) return { kind: "entities", entities, most: mostExpanded };
  const end = doctype.lastIndexOf("]");
  for (const [part] of doctype.slice(subset + 1, end < 0 ? undefined : end).matchAll(piece)) {
    if (part === "<") return { kind: "refused", reason: "a document type that cannot be read" };
    if (part.startsWith("%")) return { kind: "refused", reason: "entities of a document type are not allowed" };
    if (!part.startsWith("<!ENTITY")) continue;
    const [, parameter, name, quoted, bare] = declaration.exec(part) ?? [];
    const value = quoted ?? bare;
    if (name === undefined || value === undefined)
      return { kind: "refused", reason: "a declaration of an entity that cannot be read" };
    if (parameter !== undefined) return { kind: "refused", reason: "entities of a document type are not allowed" };
    const quote = value[0];
    if (quote !== '"' && quote !== "'")
      return { kind: "refused", reason: `the entity '${name}' would be read from elsewhere, which is not allowed` };
    if (entities.has(name)) continue; // the first counts
    if (entities.size >= mostEntities) return { kind: "refused", reason: `more than ${mostEntities} entities` };
    const expanded = expand(value.slice(1, -1), entities);
    if (expanded === null)
      return {
        kind: "refused",
        reason: `the entity '${name}' expands to too much text or to one that is declared later`,
      };
    if (/[<&]/.test(expanded))
      return { kind: "refused", reason: `the entity '${name}' is more than text, which is not allowed` };
    entities.set(name, expanded);
  }
  return { kind: "entities", entities, most: mostExpanded };
}

const predefined: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", apos: "'", quot: '"' };

/** With the references of the value in place, or null. Only what was declared before counts, so nothing refers to itself. */
function expand(value: string, known: ReadonlyMap<string, string>): string | null {
  let length = 0;
  let fine = true;
  const expanded = value.replace(reference, (_, name: string) => {
    const text = name.startsWith("#") ? character(name) : (predefined[name] ?? known.get(name));
    length += text?.length ?? 0;
    if (text === undefined || length > mostCharacters) {
      fine = false;
      return "";
    }
    return text;
  });
  return fine && expanded.length <= mostCharacters ? expanded : null;
}

function character(digits: string): string | undefined {
  const number = digits[1] === "x" ? Number.parseInt(digits.slice(2), 16) : Number(digits.slice(1));
  return number > 0 && number <= 0x10ffff && (number < 0xd800 || number > 0xdfff)
    ? String.fromCodePoint(number)
    : undefined;
}
