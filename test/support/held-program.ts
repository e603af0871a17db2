import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cleaner } from "./cleanup.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A program of the host's that stands still at its begin or its end, in a daemon that has `path` as its PATH: the moment at which that is killed. */
export interface HeldProgram {
  readonly path: string;
  /** From now on it stands still. */
  readonly hold: () => void;
  /** It has been called and stands still. */
  readonly isHeld: () => Promise<void>;
  /** What stands still goes on, and does what it was called for. */
  readonly release: () => void;
}

export function heldProgram(t: Cleaner, name: string, at: "begin" | "end"): HeldProgram {
  const directory = mkdtempSync(join(testDir, "islt-held-"));
  t.after(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const [bin, held, reached] = [join(directory, "bin"), join(directory, "held"), join(directory, "reached")];
  const system = process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin";
  mkdirSync(bin);
  const wait = `[ ! -e ${held} ] || : > ${reached}; while [ -e ${held} ]; do sleep 0.05; done`;
  const lines =
    at === "begin"
      ? `${wait}\nPATH=${system}; exec ${name} "$@"`
      : `(PATH=${system}; exec ${name} "$@") || exit\n${wait}`;
  writeFileSync(join(bin, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  return {
    path: `${bin}:${system}`,
    hold: () => {
      writeFileSync(held, "");
    },
    isHeld: async () => {
      await waitFor(`${name} to be called`, () => existsSync(reached));
      rmSync(reached);
    },
    release: () => {
      rmSync(held, { force: true });
    },
  };
}
