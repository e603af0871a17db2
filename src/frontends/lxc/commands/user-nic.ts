import { errorLines, IsletError } from "../../../base/errors.js";
import { showFault } from "../../../base/source.js";
import type { Command, CommandSession, Engine } from "../../../engine/engine.js";
import type { CommandTable } from "./getopt.js";
import { withTable } from "./tabled.js";

export const userNicTable: CommandTable = {
  tool: "lxc-user-nic",
  synopsis: "create LXCPATH NAME PID veth BRIDGE [IFNAME] | delete LXCPATH NAME NETNS veth BRIDGE HOSTNIC",
  description:
    "Gives a network namespace of the caller's a nic on a bridge of the host's, or takes it away: as much as lxc-usernet(5) grants a user who is not root.",
  options: [],
  operands: "any",
  named: false,
  notes: [
    "PID is a process in the namespace, which must be the caller's: it belongs to a user namespace that the caller has made (root: any but the host's). IFNAME is the nic's name in there, by default the first of eth0, eth1 ... that is free. The host's end, vethUID_XXXX, is up and on BRIDGE, with its MTU; with the word none for BRIDGE it is on nothing. lxcbr0 is made when it is not there, as by a start. LXCPATH and NAME mean nothing.",
    "/etc/lxc/lxc-usernet has a line `USER veth BRIDGE COUNT` or `@GROUP veth BRIDGE COUNT` for each grant. Users and groups are those of /etc/passwd and /etc/group. A nic counts towards the first line of the user or its groups, for that bridge, that has room left; what a group has, its users have together. /run/lxc/nics says what is in use, in LXC's format and with its lock: LXC's own lxc-user-nic may be used beside islet's.",
    "`create` prints `IFNAME:INDEX:HOSTNIC:INDEX`. `delete` takes a nic away that is accounted to the caller or one of its groups and whose inner end is in NETNS, /proc/PID/ns/net.",
    "islet's has no setuid bit: the daemon answers users at a socket of its own that takes this one question. A user who is not root cannot start the daemon.",
    "Exit status: 0; 1 on failure.",
  ],
};

const usage = `Description:
  Manage nics in another network namespace

Usage:
  lxc-user-nic [command]

Available Commands:
  create {lxcpath} {name} {pid} {type} {bridge} {container nicname}
  delete {lxcpath} {name} {/proc/<pid>/ns/net} {type} {bridge} {container nicname}
`;

type Work = (session: CommandSession, engine: Engine, words: readonly string[]) => Promise<void>;

const create: Work = async (session, engine, [, , pid = "", type = "", bridge = "", name]) => {
  if (!/^\d{1,10}$/.test(pid)) throw new IsletError("ISLET_BAD_REQUEST", `Could not read pid: ${JSON.stringify(pid)}`);
  checkType(type);
  const made = await engine.addUserNic({
    user: { uid: session.caller.uid },
    pid: Number(pid),
    bridge,
    name: name ?? null,
  });
  // LXC's lxc-start reads this line, from standard error as well: on success there must be no other.
  session.write(1, `${made.name}:${made.index}:${made.hostName}:${made.hostIndex}\n`);
};

const remove: Work = async ({ caller }, engine, [, , netns = "", type = "", bridge = "", hostName = ""]) => {
  const pid = /^\/proc\/(\d{1,10}|self)\/ns\/net$/.exec(netns)?.[1];
  if (pid === undefined)
    throw new IsletError("ISLET_BAD_REQUEST", `Failed while opening netns file for ${JSON.stringify(netns)}`, {
      hint: "/proc/PID/ns/net is one",
    });
  checkType(type);
  await engine.removeUserNic({
    user: { uid: caller.uid },
    pid: pid === "self" ? caller.pid : Number(pid),
    bridge,
    hostName,
  });
};

function checkType(type: string): void {
  if (type !== "veth")
    throw new IsletError("ISLET_BAD_REQUEST", "Quota reached", {
      hint: `${JSON.stringify(type)} is no type of nic that users can make: only veth is`,
    });
}

const verbs: Readonly<Record<string, Work>> = { create, delete: remove };

/** It takes no option: a word that begins with a dash is a word. */
export const userNic: Command = withTable(userNicTable, async (session, engine) => {
  const [tool = "lxc-user-nic", verb = "", ...words] = session.argv;
  const work = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (work === undefined || words.length < 5 || words.length > 6) {
    session.write(2, usage);
    return 1;
  }
  try {
    await work(session, engine, words);
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    for (const line of errorLines(error)) session.write(2, `${tool}: ${line}\n`);
    // Perhaps the line that should have granted it is one of these.
    if (error.code === "ISLET_BUSY")
      for (const fault of (await engine.nicGrants()).faults) session.write(2, `${tool}: ${showFault(fault)}\n`);
    return 1;
  }
});
