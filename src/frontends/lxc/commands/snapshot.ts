import { readFileSync, statSync } from "node:fs";
import { errorLines, IsletError } from "../../../base/errors.js";
import { nameProblem } from "../../../spec/name.js";
import { type Command, type ContainerId, noSuchContainer, type SnapshotStatus } from "../../../engine/engine.js";
import { fileProblem } from "./container-config.js";
import { chosenOriginal, configFor, type NewConfig, readOriginal, storageDefaults } from "./copied.js";
import { makeCopy } from "./copy.js";
import { rcfileIsGood } from "./freeze.js";
import { signalOf } from "./gone.js";
import { destroySpec } from "./destroy.js";
import { type Call, jsonText, lxcCommand, outputFormat, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, formatOption, option, rcfileOption } from "./options.js";

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

const keepsAll = (call: Call): NewConfig => ({
  purpose: "keep",
  hostname: null,
  keepMac: true,
  idmap: null,
  added: [],
  notice: call.report.notice,
});

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
  const { engine, caller, id, session, report } = call;
  const comment = commentOf(call);
  const original = await chosenOriginal(call);
  let what = `putting ${id.name} aside`;
  const taking = engine.snapshot(original.spec, (snapshot) => ({
    caller,
    storageDefaults: storageDefaults(caller),
    comment,
    config: configFor(original, snapshot, keepsAll(call)),
    progress: (text) => {
      what = text;
    },
    notice: report.notice,
    signal: signalOf(session.gone),
  }));
  const name = await call.progress.during(() => ({ what }), taking);
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

/** ISLET_NOT_FOUND with those that there are. */
async function find(call: Call, name: string): Promise<SnapshotStatus> {
  const all = await call.engine.snapshots(call.id);
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = all.map((one) => one.name).join(", ");
  throw new IsletError("ISLET_BAD_REQUEST", `${call.id.name} has no snapshot ${name}`, {
    hint: names === "" ? "it has none at all" : `there are ${names}`,
  });
}

async function restore(call: Call, name: string): Promise<void> {
  const { engine, caller, id, options, session, report } = call;
  const snapshot = await find(call, name);
  const original = await readOriginal(engine, caller, snapshot);
  const newName = options.value("newname");
  if (newName !== null && newName !== id.name) {
    const problem = nameProblem(newName);
    if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
    const target: ContainerId = { storePath: id.storePath, name: newName };
    await makeCopy(call, original, {
      target,
      how: original.spec.rootfs.source.kind === "overlay" ? "snapshot" : "copy",
      storage: null,
      added: [],
      directories: [],
      size: null,
      fstype: null,
      volumeGroup: null,
      hookArguments: [],
      idmap: null,
      allowRunning: false,
      keepName: false,
      keepMac: false,
    });
    return;
  }
  const current = await readOriginal(engine, caller, id);
  let what = `bringing ${name} of ${id.name} back`;
  const restoring = engine.restore(current.spec, original.spec, {
    caller,
    storageDefaults: storageDefaults(caller),
    config: configFor(original, id, keepsAll(call)),
    progress: (text) => {
      what = text;
    },
    notice: report.notice,
    signal: signalOf(session.gone),
  });
  await call.progress.during(() => ({ what }), restoring);
}

async function remove(call: Call, name: string): Promise<void> {
  const { engine, caller, report } = call;
  const wanted = name === "ALL" ? await engine.snapshots(call.id) : [await find(call, name)];
  if (wanted.length === 0) throw new IsletError("ISLET_BAD_REQUEST", `${call.id.name} has no snapshots`);
  for (const snapshot of wanted) {
    const spec = await destroySpec(snapshot, caller, engine, report.notice);
    await call.progress.during(
      { what: `removing ${snapshot.name} of ${call.id.name}` },
      engine.destroy(snapshot, spec, caller),
    );
  }
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
