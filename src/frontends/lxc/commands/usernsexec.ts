import { errorLines } from "../../../base/errors.js";
import type { Caller, Command } from "../../../engine/engine.js";
import type { IdMapEntry } from "../../../spec/idmap.js";
import { execStatus } from "../errors.js";
import { type Call, lxcCommand } from "./frame.js";
import { type CommandTable, parseOptions } from "./getopt.js";
import { readNamedFile } from "./system.js";
import { option } from "./options.js";
import { userName } from "./users.js";
import { withTable } from "./tabled.js";

export const usernsexecTable: CommandTable = {
  tool: "lxc-usernsexec",
  synopsis: "[-h] [-m MAP]... [-s] [-- COMMAND...]",
  description: "Runs COMMAND, or /bin/sh, as root of a new user namespace, with a mount namespace of its own.",
  options: [
    option(
      "map",
      "map ids, as TYPE:INSIDE:OUTSIDE:COUNT with TYPE u (users), g (groups) or b (both); may be repeated",
      {
        short: "m",
        argument: "MAP",
      },
    ),
    option("map-self", "also map the caller's own user and group", { short: "s" }),
    option("help", "show the usage", { short: "h" }),
  ],
  operands: "command",
  named: false,
  notes: [
    "Without `-m`: the caller's first entries in /etc/subuid and /etc/subgid, mapped from 0.",
    "Exit status: that of COMMAND, 128 + signal if one killed it, 1 if it could not be executed or the namespace could not be made.",
  ],
};

const usage = `usage: lxc-usernsexec [-h] [-m <uid-maps>] [-s] -- [command [arg ..]]

  -h            this message
  -m <uid-maps> maps to use, may be repeated
  -s            map the caller's own ids, too

  uid-maps: [u|g|b]:ns_id:host_id:range
            [u|g|b]: user ids, group ids, or both
            ns_id: first id in the new namespace
            host_id: first id outside
            range: how many ids
`;

const maxId = 0xffff_fffe;

/** `TYPE:INSIDE:OUTSIDE:COUNT`; null: it is none. */
export function parseMap(text: string): readonly IdMapEntry[] | null {
  const match = /^([ugb]):(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text);
  if (match === null) return null;
  const [inside = 0, outside = 0, count = 0] = match.slice(2).map(Number);
  if (count < 1 || inside + count - 1 > maxId || outside + count - 1 > maxId) return null;
  const types =
    match[1] === "u" ? (["uid"] as const) : match[1] === "g" ? (["gid"] as const) : (["uid", "gid"] as const);
  return types.map((type) => ({ type, inside, outside, count, at: null }));
}

/** The first entry of a user in a text as /etc/subuid has it (subuid(5)). */
export function firstRange(text: string, user: string): { readonly outside: number; readonly count: number } | null {
  for (const line of text.split("\n")) {
    const [name, first = "", count = "", ...more] = line.trim().split(":");
    if (name !== user) continue;
    if (more.length > 0 || !/^\d{1,10}$/.test(first) || !/^\d{1,10}$/.test(count) || Number(count) < 1) return null;
    return { outside: Number(first), count: Number(count) };
  }
  return null;
}

function defaultMap(caller: Caller): readonly IdMapEntry[] | null {
  const user = userName(caller.uid);
  if (user === null) return null;
  const out: IdMapEntry[] = [];
  for (const type of ["uid", "gid"] as const) {
    const range = firstRange(readNamedFile(`/etc/sub${type}`, caller)?.text ?? "", user);
    if (range === null) return null;
    out.push({ type, inside: 0, ...range, at: null });
  }
  return out;
}

/** The caller's own ids behind what is mapped from 0 on. */
export function withSelf(map: readonly IdMapEntry[], caller: Pick<Caller, "uid" | "gid">): readonly IdMapEntry[] {
  const free = { uid: 0, gid: 0 };
  for (const { type, inside, count } of map) {
    if (free[type] >= inside && free[type] < inside + count) free[type] += count;
  }
  const own = (type: "uid" | "gid"): IdMapEntry => ({
    type,
    inside: free[type],
    outside: caller[type],
    count: 1,
    at: null,
  });
  return [...map, own("gid"), own("uid")];
}

async function body(call: Call): Promise<number> {
  const { caller, engine, operands, options, report, session } = call;
  const maps = options.values("map").map(parseMap);
  if (maps.includes(null)) {
    session.write(1, usage);
    return 1;
  }
  const given = maps.flatMap((map) => map ?? []);
  const map = given.length > 0 ? given : defaultMap(caller);
  if (map === null) {
    report.bare("Failed to find subuid or subgid allocation");
    return 1;
  }
  const command = operands.length > 0 ? operands : ["/bin/sh"];
  const task = await engine.unshare({
    caller,
    command,
    namespaces: ["user", "mount"],
    idMap: options.has("map-self") ? withSelf(map, caller) : map,
    user: { uid: 0, gid: 0 },
    hostname: null,
    interfaces: [],
    remount: false,
    detach: false,
  });
  try {
    return (await session.run(task)) >>> 22;
  } catch (error) {
    for (const text of errorLines(error)) report.error(text);
    if (execStatus(error) !== null) report.error(`Failed to execute "${command[0] ?? ""}"`);
    return 1;
  }
}

const command = lxcCommand(usernsexecTable, body);

/** Its usage goes to standard output, unlike that of the other commands. */
export const usernsexec: Command = withTable(usernsexecTable, async (session, engine) => {
  const parsed = parseOptions(usernsexecTable, session.argv.slice(1));
  if (parsed.kind === "problem") {
    session.write(2, `lxc-usernsexec: ${parsed.text}\n`);
    session.write(1, usage);
    return 1;
  }
  if (parsed.options.has("help")) {
    session.write(1, usage);
    return 0;
  }
  return await command(session, engine);
});
