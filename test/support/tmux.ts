import { randomBytes } from "node:crypto";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, ok } from "./command.js";
import { root, runtimeDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A shell under a real terminal, as a user sits before it: tmux(1) with a server of the test's own, which ends with the test. */
export interface Screen {
  /** Keys by tmux's names (C-c, Enter, C-a) or text. */
  readonly keys: (...keys: readonly string[]) => Promise<void>;
  /** A command line and Enter. */
  readonly line: (text: string) => Promise<void>;
  /** What can be seen now, without blank lines. */
  readonly text: () => Promise<string>;
  /** Waits until what can be seen matches. */
  readonly shows: (what: RegExp) => Promise<void>;
  readonly clear: () => Promise<void>;
  readonly resize: (columns: number, rows: number) => Promise<void>;
  /** Pid of the shell. */
  readonly pid: () => Promise<number>;
}

/** The shell's prompt. */
export const prompt = "host> ";

export async function screen(
  t: Cleaner,
  columns: number,
  rows: number,
  variables: readonly string[] = [],
): Promise<Screen> {
  const socket = `islt-${randomBytes(4).toString("hex")}`;
  const tmux = (...words: readonly string[]): Promise<string> =>
    ok(["tmux", "-L", socket, "-f", "/dev/null", ...words]);
  const env = [
    "env",
    "-i",
    `PATH=${root}/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    "TERM=screen",
    "HOME=/",
    `PS1=${prompt}`,
    `ISLET_RUNTIME_DIR=${runtimeDir}`,
    ...variables,
  ];
  cleanup(t)(async () => void (await command(["tmux", "-L", socket, "kill-server"])));
  await tmux("new-session", "-d", "-x", String(columns), "-y", String(rows), ...env, "/bin/sh");
  const text = async (): Promise<string> =>
    (await tmux("capture-pane", "-p"))
      .split("\n")
      .map((line) => line.trimEnd())
      .filter((line) => line !== "")
      .join("\n");
  const shows = async (what: RegExp): Promise<void> => {
    let seen = "";
    await waitFor(`${String(what)} on the screen`, async () => what.test((seen = await text()))).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${seen}`);
      },
    );
  };
  await shows(/^host>$/);
  return {
    keys: async (...keys) => void (await tmux("send-keys", ...keys)),
    line: async (line) => {
      await tmux("send-keys", "-l", line);
      await tmux("send-keys", "Enter");
    },
    text,
    shows,
    clear: async () => {
      await tmux("send-keys", "-R");
      await tmux("clear-history");
    },
    resize: async (wide, high) => void (await tmux("resize-window", "-x", String(wide), "-y", String(high))),
    pid: async () => Number(await tmux("display-message", "-p", "#{pane_pid}")),
  };
}
