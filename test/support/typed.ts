import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { openTerminal, readAvailable } from "./client.js";
import { endGroup } from "./side.js";

export type Typed = readonly (readonly [when: RegExp, text: string])[];

/** A command in a session of its own with a controlling terminal, before which somebody types: each text as soon as the screen matches. */
export async function underTerminal(
  argv: readonly string[],
  types: Typed,
  { cwd, env, limit }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly limit: number },
): Promise<{ readonly screen: string; readonly status: number | null }> {
  const undo: (() => void | Promise<void>)[] = [];
  const terminal = openTerminal({ after: (body) => void undo.push(body) });
  terminal.resize(24, 80);
  try {
    const { slave } = terminal;
    const child = spawn("setsid", ["-c", "-w", ...argv], { cwd, env, stdio: [slave, slave, slave], detached: true });
    let ended: number | null | undefined;
    child.on("exit", (code, signal) => {
      ended = code ?? (signal === null ? null : 128);
    });
    const deadline = Date.now() + limit;
    let screen = "";
    let seen = 0;
    const left = [...types];
    while (ended === undefined && Date.now() < deadline) {
      screen += readAvailable(terminal.master);
      const next = left[0];
      if (next !== undefined && next[0].test(screen.slice(seen))) {
        left.shift();
        seen = screen.length;
        // The terminal is put into its mode between the last word and the first key.
        await sleep(60);
        terminal.type(next[1]);
      }
      await sleep(5);
    }
    screen += readAvailable(terminal.master);
    if (ended === undefined) {
      endGroup(child);
      return { screen, status: null };
    }
    return { screen, status: ended };
  } finally {
    for (const each of undo) await each();
  }
}
