import { readFileSync, statSync } from "node:fs";
import { errorLines, IsletError } from "../../../base/errors.js";
import { nameProblem } from "../../../spec/name.js";
import type { AttachOptions, Command, ContainerId } from "../../../engine/engine.js";
import { mountEntries } from "./copy-mounts.js";
import { makeCopy } from "./copy.js";
import { plainCopy, quickest } from "./copy-work.js";
import { type Original, randomName, readOriginal } from "./copied.js";
import { joinConsole } from "./console.js";
import { isPlainFile, plainAttach, runInCopy, startCopy } from "./ephemeral.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonGroup, commonOptions, option } from "./options.js";

const ownOptions = new Set(["name", "logfile"]);

export const startEphemeralTable: CommandTable = {
  tool: "lxc-start-ephemeral",
  synopsis: "-o ORIGINAL [OPTION...] [-- COMMAND...]",
  description:
    "Starts a copy of a container that is gone when it stops, and runs COMMAND in it or joins the terminal with it. A command of LXC before 2.0; today's is lxc-copy -e.",
  options: [
    option("orig", "the container to copy", { short: "o", argument: "ORIGINAL" }),
    option("name", "name of the copy (default: ORIGINAL-XXXXXX)", { short: "n", argument: "NAME" }),
    option("bdir", "a user of the host, who is a user of the copy with the same home, or a directory to mount", {
      short: "b",
      argument: "USER|DIR",
    }),
    option("user", "run COMMAND as this user of the container", { short: "u", argument: "USER" }),
    option("ssh-key", "accepted; COMMAND is run without ssh", { short: "S", argument: "KEY" }),
    option("daemon", "return when the copy runs", { short: "d" }),
    option("storage-type", "tmpfs (default) or dir: where the changes are kept", { short: "s", argument: "TYPE" }),
    option("union-type", "overlayfs, as there is nothing else", { short: "U", argument: "TYPE" }),
    option("keep-data", "keep the copy, with its changes, when it stops", { short: "k" }),
    ...commonOptions.filter(({ long }) => !ownOptions.has(long)),
    option("logfile", "also write messages to FILE", { argument: "FILE", group: commonGroup }),
  ],
  operands: "command",
  named: false,
  notes: [
    "With -b USER the user's home is there, and the user with the same number, name and shell; COMMAND is run as that user, unless -u names another.",
    "Exit status: that of COMMAND; 0 without one; 1 with a line on standard error if the copy could not be made or started.",
  ],
};

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** A user of the host's; null: there is none of that name. */
function account(name: string): Account | null {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((each) => each.startsWith(`${name}:`));
  const fields = line?.split(":") ?? [];
  const [, , uid = "", gid = "", , home = "", shell = ""] = fields;
  if (!/^\d{1,10}$/.test(uid) || !/^\d{1,10}$/.test(gid) || !home.startsWith("/")) return null;
  return { name, uid: Number(uid), gid: Number(gid), home, shell };
}

/** As the ubuntu template's -b: the account is there, and without a password of the container's own. */
const addAccount = `
grep -q "^$1:" /etc/group 2>/dev/null || printf '%s:x:%s:\\n' "$1" "$3" >> /etc/group
[ -x "$5" ] || set -- "$1" "$2" "$3" "$4" /bin/sh
grep -q "^$1:" /etc/passwd 2>/dev/null || printf '%s:x:%s:%s::%s:%s\\n' "$1" "$2" "$3" "$4" "$5" >> /etc/passwd
[ ! -f /etc/shadow ] || grep -q "^$1:" /etc/shadow || printf '%s:*:19000:0:99999:7:::\\n' "$1" >> /etc/shadow
`;

interface Bound {
  readonly directory: string;
  readonly user: Account | null;
}

