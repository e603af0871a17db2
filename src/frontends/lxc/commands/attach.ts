import { closeSync, constants, openSync } from "node:fs";
import { errorLines, IsletError } from "../../../base/errors.js";
import { unreachable } from "../../../base/never.js";
import type { AttachOptions, ClientTask, Command } from "../../../engine/engine.js";
import type { NamespaceKind } from "../../../spec/namespace.js";
import { personaOf } from "../../../spec/personality.js";
import { execStatus } from "../errors.js";
import { containerConfig, fileProblem } from "./container-config.js";
import { type Call, lxcCommand, unsignedOption, UsageError } from "./frame.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";

export const attachTable: CommandTable = {
  tool: "lxc-attach",
  synopsis: "--name=NAME [OPTION...] [-- COMMAND...]",
  description: "Runs COMMAND, or a login shell, inside a running container.",
  options: [
    option("elevated-privileges", "keep privileges: all, or a |-joined list of CAP, CGROUP, LSM", {
      short: "e",
      argument: "PRIVILEGES",
      optional: true,
    }),
    option("arch", "architecture the program sees (default: the container's)", { short: "a", argument: "ARCH" }),
    option("namespaces", "enter only these, |-joined: MOUNT PID UTSNAME IPC USER NETWORK CGROUP TIME; implies -e", {
      short: "s",
      argument: "FLAGS",
    }),
    option("remount-sys-proc", "with -s without MOUNT: show /proc and /sys of the container", { short: "R" }),
    option("clear-env", "start with an empty environment but container=lxc and PATH"),
    option("keep-env", "keep the environment (default)"),
    option("keep-var", "with --clear-env: keep this variable all the same", { argument: "NAME" }),
    option("set-var", "set a variable; may be repeated", { short: "v", argument: "NAME=VALUE" }),
    option("pty-log", "add what the terminal shows to FILE", { short: "L", argument: "FILE" }),
    option("rcfile", "read the configuration from FILE", { short: "f", argument: "FILE" }),
    option("uid", "user id inside", { short: "u", argument: "UID" }),
    option("gid", "group id inside", { short: "g", argument: "GID" }),
    option("context", "SELinux context to run in", { short: "c", argument: "CONTEXT" }),
    ...commonOptions,
    rcfileOption,
  ],
  operands: "command",
  named: true,
  containers: "running",
  notes: [
    "Exit status: that of COMMAND, 128 + signal if one killed it, 127 if it was not found, 126 if it cannot be executed, 1 if the container could not be entered.",
    "Options end where COMMAND begins: `lxc-attach web1 ls -l` passes -l to ls.",
  ],
};

const namespaceNames: Readonly<Record<string, NamespaceKind>> = {
  MOUNT: "mount",
  MNT: "mount",
  PID: "pid",
  UTSNAME: "uts",
  UTS: "uts",
  IPC: "ipc",
  USER: "user",
  NETWORK: "net",
  NET: "net",
  CGROUP: "cgroup",
  TIME: "time",
};

const words = (list: string): readonly string[] =>
  list
    .split("|")
    .map((word) => word.trim())
    .filter((word) => word !== "");

/** At least one: none at all would run the command among the host's processes, with all privileges. */
export function parseNamespaces(list: string): readonly NamespaceKind[] {
  const names = words(list);
  if (names.length === 0) throw new UsageError(`"${list}" names no namespace`);
  return names.map((word) => {
    const kind =
      word === word.toUpperCase() || word === word.toLowerCase() ? namespaceNames[word.toUpperCase()] : undefined;
    if (kind === undefined) throw new UsageError(`"${word}" is no namespace`);
    return kind;
  });
}

export function parsePrivileges(list: string): AttachOptions["elevated"] {
  const names = words(list);
  const unknown = names.find((name) => name !== "CAP" && name !== "CGROUP" && name !== "LSM");
  if (unknown !== undefined) throw new UsageError(`"${unknown}" is none of the privileges CAP, CGROUP, LSM`);
  const all = names.length === 0;
  return {
    cgroup: all || names.includes("CGROUP"),
    capabilities: all || names.includes("CAP"),
    lsm: all || names.includes("LSM"),
  };
}

