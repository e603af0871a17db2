import { isAbsolute } from "node:path";
import { errorLines } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { type Call, lxcCommand } from "./frame.js";
import { rcfileIsGood } from "./freeze.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, rcfileOption } from "./options.js";

export const deviceTable: CommandTable = {
  tool: "lxc-device",
  synopsis: "--name=NAME [--] add|del DEVICE [NAME-INSIDE]",
  description: "Puts a device or network interface of the host into a running container, or takes it out.",
  options: [...commonOptions, rcfileOption],
  operands: "any",
  named: true,
  notes: [
    "`add`: DEVICE is a device node of the host, which is made inside (in place of what is there) and permitted, or an interface, which moves inside and is down there. `del` undoes that; for an interface NAME-INSIDE is then the name it gets on the host.",
    "In a container with an id map, where a node that is made inside could not be opened, one that belongs to the container's root is bound there.",
    "What is permitted or not in this way lasts until the container stops or reboots.",
  ],
};

async function body(call: Call): Promise<number> {
  const { caller, engine, id, operands, report, session } = call;
  const refuse = (text: string): number => {
    report.error(text);
    return 1;
  };
  if (caller.uid !== 0) return refuse("lxc-device must be run as root");
  if (!(await rcfileIsGood(call))) return 1;
  if ((await engine.status(id)).state === "STOPPED") return refuse(`Container ${id.name} is not running`);
  const [word = "", device, inside] = operands;
  if (device === undefined) return refuse("Error: no command given (Please see --help output)");
  const action = word === "" ? undefined : (["add", "del"] as const).find((known) => known.startsWith(word));
  if (action === undefined) return refuse("Error: Please use add or del (Please see --help output)");
  try {
    // A name without slash may be that of an interface; a path inside is the same path.
    const source = device.includes("/") && !isAbsolute(device) ? call.resolve(device) : device;
    const task = await engine.changeDevice(id, { caller, action, source, destination: inside ?? source });
    if (task !== null) {
      const result = session.run(task.task);
      task.handedOver();
      await result;
      task.done();
    }
    return 0;
  } catch (error) {
    for (const text of errorLines(error)) report.error(text);
    return refuse(
      action === "add" ? `Failed to add ${device} to ${id.name}` : `Failed to del ${device} from ${id.name}`,
    );
  }
}

export const device: Command = lxcCommand(deviceTable, body);
