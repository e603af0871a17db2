import { strict as assert } from "node:assert";
import { after } from "node:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { command, fails, ok, type CommandOptions, type CommandResult } from "../support/command.js";
import { waitFor } from "../support/wait.js";
import { busybox, tempStore, type Store } from "../support/store.js";

/** A real container of a test and what is asked of it from inside. */
export interface Guest {
  readonly name: string;
  /** The directory with its config. */
  readonly directory: string;
  readonly rootfs: string;
  /** `-P STORE -n NAME` */
  readonly at: readonly string[];
  /** Starts it; further words of lxc-start's command line. */
  readonly start: (words?: readonly string[], options?: CommandOptions) => Promise<void>;
  /** A start that must fail with status 1; what it said on stderr. */
  readonly refuses: (words?: readonly string[]) => Promise<string>;
  /** Kills it. */
  readonly kill: () => Promise<void>;
  /** lxc-attach with these words. */
  readonly attach: (words: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** A shell's output inside, trimmed; its status must be 0. */
  readonly sh: (script: string) => Promise<string>;
  /** Status and output of a shell inside, whatever it is. */
  readonly try: (script: string) => Promise<CommandResult>;
  /** Its init's pid on the host. */
  readonly pid: () => Promise<number>;
  readonly state: () => Promise<string>;
}

/** A store for the suite (or the test `t`) that calls this. */
export function guests(t: { after(body: () => void | Promise<void>): void } = { after }): Guests {
  const store = tempStore(t);
  return {
    store,
    define: (name, config = "") => guestOf(store, name, busybox(store, name, config)),
    started: async (name, config = "") => {
      const made = guestOf(store, name, busybox(store, name, config));
      await made.start();
      return made;
    },
  };
}

export interface Guests {
  readonly store: Store;
  /** A busybox container with these lines added to its configuration. */
  readonly define: (name: string, config?: string) => Guest;
  readonly started: (name: string, config?: string) => Promise<Guest>;
}

/** A container that is in the store already. */
export function guestOf(store: Store, name: string, rootfs: string): Guest {
  const at = store.at(name);
  const shell = (script: string): readonly string[] => ["lxc-attach", ...at, "--", "/bin/sh", "-c", script];
  // Without a path of the guest's own, names of the host's PATH would decide which program is found.
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  return {
    name,
    directory: join(store.path, name),
    rootfs,
    at,
    start: async (words = [], options = {}) => void (await ok(["lxc-start", ...at, ...words], options)),
    refuses: async (words = []) => (await fails(["lxc-start", ...at, ...words], 1)).stderr,
    kill: async () => void (await ok(["lxc-stop", ...at, "-k"])),
    attach: (words, options = {}) =>
      command(["lxc-attach", ...at, ...words], { ...options, env: { ...env, ...options.env } }),
    sh: async (script) => (await ok(shell(script), { env })).trim(),
    try: (script) => command(shell(script), { env }),
    pid: async () => Number((await ok(["lxc-info", ...at, "-p", "-H"])).trim()),
    state: async () => (await ok(["lxc-info", ...at, "-s", "-H"])).trim(),
  };
}

/** Devices that every /dev has: name, major:minor. */
export const nodes = [
  ["full", "1:7"],
  ["null", "1:3"],
  ["random", "1:8"],
  ["tty", "5:0"],
  ["urandom", "1:9"],
  ["zero", "1:5"],
] as const;

/** A mount as seen by a process: /proc/PID/mountinfo (proc(5)). */
export interface SeenMount {
  readonly root: string;
  readonly options: readonly string[];
  /** shared:N, master:N ... */
  readonly propagation: readonly string[];
  readonly fstype: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** Mounts by mount point, the topmost of each; from a mountinfo text. */
export function mountsOf(mountinfo: string): ReadonlyMap<string, SeenMount> {
  const found = new Map<string, SeenMount>();
  for (const line of mountinfo.trim().split("\n")) {
    const [front = "", back = ""] = line.split(" - ");
    const [, , , root = "", point = "", options = "", ...propagation] = front.split(" ");
    const [fstype = "", source = "", superOptions = ""] = back.split(" ");
    found.set(point, {
      root,
      options: options.split(","),
      propagation,
      fstype,
      source,
      superOptions: superOptions.split(","),
    });
  }
  return found;
}

/** Until init handles the signal (SigCgt of proc(5)): a shell sets its traps a moment after it has begun. */
export async function handles(guest: Guest, signal: number): Promise<void> {
  await waitFor(`init to handle signal ${signal}`, async () => {
    const { SigCgt = "0" } = statusOf(readFileSync(`/proc/${await guest.pid()}/status`, "utf8"));
    return ((BigInt(`0x${SigCgt}`) >> BigInt(signal - 1)) & 1n) === 1n;
  });
}

export async function mountsInside(guest: Guest): Promise<ReadonlyMap<string, SeenMount>> {
  return mountsOf(readFileSync(`/proc/${await guest.pid()}/mountinfo`, "utf8"));
}

/** Fails unless every line of `text` that `wanted` names is there: `lines("a\nb", ["a"])`. */
export function hasLine(text: string, wanted: string): void {
  assert.ok(text.split("\n").includes(wanted), `no line "${wanted}" in:\n${text}`);
}

/** Fields of a /proc/PID/status text. */
export function statusOf(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
}
