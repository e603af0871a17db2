import { errorLines } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { execStatus } from "../errors.js";
import { parseNamespaces } from "./attach.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";
import { findUser } from "./users.js";

export const unshareTable: CommandTable = {
  tool: "lxc-unshare",
  synopsis: "-s NAMESPACES [OPTION...] [--] COMMAND...",
  description: "Runs COMMAND in new namespaces.",
  options: [
    option("namespaces", "new namespaces, |-joined: MOUNT PID UTSNAME IPC USER NETWORK CGROUP TIME", {
      short: "s",
      argument: "FLAGS",
    }),
    option("user", "run as this user; with USER the caller's own id is mapped to it", { short: "u", argument: "USER" }),
    option("hostname", "set this host name; needs UTSNAME", { short: "H", argument: "NAME" }),
    option("ifname", "move this interface into the new network namespace; may be repeated; needs NETWORK", {
      short: "i",
      argument: "INTERFACE",
    }),
    option("daemon", "return when COMMAND runs", { short: "d" }),
    option("remount", "mount /proc, /dev/shm and /dev/mqueue anew; needs MOUNT", { short: "M" }),
    ...commonOptions,
    rcfileOption,
  ],
  operands: "command",
  named: false,
  notes: [
    "Exit status: 0 when COMMAND ended with 0 (with -d: when it runs), otherwise 1.",
    "Options end where COMMAND begins. Mounts made in a new mount namespace do not reach the host.",
    "An interface that cannot be moved is an error, and COMMAND is not run.",
  ],
};

/** Exit status and pid of what the engine's `unshare` ran, by the task's result. */
const resultOf = (result: number): { readonly status: number; readonly pid: number } => ({
  status: result >>> 22,
  pid: result & 0x3fffff,
});

async function body(call: Call): Promise<number> {
  const { caller, engine, operands, options, report, session } = call;
  const list = options.value("namespaces");
  // LXC does not tell an empty list from none.
  const namespaces = list === null || list === "" ? null : [...new Set(parseNamespaces(list))];
  const name = options.value("user");
  const uid = name === null ? null : findUser(name);
  if (name !== null && uid === null) throw new UsageError(`there is no user ${name}`);
  const hostname = options.value("hostname");
  const interfaces = options.values("ifname");
  const refuse = (text: string): number => {
    report.error(text);
    return 1;
  };
  if (operands.length === 0) return refuse("A command to execute in the new namespace is required");
  if (namespaces === null) return refuse("A namespace to execute command is required");
  if (interfaces.length > 0 && !namespaces.includes("net")) return refuse("-i <interfacename> needs -s NETWORK option");
  if (hostname !== null && !namespaces.includes("uts")) return refuse("-H <hostname> needs -s UTSNAME option");
  const remount = options.has("remount");
  if (remount && !namespaces.includes("mount")) return refuse("-M needs -s MOUNT option");

  const detach = options.has("daemon");
  const isMapped = uid !== null && namespaces.includes("user");
  const task = await engine.unshare({
    caller,
    command: operands,
    namespaces,
    idMap: isMapped ? [{ type: "uid", inside: uid, outside: caller.uid, count: 1, at: null }] : [],
    user: uid === null ? null : { uid, gid: null },
    hostname,
    interfaces,
    remount,
    detach,
  });
  try {
    const { status, pid } = resultOf(await session.run(task));
    if (detach || status === 0) return 0;
    report.error(`Failed to wait for '${pid}'`);
    report.info(`the command ended with status ${status}`);
    return 1;
  } catch (error) {
    for (const text of errorLines(error)) report.error(text);
    if (execStatus(error) !== null) report.error(`Failed to exec: '${operands[0] ?? ""}'`);
    return 1;
  }
}

export const unshare: Command = lxcCommand(unshareTable, body);
