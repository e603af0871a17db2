import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ioError, isErrno } from "../../../base/io-error.js";
import type { DomainDoc } from "../xml/domain.js";

/**
 * What the administrator's program has been told of domains, below the runtime directory: a daemon that was killed cannot tell of an end, and the next one has to.
 * A boot takes the notes away, with what they are about.
 */
export interface HookNotes {
  /** Whole or not at all. ISLET_IO. */
  write(run: Run): void;
  forget(name: string): void;
  all(): readonly Run[];
}

/** `begun`: it has heard of `prepare`; `ran`: the guest has begun; `stopped`: it has heard of the end, and `release` remains. */
export type Phase = "begun" | "ran" | "stopped";

export interface Run {
  readonly doc: DomainDoc;
  readonly phase: Phase;
}

const directoryOf = (runtimeDir: string): string => join(runtimeDir, "libvirt-hooks");
const ending = ".run";

/** Whether there are any; asked before the front end is loaded. */
export const hasHookNotes = (runtimeDir: string): boolean => filesIn(directoryOf(runtimeDir)).length > 0;

export function createHookNotes(
  runtimeDir: string,
  xml: { readonly read: (text: string) => DomainDoc; readonly write: (doc: DomainDoc) => string },
): HookNotes {
  const directory = directoryOf(runtimeDir);
  // A slash is in no name; "." and ".." are none.
  const fileOf = (name: string): string => join(directory, `${name}${ending}`);
  return {
    write({ doc, phase }) {
      const fresh = `${fileOf(doc.name)}.new`;
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        writeFileSync(fresh, `${phase}\n${xml.write(doc)}`, { mode: 0o600 });
        renameSync(fresh, fileOf(doc.name));
      } catch (error) {
        rmSync(fresh, { force: true });
        throw ioError(`write ${fileOf(doc.name)}`, error);
      }
    },
    forget(name) {
      for (const path of [fileOf(name), `${fileOf(name)}.new`]) rmSync(path, { force: true });
    },
    all: () =>
      filesIn(directory).flatMap((file) => {
        try {
          const text = readFileSync(join(directory, file), "utf8");
          const end = text.indexOf("\n");
          const phase = phaseOf(text.slice(0, end));
          if (phase !== null) return [{ doc: xml.read(text.slice(end + 1)), phase }];
          throw new Error(`${text.slice(0, end)} is no phase`);
        } catch (error) {
          console.error(`${join(directory, file)} is of no use and removed`, error);
          rmSync(join(directory, file), { force: true });
          return [];
        }
      }),
  };
}

const phaseOf = (text: string): Phase | null =>
  text === "begun" || text === "ran" || text === "stopped" ? text : null;

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith(ending));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
