/** LXC's states; the numbers are those of the monitor protocol (docs/protocol/control.md). */
export const states = [
  "STOPPED",
  "STARTING",
  "RUNNING",
  "STOPPING",
  "ABORTING",
  "FREEZING",
  "FROZEN",
  "THAWED",
] as const;
export type State = (typeof states)[number];

/** States in which there is a main process: between them only the freezer decides. */
export const livingStates: ReadonlySet<State> = new Set<State>(["RUNNING", "FREEZING", "FROZEN", "THAWED"]);

/** What only the engine knows: to a monitor these are RUNNING. */
export const freezerStates: ReadonlySet<State> = new Set<State>(["FREEZING", "FROZEN", "THAWED"]);