function bound(text: string): Bound {
  const root = (): IsletError =>
    new IsletError(
      "ISLET_BAD_REQUEST",
      `${text} stands for the host's whole file system: it is not mounted over the container's`,
    );
  if (/^\/+$/.test(text)) throw root();
  if (text.startsWith("/")) {
    if (statSync(text, { throwIfNoEntry: false }) === undefined)
      throw new IsletError("ISLET_BAD_REQUEST", `there is no directory ${text}`);
    return { directory: text, user: null };
  }
  const user = account(text);
  if (user === null) throw new IsletError("ISLET_BAD_REQUEST", `the host has no user ${text}`);
  if (/^\/+$/.test(user.home)) throw root();
  return { directory: user.home, user };
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Who runs the command. */
function attachAs(command: readonly string[], user: string | null, own: Account | null): AttachAs {
  if (user !== null && user !== own?.name)
    // In one word: busybox takes any option on the line for its own.
    return plainAttach(["su", "-s", "/bin/sh", "-c", `exec ${command.map(quoted).join(" ")}`, user]);
  if (own === null) return plainAttach(command);
  const { name, home, shell, uid, gid } = own;
  const set = [`HOME=${home}`, `USER=${name}`, `LOGNAME=${name}`, `SHELL=${shell}`];
  return { ...plainAttach(command), uid, gid, set };
}

type AttachAs = Omit<AttachOptions, "caller" | "terminals">;

function check(call: Call): string {
  const { options } = call;
  const original = options.value("orig");
  if (original === null) throw new UsageError("No original container specified: -o ORIGINAL");
  const union = options.value("union-type") ?? "overlayfs";
  if (!["overlay", "overlayfs"].includes(union))
    throw new IsletError("ISLET_UNSUPPORTED", `no kernel of today has ${union}: leave -U out`);
  const storage = options.value("storage-type") ?? "tmpfs";
  if (!["tmpfs", "dir"].includes(storage)) throw new UsageError(`"${storage}" is no storage type: tmpfs and dir are`);
  const problem = nameProblem(original) ?? nameProblem(options.value("name") ?? "x");
  if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
  return original;
}

/** What is no directory cannot be below an overlay. */
const isDevice = ({ spec }: Original): boolean => !["dir", "btrfs", "overlay"].includes(spec.rootfs.source.kind);

async function body(call: Call): Promise<number> {
  const { options, session, operands } = call;
  const name = check(call);
  const keep = options.has("keep-data");
  const { storePath } = call.id;
  try {
    const binding = options.value("bdir") === null ? null : bound(options.value("bdir") ?? "");
    const original = await readOriginal(call.engine, call.caller, { storePath, name });
    const target: ContainerId = {
      storePath,
      name: options.value("name") ?? randomName(name).replace(/_(?=[^_]*$)/, "-"),
    };
    const directory = binding?.directory ?? "";
    const mounts =
      binding === null ? [] : [{ kind: "bind" as const, source: directory, target: directory, options: "rw" }];
    const { entries } = mountEntries(mounts, "", isPlainFile, () => "");
    await makeCopy(call, original, {
      ...plainCopy,
      target,
      how:
        keep || options.value("storage-type") === "dir" || isDevice(original)
          ? quickest(original)
          : { tmpfs: { bytes: null } },
      added: [
        ...(keep ? [] : ([["lxc.ephemeral", "1"]] as const)),
        ...entries.map((entry) => ["lxc.mount.entry", entry] as const),
      ],
      allowRunning: true,
    });
    const own: Call = { ...call, id: target };
    if (!(await startCopy(own, target, false))) return 1;
    const user = binding?.user ?? null;
    if (user !== null) await tellUser(own, user);
    if (operands.length > 0) return await runInCopy(own, target, attachAs(operands, options.value("user"), user), keep);
    session.write(1, `${target.name} is running\n`);
    session.write(1, `You connect with the command:\n    sudo lxc-console -n ${target.name}\n`);
    if (options.has("daemon")) return 0;
    try {
      await joinConsole(own);
    } finally {
      await call.engine.stop(target, { kind: "clean", timeout: 10_000, noKill: false }).catch(() => undefined);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    for (const text of errorLines(error)) call.report.error(text);
    return 1;
  }
}

/** The container has the user from now on. */
async function tellUser(call: Call, user: Account): Promise<void> {
  const words = [user.name, String(user.uid), String(user.gid), user.home, user.shell];
  const task = await call.engine.attach(call.id, {
    ...plainAttach(["/bin/sh", "-c", addAccount, "sh", ...words]),
    caller: call.caller,
    terminals: [false, false, false],
  });
  const status = await call.runUnseen(task);
  if (status !== 0) call.report.notice(`the user ${user.name} could not be made known in ${call.id.name}`);
}

export const startEphemeral: Command = lxcCommand(startEphemeralTable, body);
