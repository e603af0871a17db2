import { IsletError } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { type Call, lxcCommand, reportFailure, UsageError } from "./frame.js";
import { rcfileIsGood } from "./freeze.js";
import type { CommandTable } from "./getopt.js";
import { tellHintFor } from "./hints.js";
import { commonOptions, rcfileOption } from "./options.js";

export const cgroupTable: CommandTable = {
  tool: "lxc-cgroup",
  synopsis: "--name=NAME FILE [VALUE]",
  description:
    "Shows or sets a value of a running container's cgroup, by the kernel's name of its file: cpuset.cpus, memory.max.",
  options: [...commonOptions, rcfileOption],
  operands: "any",
  named: true,
  containers: "running",
  notes: [
    "A value that begins with - goes behind --. What is set lasts until the container ends.",
    "A name of the other cgroup version than the one that the host has the controller on is translated where something corresponds to it: `memory.limit_in_bytes` and `memory.max`, `cpu.shares` and `cpu.weight`, `freezer.state` and `cgroup.freeze`, and others.",
    "`devices.allow`, `devices.deny` and `devices.list` work on cgroup v2, too, which has no such files: the container's device program is replaced by one with the rule; a path such as `/dev/fuse rw` will do there.",
    "Freezing and thawing in this way changes the container's state, as lxc-freeze does.",
    "A value is printed as the kernel gives it, and an empty line behind it, as LXC does. Exit status: 0, or 1 for failure.",
  ],
};

async function body(call: Call): Promise<number> {
  const { engine, id, operands, report, session } = call;
  const [item, value] = operands;
  if (item === undefined) throw new UsageError("");
  if (!(await rcfileIsGood(call))) return 1;
  try {
    if (value === undefined) session.write(1, `${await engine.cgroupItem(id, item)}\n`);
    else await Promise.race([engine.setCgroupItem(id, item, value), session.gone]);
    return 0;
  } catch (error) {
    const status = reportFailure(call, error);
    if (error instanceof IsletError && error.code !== "ISLET_NOT_RUNNING") {
      report.error(
        value === undefined
          ? `Failed to retrieve value of '${item}' for '${id.storePath}:${id.name}'`
          : `Failed to assign '${value}' value to '${item}' for '${id.name}'`,
      );
    }
    await tellHintFor(call, error);
    return status;
  }
}

export const cgroup: Command = lxcCommand(cgroupTable, body);
