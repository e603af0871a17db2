import { errorLines } from "../../../base/errors.js";
import type { Command, CommandSession } from "../../../engine/engine.js";
import { findVerb, isletHelp, unknownVerb } from "./islet/help.js";
import { isletVersion } from "./options.js";

export type CommandLoaders = Readonly<Record<string, () => Promise<Command>>>;

/** The same session under another name. */
const renamed = (session: CommandSession, argv: readonly string[]): CommandSession => ({ ...session, argv });

/** `islet`: commands by verb. Those of islet alone come first; `islet start` and `islet lxc-start` are lxc-start. */
export function islet(loaders: CommandLoaders): Command {
  return async (session, engine) => {
    const [, verb, ...rest] = session.argv;
    switch (verb) {
      case undefined:
        session.write(2, await isletHelp(loaders));
        return 1;
      case "--help":
      case "-h":
        session.write(1, await isletHelp(loaders));
        return 0;
      case "--version":
        session.write(1, `islet ${isletVersion}\n`);
        return 0;
      default:
        break;
    }
    const found = findVerb(verb, loaders);
    if (found === null) {
      session.write(2, `islet: ${unknownVerb(verb, loaders)}\n`);
      return 1;
    }
    let command: Command;
    try {
      command = await found.load();
    } catch (error) {
      for (const text of errorLines(error)) session.write(2, `islet: ${text}\n`);
      return 1;
    }
    return await command(renamed(session, [found.name, ...rest]), engine);
  };
}
