import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "../../../engine/engine.js";
import { toFailure } from "../errors.js";
import { signalOf } from "../commands/gone.js";
import { withProgress } from "../commands/progress.js";
import { builtinTemplates, type TemplateHost } from "./builtin.js";

/** The value of --NAME in a template's words. */
function valueOf(words: readonly string[], name: string): string | null {
  const at = words.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  const word = words[at];
  if (word === undefined) return null;
  return word === `--${name}` ? (words[at + 1] ?? null) : word.slice(name.length + 3);
}

/** A template called by itself, as /usr/lib/lxc/templates/lxc-NAME could be: `lxc-debian --clean`, or with all that lxc-create gives it. */
export function directTemplate(name: string): Command {
  return async (raw, engine) => {
    const { session, progress } = withProgress(raw, false);
    const { caller } = session;
    const write: TemplateHost["write"] = (descriptor, text) => {
      session.write(descriptor, text);
    };
    const argv = session.argv.slice(1);
    const signal = signalOf(session.gone);
    let what = name;
    const host: TemplateHost = {
      caller,
      write,
      run: (task) => raw.run(task),
      quiet: false,
      progress: (text) => {
        what = text;
      },
      signal,
    };
    const rootfs = valueOf(argv, "rootfs");
    const path = valueOf(argv, "path");
    try {
      if (path !== null && !argv.includes("-h") && !argv.includes("--help"))
        await mkdir(resolve(caller.cwd, rootfs ?? `${path}/rootfs`), { recursive: true });
      const template = await builtinTemplates[name]?.();
      const work = template?.({ argv, host, engine, idmap: [], root: null }) ?? Promise.resolve();
      await Promise.race([progress.during(() => ({ what }), work), session.gone]);
      return 0;
    } catch (error) {
      const place = { tool: `lxc-${name}`, name: valueOf(argv, "name") ?? "", store: path ?? "" };
      const failure = toFailure(error, place);
      for (const line of failure.lines) write(2, `${line.bare === true ? "" : `lxc-${name}: `}${line.text}\n`);
      return failure.status;
    }
  };
}
