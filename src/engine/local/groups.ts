import type { Engine } from "../engine.js";

/** The requests whose code most commands do not need, by the file that answers them. */
export const groups = {
  /** Those that start containers, or say how they would be. */
  start: ["start", "execute", "plan"],
  /** Those that tell what runs to end, to wait, or to make do with less. */
  control: ["stop", "signal", "initctl", "freeze", "unfreeze", "cgroupItem", "setCgroupItem"],
  /** Those of whoever wants a process, a file or a terminal in a container, or a program of the host's on its behalf. */
  enter: [
    "attach",
    "openNamespaces",
    "hostCommand",
    "hostOutput",
    "unshare",
    "lookUp",
    "console",
    "resizeConsole",
    "outerTerminals",
    "takeTerminal",
  ],
  /** Those about devices of what runs. */
  devices: ["changeDevice", "changeNode", "addNic", "removeNic"],
  /** Those that make whole containers, and remove them. */
  make: [
    "create",
    "destroy",
    "forget",
    "copy",
    "copies",
    "rename",
    "snapshots",
    "snapshot",
    "restore",
    "backUp",
    "restoreBackup",
    "export",
    "readArchive",
  ],
} as const;

export type Requests<G extends keyof typeof groups> = Pick<Engine, (typeof groups)[G][number]>;
