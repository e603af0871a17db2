import { readFileSync, statSync } from "node:fs";
import { errorLines, IsletError } from "../../../base/errors.js";
import { type Command, noSuchContainer } from "../../../engine/engine.js";
import { fileProblem } from "./container-config.js";
import { chosenOriginal } from "./copied.js";
import { rcfileIsGood } from "./freeze.js";
import { type Call, jsonText, lxcCommand, outputFormat, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { heardBy } from "./hearing.js";
import { commonOptions, formatOption, option, rcfileOption } from "./options.js";
import { bringBack, copySnapshot, removeSnapshots, takeSnapshot } from "./snapshot-work.js";

export const snapshotTable: CommandTable = {
  tool: "lxc-snapshot",
  synopsis: "--name=NAME [-c FILE] | -L [-C] | -r SNAPSHOT [-N NEWNAME] | -d SNAPSHOT",
  description: "Puts a stopped container aside as it is now; lists, brings back and removes what was put aside.",
  options: [
    option("list", "list the snapshots", { short: "L" }),
    option("restore", "make the container what the snapshot is; with -N: make another one of it", {
      short: "r",
      argument: "SNAPSHOT",
    }),
    option("newname", "name of the container that -r makes", { short: "N", argument: "NEWNAME" }),
    option("destroy", "remove a snapshot, or ALL", { short: "d", argument: "SNAPSHOT" }),
    option("comment", "keep FILE with the new snapshot", { short: "c", argument: "FILE" }),
    option("showcomments", "list them with what was kept", { short: "C" }),
    formatOption,
    ...commonOptions,
    rcfileOption,
  ],
  operands: "any",
  named: true,
  notes: [
    "A snapshot is called snapN, N the lowest free number, and lies in STORE/NAME/snaps. Directories are copied whole (in an instant where the file system shares data); subvolumes, overlays, volumes of a thin pool and ZFS data sets get snapshots of their own. An ordinary LVM volume is copied whole, since its snapshots would go with it.",
    "-r looks at everything before it changes anything: the new root file system is put together beside the old one, then they change places. Killed in the middle, the container is either the old one or the new one. It is refused while a snapshot needs the volume or data set that would go; -N works.",
    "Exit status: 0; 1 with a line on standard error.",
  ],
};

/** Files of -c are no longer than this, bytes. */
const mostComment = 1024 * 1024;

function commentOf(call: Call): Uint8Array | null {
  const given = call.options.value("comment");
  if (given === null) return null;
  const file = call.resolve(given);
  try {
    const { size } = statSync(file);
    if (!statSync(file).isFile() || size > mostComment)
      throw new IsletError("ISLET_BAD_REQUEST", `the comment ${given} is not a plain file of at most 1 MiB`);
    return readFileSync(file);
  } catch (error) {
    if (error instanceof IsletError) throw error;
    throw new IsletError("ISLET_BAD_REQUEST", `the comment ${given} cannot be read: ${fileProblem(error)}`);
  }
}

async function take(call: Call): Promise<void> {
  const { engine, id, report } = call;
  const comment = commentOf(call);
  const original = await chosenOriginal(call);
  const { about, waiting } = heardBy(call, `putting ${id.name} aside`);
  const name = await call.progress.during(about, takeSnapshot(engine, original, { name: null, comment }, waiting));
  report.info(`made ${name}`);
}

async function list(call: Call): Promise<void> {
  const { engine, id, session, options } = call;
  const found = await engine.snapshots(id);
  if (outputFormat(options) === "json") {
    session.write(1, jsonText(found));
    return;
  }
  if (found.length === 0) session.write(1, "No snapshots\n");
  for (const { name, storePath, made, comment } of found) {
    session.write(1, `${name} (${storePath})${made === null ? "" : ` ${made}`}\n`);
    if (options.has("showcomments") && comment !== null && comment !== "")
      session.write(1, comment.endsWith("\n") ? comment : `${comment}\n`);
  }
}

async function restore(call: Call, name: string): Promise<void> {
  const { engine, id, options } = call;
  const newName = options.value("newname");
  const { about, waiting } = heardBy(call, `bringing ${name} of ${id.name} back`);
  const work =
    newName !== null && newName !== id.name
      ? copySnapshot(engine, id, name, { storePath: id.storePath, name: newName }, waiting)
      : bringBack(engine, id, name, waiting);
  await call.progress.during(about, work);
}

async function remove(call: Call, name: string): Promise<void> {
  const { engine, caller, id, report } = call;
  if (name === "ALL" && (await engine.snapshots(id)).length === 0)
    throw new IsletError("ISLET_BAD_REQUEST", `${id.name} has no snapshots`);
  let what = `removing ${name} of ${id.name}`;
  const removing = (each: string): void => {
    what = `removing ${each} of ${id.name}`;
  };
  const work = removeSnapshots(engine, id, name === "ALL" ? null : name, caller, { removing, notice: report.notice });
  await call.progress.during(() => ({ what }), work);
}

async function body(call: Call): Promise<number> {
  const { options, engine, id, report } = call;
  const actions = ["list", "restore", "destroy"].filter((long) => options.has(long));
  if (actions.length > 1) throw new UsageError(`only one of ${actions.map((long) => `--${long}`).join(" and ")}`);
  if (options.has("newname") && !options.has("restore")) throw new UsageError("-N names what -r makes: add -r");
  if (!(await rcfileIsGood(call))) return 1;
  try {
    if ((await engine.readConfig(id)) === null) throw noSuchContainer(id);
    const [restored, destroyed] = [options.value("restore"), options.value("destroy")];
    if (restored !== null) await restore(call, restored);
    else if (destroyed !== null) await remove(call, destroyed);
    else if (options.has("list") || options.has("showcomments")) await list(call);
    else await take(call);
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    for (const text of errorLines(error)) report.error(text);
    return 1;
  }
}

export const snapshot: Command = lxcCommand(snapshotTable, body);
