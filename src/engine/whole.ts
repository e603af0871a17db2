import { type BigIntStats, existsSync, lstatSync, statSync } from "node:fs";

/** Which containers of a store are whole: with a `config`, not being made, and without a journal. */
export interface Wholes {
  /** false: it is not, or nothing simple can be said of it. */
  look(directory: string): boolean;
}

type Mark = Pick<BigIntStats, "dev" | "ino" | "mtimeNs" | "ctimeNs">;

/**
 * Nanoseconds for which a directory must have been left alone before a look at it is remembered: a change that follows must not have the same time,
 * and some file systems count whole seconds, FAT two.
 */
const quiet = 3_000_000_000n;
/** Directories that are remembered; with more, all of them are looked at anew. */
const most = 16_384;

/**
 * What is made, removed or renamed in a directory changes its times: while they are those of the last look, that look is still true, whoever else
 * works there. `largest`: bytes of a `config`. `now`: nanoseconds since 1970.
 */
export function createWholes(largest: number, now: () => bigint = () => BigInt(Date.now()) * 1_000_000n): Wholes {
  const marks = new Map<string, Mark>();
  return {
    look(directory) {
      const is = statOf(directory);
      const was = marks.get(directory);
      if (is !== null && was !== undefined && isSame(is, was)) return true;
      marks.delete(directory);
      if (is === null || !isWhole(directory, largest)) return false;
      if (now() - (is.ctimeNs > is.mtimeNs ? is.ctimeNs : is.mtimeNs) > quiet) {
        if (marks.size >= most) marks.clear();
        const { dev, ino, mtimeNs, ctimeNs } = is;
        marks.set(directory, { dev, ino, mtimeNs, ctimeNs });
      }
      return true;
    },
  };
}

/** null: it is none, or cannot be looked at. */
function statOf(directory: string): BigIntStats | null {
  try {
    const found = statSync(directory, { bigint: true, throwIfNoEntry: false });
    return found?.isDirectory() === true ? found : null;
  } catch {
    return null;
  }
}

const isSame = (is: Mark, was: Mark): boolean =>
  is.ctimeNs === was.ctimeNs && is.mtimeNs === was.mtimeNs && is.ino === was.ino && is.dev === was.dev;

/** A `config` that is a link may go without a change here. */
function isWhole(directory: string, largest: number): boolean {
  const config = lstatSync(`${directory}/config`, { throwIfNoEntry: false });
  return (
    config?.isFile() === true &&
    config.size <= largest &&
    !existsSync(`${directory}/partial`) &&
    !existsSync(`${directory}/islet-journal`)
  );
}
