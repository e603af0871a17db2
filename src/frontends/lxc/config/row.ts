/** What a row of the key table is, and makers of the common kinds. */
import type { Source } from "../../../base/source.js";
import type { Draft, Item, Values } from "./model.js";
import { anyText, flag, Problem, type Read, signal } from "./scalars.js";
import { normalisePath } from "./grammar.js";

export type KeyKind =
  "text" | "path" | "number" | "flag" | "signal" | "size" | "time" | "words" | "lines" | "family" | "group";

export interface KeyRow {
  /** The key; for a family the part before what varies, with its dot: `lxc.sysctl.`. */
  readonly key: string;
  /** What varies, as documentation has it: KEY in lxc.sysctl.KEY. */
  readonly rest?: string;
  readonly kind: KeyKind;
  /** LXC release that has it first (in this form). */
  readonly since: string;
  /** LXC release that does not have it any more. */
  readonly gone?: string;
  readonly doc: string;
  /** Takes one line; answers what is wrong with the value. `rest`: what varies in a family's key. */
  readonly set: (draft: Draft, value: string, at: Source, rest: string) => Problem | undefined;
  /** `key =`. */
  readonly clear: (draft: Draft, rest: string) => Problem | undefined;
  /** As lxc-info -c prints it (config-keys.md 1.5); null: cannot be asked for. */
  readonly get: (values: Values, rest: string) => string | null;
}

export interface Text {
  readonly since: string;
  readonly doc: string;
}

/** Fields of the draft that hold one value of the type. */
export type ScalarField<T> = {
  [K in keyof Draft]-?: [Draft[K], Item<T> | null] extends [Item<T> | null, Draft[K]] ? K : never;
}[keyof Draft];

/** Fields that hold a list of them. */
export type ListField<T> = {
  [K in keyof Draft]-?: [Draft[K], Item<T>[]] extends [Item<T>[], Draft[K]] ? K : never;
}[keyof Draft];

// A field's type is known from its name only, which the compiler does not follow for a generic name.
function put<T>(draft: Draft, field: ScalarField<T>, item: Item<T> | null): void {
  (draft as unknown as Record<ScalarField<T>, Item<T> | null>)[field] = item;
}

function take<T>(values: Values, field: ScalarField<T>): T | null {
  return (values as unknown as Record<ScalarField<T>, Item<T> | null>)[field]?.value ?? null;
}

export function listOf<T>(values: Values, field: ListField<T>): Item<T>[] {
  return (values as unknown as Record<ListField<T>, Item<T>[]>)[field];
}

export function setList<T>(draft: Draft, field: ListField<T>, items: Item<T>[]): void {
  (draft as unknown as Record<ListField<T>, Item<T>[]>)[field] = items;
}

/** A key with one value; the last line wins. `show` turns it, or null where it was not given, into what is read back. */
export function scalar<T>(
  key: string,
  kind: KeyKind,
  field: ScalarField<T>,
  read: Read<T>,
  show: (value: T | null) => string,
  text: Text,
): KeyRow {
  return {
    key,
    kind,
    ...text,
    set: (draft, value, at) => {
      const result = read(value);
      if (result instanceof Problem) return result;
      put<T>(draft, field, { value: result, at });
      return undefined;
    },
    clear: (draft) => {
      put<T>(draft, field, null);
      return undefined;
    },
    get: (values) => show(take<T>(values, field)),
  };
}

export function textKey(key: string, field: ScalarField<string>, text: Text, read: Read<string> = anyText): KeyRow {
  return scalar<string>(key, "text", field, read, (value) => value ?? "", text);
}

/** Normalised when it is read: `//` and `/./` collapsed. */
export function pathKey(key: string, field: ScalarField<string>, text: Text, read: Read<string> = anyText): KeyRow {
  const normalised: Read<string> = (value) => {
    const result = read(value);
    return result instanceof Problem ? result : normalisePath(result);
  };
  return scalar<string>(key, "path", field, normalised, (value) => value ?? "", text);
}

export function flagKey(key: string, field: ScalarField<boolean>, unset: boolean, text: Text): KeyRow {
  return scalar<boolean>(key, "flag", field, flag, (value) => ((value ?? unset) ? "1" : "0"), text);
}

export function numberKey(
  key: string,
  field: ScalarField<number>,
  read: Read<number>,
  text: Text,
  kind: KeyKind = "number",
): KeyRow {
  return scalar<number>(key, kind, field, read, (value) => String(value ?? 0), text);
}

export function signalKey(key: string, field: ScalarField<number>, unset: number, text: Text): KeyRow {
  return scalar<number>(key, "signal", field, signal, (value) => String(value ?? unset), text);
}

/** One value per line of the configuration; read back one per line, each with its line end. */
export function linesKey(key: string, field: ListField<string>, text: Text): KeyRow {
  return {
    key,
    kind: "lines",
    ...text,
    set: (draft, value, at) => {
      listOf<string>(draft, field).push({ value, at });
      return undefined;
    },
    clear: (draft) => {
      setList<string>(draft, field, []);
      return undefined;
    },
    get: (values) => lines(listOf<string>(values, field).map((item) => item.value)),
  };
}

/** Each followed by a line end: LXC's form of a list. */
export function lines(values: readonly string[]): string {
  return values.map((value) => `${value}\n`).join("");
}
