import { errorLines, type ErrorCode, IsletError } from "../../base/errors.js";

/** How a failure reads in LXC's world: lines for standard error, in order, and the exit status (docs: reference/lxc cli.md). */
export interface Failure {
  readonly lines: readonly FailureLine[];
  readonly status: number;
}

/** `bare`: LXC prints it without the tool's and the container's name. */
export interface FailureLine {
  readonly text: string;
  readonly bare?: boolean;
}

export interface Subject {
  readonly tool: string;
  readonly name: string;
  readonly store: string;
}

interface Row {
  /** The tool "*" stands for all that have no row of their own. */
  readonly tool: string;
  readonly codes: readonly ErrorCode[];
  /** LXC's own words. */
  readonly lines: (subject: Subject) => readonly (string | FailureLine)[];
  /** LXC's words say it all; otherwise the real cause is printed before them. */
  readonly complete?: boolean;
  readonly status: number;
}

const freezeCodes: readonly ErrorCode[] = [
  "ISLET_NOT_FOUND",
  "ISLET_NOT_RUNNING",
  "ISLET_UNSUPPORTED",
  "ISLET_TIMEOUT",
  "ISLET_BUSY",
  "ISLET_IO",
];

const rows: readonly Row[] = [
  {
    tool: "lxc-start",
    codes: ["ISLET_RUNNING"],
    lines: () => ["Container is already running"],
    complete: true,
    status: 0,
  },
  {
    tool: "lxc-start",
    codes: ["ISLET_NOT_FOUND"],
    lines: () => ["No container config specified"],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-stop",
    codes: ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"],
    lines: ({ name }) => [`${name} is not running`],
    complete: true,
    status: 2,
  },
  {
    tool: "lxc-attach",
    codes: ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"],
    lines: ({ name }) => [
      `${name} is not running`,
      "Connection refused - Failed to get init pid",
      "Connection refused - Failed to get attach context",
    ],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-console",
    codes: ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"],
    lines: ({ name }) => [`${name} is not running`],
    complete: true,
    status: 1,
  },
  { tool: "lxc-console", codes: ["ISLET_BUSY", "ISLET_BAD_REQUEST"], lines: () => ["Denied access to tty"], status: 1 },
  {
    tool: "lxc-execute",
    codes: ["ISLET_NOT_FOUND"],
    lines: () => ["Executing a container with no configuration file may crash the host"],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-execute",
    codes: ["ISLET_RUNNING"],
    lines: ({ name }) => [
      `Container "${name}" appears to be already running`,
      "Failed run an application inside container",
    ],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-info",
    codes: ["ISLET_NOT_FOUND"],
    lines: ({ name }) => [{ text: `${name} doesn't exist`, bare: true }],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-destroy",
    codes: ["ISLET_NOT_FOUND"],
    lines: () => ["Container is not defined"],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-destroy",
    codes: ["ISLET_RUNNING"],
    lines: ({ name }) => [`${name} is running`],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-destroy",
    codes: ["ISLET_HAS_CLONES"],
    lines: ({ name }) => [`Destroying ${name} failed: ${name} has clones`],
    status: 1,
  },
  {
    tool: "lxc-destroy",
    codes: ["ISLET_HAS_SNAPSHOTS"],
    lines: ({ name }) => [`Destroying ${name} failed: ${name} has snapshots`],
    status: 1,
  },
  {
    tool: "lxc-destroy",
    codes: ["ISLET_HOOK_FAILED", "ISLET_IO", "ISLET_BUSY"],
    lines: ({ name }) => [`Destroying ${name} failed`],
    status: 1,
  },
  {
    tool: "lxc-cgroup",
    codes: ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"],
    lines: ({ store, name }) => [`'${store}:${name}' is not running`],
    complete: true,
    status: 1,
  },
  {
    tool: "lxc-freeze",
    codes: freezeCodes,
    lines: ({ store, name }) => [`Failed to freeze ${store}:${name}`],
    status: 1,
  },
  {
    tool: "lxc-unfreeze",
    codes: freezeCodes,
    lines: ({ store, name }) => [`Failed to unfreeze ${store}:${name}`],
    status: 1,
  },
  {
    tool: "lxc-shutdown",
    codes: ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"],
    lines: ({ name }) => [{ text: `${name} is not running`, bare: true }],
    complete: true,
    status: 1,
  },
  { tool: "lxc-create", codes: ["ISLET_EXISTS"], lines: () => ["Container already exists"], complete: true, status: 1 },
  {
    tool: "*",
    codes: ["ISLET_PERMISSION"],
    lines: ({ name }) => [`Insufficent privileges to control ${name}`],
    status: 1,
  },
];

const asLine = (line: string | FailureLine): FailureLine => (typeof line === "string" ? { text: line } : line);

/** Any error of the engine in LXC's words. The exec of a command that attach or execute runs: 127 not found, 126 not executable. */
export function toFailure(error: unknown, subject: Subject): Failure {
  const cause = errorLines(error).map((text) => ({ text }));
  if (!(error instanceof IsletError)) return { lines: cause, status: 1 };
  const row =
    rows.find((candidate) => candidate.tool === subject.tool && candidate.codes.includes(error.code)) ??
    rows.find((candidate) => candidate.tool === "*" && candidate.codes.includes(error.code));
  if (row === undefined) return { lines: cause, status: 1 };
  const own = row.lines(subject).map(asLine);
  return { lines: row.complete === true ? own : [...cause, ...own], status: row.status };
}

/** What lxc-start says after any failed start, whatever the cause; scripts match these. */
export function startFailureLines(daemon: boolean): readonly string[] {
  return [
    ...(daemon ? ['Received container state "ABORTING" instead of "RUNNING"'] : []),
    "The container failed to start",
    ...(daemon ? ["To get more details, run the container in foreground mode"] : []),
    "Additional information can be obtained by setting the --logfile and --logpriority options",
  ];
}

/** Exit status for a command whose program could not be executed in the container; null: the failure was of another kind. */
export function execStatus(error: unknown): number | null {
  if (!(error instanceof IsletError) || error.syscall === undefined || !error.syscall.startsWith("exec")) return null;
  return error.errno === "ENOENT" ? 127 : 126;
}