function elevated(options: ParsedOptions): AttachOptions["elevated"] {
  if (options.has("namespaces")) return parsePrivileges("");
  let sum = { cgroup: false, capabilities: false, lsm: false };
  for (const list of options.values("elevated-privileges")) {
    const more = parsePrivileges(list);
    sum = {
      cgroup: sum.cgroup || more.cgroup,
      capabilities: sum.capabilities || more.capabilities,
      lsm: sum.lsm || more.lsm,
    };
  }
  return sum;
}

/** All but `set` comes from the command line; `environment`: entries of a configuration given with -f. */
export function attachOptions(
  call: Pick<Call, "options" | "operands" | "caller" | "session">,
  environment: readonly string[],
): AttachOptions {
  const { options, operands } = call;
  const namespaces = options.value("namespaces");
  const architecture = options.value("arch");
  if (architecture !== null && personaOf(architecture) === undefined)
    throw new UsageError(`Invalid architecture specified: ${architecture}`);
  const elevate = elevated(options);
  const selinuxContext = options.value("context");
  if (elevate.lsm && selinuxContext !== null) {
    throw new IsletError("ISLET_BAD_REQUEST", "Cannot combine elevated LSM privileges while requesting LSM profile");
  }
  const lastEnvironment = options.given.findLast(([long]) => long === "clear-env" || long === "keep-env")?.[0];
  return {
    caller: call.caller,
    command: operands.length === 0 ? null : operands,
    environment: lastEnvironment === "clear-env" ? "clear" : "keep",
    keepNames: options.values("keep-var"),
    // LXC ignores what has no value.
    set: [...environment, ...options.values("set-var").filter((entry) => entry.indexOf("=") > 0)],
    namespaces: namespaces === null ? null : parseNamespaces(namespaces),
    elevated: elevate,
    remountSysProc: options.has("remount-sys-proc"),
    uid: unsignedOption(options, "uid"),
    gid: unsignedOption(options, "gid"),
    architecture,
    terminals: call.session.terminals,
    selinuxContext,
  };
}

/** Runs a task in the client; a program that cannot be executed in there gives 126 or 127, as shells do. */
export async function runTask(call: Call, task: ClientTask, command: string | null): Promise<number> {
  try {
    return await call.session.run(task);
  } catch (error) {
    const status = execStatus(error);
    if (status === null) throw error;
    for (const text of errorLines(error)) call.report.error(text);
    const cause = status === 127 ? "No such file or directory" : "Permission denied";
    if (command !== null) call.report.error(`${cause} - Failed to exec "${command}"`);
    return status;
  }
}

/** lxc.environment of the file given with -f; null: it cannot be used, and the user knows. */
async function rcfileEnvironment(call: Call): Promise<readonly string[] | null> {
  if (!call.options.has("rcfile")) return [];
  const loaded = await containerConfig(call, { kind: "look" });
  switch (loaded.kind) {
    case "failed":
    case "absent":
      return null;
    case "loaded":
      return (loaded.config.item("lxc.environment") ?? "").split("\n").filter((entry) => entry.includes("="));
    default:
      return unreachable(loaded);
  }
}

/** The file of -L, made or added to as LXC does it; null: it cannot be opened, and the user knows. */
function openPtyLog(call: Call, file: string): number | null {
  try {
    return openSync(call.resolve(file), constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600);
  } catch (error) {
    call.report.error(`${fileProblem(error)} - Failed to open log file "${file}"`);
    return null;
  }
}

async function body(call: Call): Promise<number> {
  attachOptions(call, []);
  const file = call.options.value("pty-log");
  if (file === null) return await attachTo(call, {});
  const terminalLog = openPtyLog(call, file);
  if (terminalLog === null) return 1;
  try {
    return await attachTo(call, { terminalLog });
  } finally {
    closeSync(terminalLog);
  }
}

async function attachTo(call: Call, log: Pick<AttachOptions, "terminalLog">): Promise<number> {
  const environment = await rcfileEnvironment(call);
  if (environment === null) return 1;
  const options = { ...attachOptions(call, environment), ...log };
  const task = await call.engine.attach(call.id, options);
  return await runTask(call, task, options.command?.[0] ?? null);
}

export const attach: Command = lxcCommand(attachTable, body);
