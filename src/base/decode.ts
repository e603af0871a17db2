import { IsletError } from "./errors.js";

/**
 * Takes a value of unknown origin (JSON of a peer) apart. Each throws ISLET_BAD_REQUEST that names the place, `options.timeout`. Sizes are
 * bounded by the frame a value came in, depth by the decoders themselves.
 */
export type Decoder<T> = (value: unknown, place: string) => T;

function wrong(place: string, wanted: string): IsletError {
  return new IsletError("ISLET_BAD_REQUEST", `${place === "" ? "the request" : place} is not ${wanted}`);
}

export const text: Decoder<string> = (value, place) => {
  if (typeof value !== "string") throw wrong(place, "a string");
  return value;
};

export const flag: Decoder<boolean> = (value, place) => {
  if (typeof value !== "boolean") throw wrong(place, "true or false");
  return value;
};

/** A safe integer within bounds, both inclusive. */
export function integer(least: number, most: number): Decoder<number> {
  return (value, place) => {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most)
      throw wrong(place, `a whole number from ${least} to ${most}`);
    return value;
  };
}

/** A bigint within bounds, both inclusive. */
export function bigInteger(least: bigint, most: bigint): Decoder<bigint> {
  return (value, place) => {
    if (typeof value !== "bigint" || value < least || value > most)
      throw wrong(place, `a whole number (bigint) from ${least} to ${most}`);
    return value;
  };
}

export const absolutePath: Decoder<string> = (value, place) => {
  const path = text(value, place);
  if (!path.startsWith("/") || path.includes("\0")) throw wrong(place, "an absolute path");
  return path;
};

export function oneOf<T extends string>(...known: readonly T[]): Decoder<T> {
  return (value, place) => {
    const found = known.find((each) => each === value);
    if (found === undefined) throw wrong(place, `one of ${known.join(", ")}`);
    return found;
  };
}

export function orNull<T>(inner: Decoder<T>): Decoder<T | null> {
  return (value, place) => (value === null ? null : inner(value, place));
}

export function list<T>(inner: Decoder<T>): Decoder<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) throw wrong(place, "a list");
    return value.map((each: unknown, index) => inner(each, `${place}[${index}]`));
  };
}

function fieldsOf(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(place, "an object");
  return value as Readonly<Record<string, unknown>>;
}

/** An object with just these fields. */
export function record<T extends object>(fields: { readonly [K in keyof T]-?: Decoder<T[K]> }): Decoder<T> {
  const decoders = Object.entries(fields) as readonly (readonly [string, Decoder<unknown>])[];
  return (value, place) => {
    const given = fieldsOf(value, place);
    const at = (name: string): string => (place === "" ? name : `${place}.${name}`);
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(fields, name));
    if (unknown !== undefined) throw wrong(at(unknown), "known");
    return Object.fromEntries(decoders.map(([name, decoder]) => [name, decoder(given[name], at(name))])) as T;
  };
}

/** One of several objects; its `kind` says which. */
export function variant<T extends { readonly kind: string }>(kinds: {
  readonly [K in T["kind"]]: Decoder<Extract<T, { readonly kind: K }>>;
}): Decoder<T> {
  const known = Object.keys(kinds) as T["kind"][];
  return (value, place) => {
    const kind = oneOf(...known)(fieldsOf(value, place)["kind"], place === "" ? "kind" : `${place}.kind`);
    const decoder: Decoder<T> = kinds[kind];
    return decoder(value, place);
  };
}

/** Names to values of one kind. */
export function dictionary<T>(inner: Decoder<T>): Decoder<Readonly<Record<string, T>>> {
  return (value, place) =>
    Object.fromEntries(
      Object.entries(fieldsOf(value, place)).map(([name, each]) => [name, inner(each, `${place}.${name}`)]),
    );
}
