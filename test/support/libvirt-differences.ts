/** What two answers differ in, one line for each difference, and tables of those that have a reason. */

export interface Excuses {
  /** PROCEDURE.path of what depends on the machine (`params[cpu_time].value`, `nets[]`), and why. */
  readonly machine: Readonly<Record<string, string>>;
  /** PROCEDURE.path of lists that have no order, and why. */
  readonly unordered?: Readonly<Record<string, string>>;
  /** What is otherwise here, as `Ledger` says it, and why. */
  readonly reasons: Readonly<Record<string, string>>;
}

export interface Ledger {
  /** `where`: the scene; `what`: the procedure. */
  readonly compare: (where: string, what: string, theirs: unknown, ours: unknown) => void;
  /** The lines that would be added; nothing is. */
  readonly differences: (where: string, what: string, theirs: unknown, ours: unknown) => readonly string[];
  /** Differences without a reason, and reasons without a difference. */
  readonly faults: () => readonly string[];
}

const longest = 160;
const show = (value: unknown): string => {
  const text = whole(value);
  return text.length > longest ? `${text.slice(0, longest)}...` : text;
};
const whole = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === "bigint") return Number(each);
    return each instanceof Uint8Array ? Buffer.from(each).toString("hex") : each;
  }) ?? "nothing";

/** Lines of one text alone, `-` theirs and `+` ours, in their order. */
export function changedLines(theirs: string, ours: string): readonly string[] {
  const a = theirs.split("\n");
  const b = ours.split("\n");
  // Length of the longest common part of a[i..] and b[j..].
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  const at = (i: number, j: number): number => common[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = common[i];
      if (row !== undefined) row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  const out: string[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      out.push(`-${(a[i] ?? "").trim()}`);
      i += 1;
    } else {
      out.push(`+${(b[j] ?? "").trim()}`);
      j += 1;
    }
  }
  return out;
}

/** How a path is compared. */
type Manner = "as it is" | "not" | "in any order";
type Visit = (path: string) => Manner;

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !isList(value) && !(value instanceof Uint8Array);

/** What an element of a list is known by: parameters have names, statistics tags. */
function keyOf(element: unknown): string {
  const key = isObject(element) ? (element["field"] ?? element["tag"]) : null;
  return typeof key === "string" || typeof key === "number" ? String(key) : "";
}

const inOrder = (list: readonly unknown[]): readonly unknown[] =>
  list.toSorted((one, other) => (whole(one) < whole(other) ? -1 : 1));

function* walk(path: string, theirs: unknown, ours: unknown, visit: Visit): Generator<string> {
  const manner = visit(path);
  if (manner === "not") return;
  if (manner === "in any order" && isList(theirs) && isList(ours))
    yield* walk(path, inOrder(theirs), inOrder(ours), (each) => (each === path ? "as it is" : visit(each)));
  else if (isList(theirs) && isList(ours)) {
    if (theirs.length !== ours.length) yield `${path}: ${theirs.length} of them, here ${ours.length}`;
    else for (const [index, each] of theirs.entries()) yield* walk(`${path}[${keyOf(each)}]`, each, ours[index], visit);
  } else if (isObject(theirs) && isObject(ours)) {
    for (const name of new Set([...Object.keys(theirs), ...Object.keys(ours)]))
      yield* walk(`${path}.${name}`, theirs[name], ours[name], visit);
  } else if (typeof theirs === "string" && typeof ours === "string" && /^<[^]*\n/.test(theirs)) {
    for (const line of changedLines(theirs, ours)) yield `${path}: ${line}`;
  } else if (whole(theirs) !== whole(ours)) yield `${path}: ${show(theirs)}, here ${show(ours)}`;
}

export function ledger({ machine, unordered = {}, reasons }: Excuses): Ledger {
  const met = new Set<string>();
  const found = new Set<string>();
  const differences: Ledger["differences"] = (where, what, theirs, ours) =>
    [
      ...walk(what, theirs, ours, (path) => {
        if (machine[path] === undefined && unordered[path] === undefined) return "as it is";
        met.add(path);
        return machine[path] === undefined ? "in any order" : "not";
      }),
    ].map((line) => `${where} ${line}`);
  return {
    differences,
    compare: (...each) => {
      for (const line of differences(...each)) found.add(line);
    },
    faults: () => [
      ...[...found].filter((line) => reasons[line] === undefined).map((line) => `no reason: ${line}`),
      ...Object.keys(reasons)
        .filter((line) => !found.has(line))
        .map((line) => `not met: ${line}`),
      ...Object.keys({ ...machine, ...unordered })
        .filter((path) => !met.has(path))
        .map((path) => `never compared: ${path}`),
    ],
  };
}
