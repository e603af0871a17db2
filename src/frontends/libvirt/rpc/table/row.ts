import type { Shape } from "../messages.js";

/** A procedure of the table. Clients know it by `number`; its API's name is in names.ts. */
export interface Row {
  readonly number: number;
  /** remote when not given. */
  readonly program?: "lxc";
  readonly args: Shape;
  readonly ret: Shape;
  /** Refused on read-only connections whatever its arguments are (virCheckReadOnlyGoto). */
  readonly changes?: true;
}

/** What the server tells without being asked. */
export interface EventRow {
  readonly number: number;
  readonly message: Shape;
}
