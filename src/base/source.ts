/** Where a value of a specification was written down, so that an error can name it. */
export interface Source {
  /** A file, or a pseudo file such as "command line". */
  readonly file: string;
  /** Line, counted from 1; 0 where lines have no meaning. */
  readonly line: number;
  /** The key or element it was given by: `lxc.mount.entry`. */
  readonly key: string;
}

/** A value with the place it came from; `at` is null for defaults. */
export interface Sourced<T> {
  readonly value: T;
  readonly at: Source | null;
}

/** `web1/config:14 lxc.mount.entry`, the form in which every message names a source. */
export function showSource(at: Source): string {
  const place = at.line > 0 ? `${at.file}:${at.line}` : at.file;
  return at.key === "" ? place : `${place} ${at.key}`;
}

/** One thing that is wrong with an input. Pure code returns all of them. */
export interface Fault {
  readonly message: string;
  readonly at: Source | null;
  readonly hint?: string;
}

export function showFault(fault: Fault): string {
  const text = fault.at === null ? fault.message : `${fault.message} (${showSource(fault.at)})`;
  return fault.hint === undefined ? text : `${text}; ${fault.hint}`;
}
