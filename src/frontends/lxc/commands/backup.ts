import { errorLines, IsletError } from "../../../base/errors.js";
import { nameProblem } from "../../../spec/name.js";
import type { Command, ContainerId } from "../../../engine/engine.js";
import { readOriginal } from "./copied.js";
import { signalOf } from "./gone.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, option } from "./options.js";

const notes = [
  "A container that runs is frozen while it is copied. The copy of before is replaced when the new one is whole.",
  "Commands of Ubuntu's packages in 2013; lxc-snapshot does more.",
  "Exit status: 0; 1 if there was an error with any of them.",
];

const common = commonOptions.filter(({ long }) => long !== "name");

export const backupTable: CommandTable = {
  tool: "lxc-backup",
  synopsis: "[NAME...]",
  description:
    "Copies root file systems that are directories to STORE/NAME/rootfs.backup.1: of the containers named, or of all.",
  options: [option("name", "a container, as NAME alone", { short: "n", argument: "NAME" }), ...common],
  operands: "any",
  named: false,
  notes,
};

export const restoreTable: CommandTable = {
  ...backupTable,
  tool: "lxc-restore",
  synopsis: "[NAME...]",
  description:
    "Brings back what lxc-backup has copied: of the containers named, or of all that have a backup and do not run.",
  notes: [
    "The backup is looked at and copied first; then it takes the place of the root file system at once. It stays for another time.",
    ...notes.slice(1),
  ],
};

/** Named ones, or all; with all, what cannot be done for one is told and no error. */
async function each(
  call: Call,
  doing: string,
  skip: readonly string[],
  work: (id: ContainerId) => Promise<void>,
): Promise<number> {
  const { options, operands, engine, report } = call;
  const given = [...options.values("name"), ...operands];
  const { storePath } = call.id;
  const names = given.length > 0 ? given : await engine.defined(storePath);
  let status = 0;
  for (const name of names) {
    const problem = nameProblem(name);
    try {
      if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
      await call.progress.during({ what: `${doing} ${name}` }, work({ storePath, name }));
    } catch (error) {
      if (!(error instanceof IsletError)) throw error;
      if (given.length === 0 && skip.includes(error.code)) {
        report.notice(`${name} is left out: ${error.message}`);
        continue;
      }
      for (const text of errorLines(error)) report.error(text);
      status = 1;
    }
  }
  return status;
}

export const backup: Command = lxcCommand(backupTable, (call) =>
  each(call, "backing up", ["ISLET_UNSUPPORTED", "ISLET_NO_ROOTFS"], async (id) => {
    const { spec } = await readOriginal(call.engine, call.caller, id);
    await call.engine.backUp(spec, { signal: signalOf(call.session.gone) });
  }),
);

export const restore: Command = lxcCommand(restoreTable, (call) =>
  each(call, "restoring", ["ISLET_UNSUPPORTED", "ISLET_BAD_REQUEST", "ISLET_RUNNING"], async (id) => {
    const { spec } = await readOriginal(call.engine, call.caller, id);
    await call.engine.restoreBackup(spec, { signal: signalOf(call.session.gone) });
  }),
);
