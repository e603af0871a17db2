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
