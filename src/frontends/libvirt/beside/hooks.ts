import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc } from "../xml/domain.js";
import type { Services } from "./services.js";

/** The administrator's program DIRECTORY/lxc, called as `lxc NAME OPERATION SUBOPERATION -` with the domain's XML as its standard input (hooks.html of libvirt). */
export interface Hooks {
  /**
   * A start, with what belongs before and after it. `make` starts, `undo` ends what was started. Throws 70 (hook script failed) when the administrator's
   * program does not want it, and what `make` throws.
   */
  around(doc: DomainDoc, make: () => Promise<void>, undo: () => Promise<void>): Promise<void>;
  /** It has ended: nothing that the program says can change that. */
  ended(doc: DomainDoc): void;
  /** It has been running since before this daemon. */
  found(doc: DomainDoc): void;
}

const operations = {
  prepare: "begin",
  start: "begin",
  started: "begin",
  stopped: "end",
  release: "end",
  reconnect: "begin",
} as const;
type Operation = keyof typeof operations;

/** Milliseconds; libvirt itself would wait for ever. */
const timeLimit = 60_000;

/** `directory`: null: there are no hooks. */
export function createHooks(
  { runProgram }: Pick<Services, "runProgram">,
  directory: string | null,
  write: (doc: DomainDoc) => string,
): Hooks {
  const file = directory === null ? null : join(directory, "lxc");
  /** The last calls of each domain, which never fail: the next one waits for them. */
  const last = new Map<string, Promise<void>>();

  const call = async (doc: DomainDoc, operation: Operation): Promise<void> => {
    if (file === null || !isExecutable(file)) return;
    const words = [doc.name, operation, operations[operation], "-"];
    const result = await runProgram(file, words, write(doc), timeLimit);
    if (result.kind === "done") return;
    const why = result.kind === "refused" ? result.why : `it took more than ${timeLimit / 1000} seconds`;
    const detail = `${file} ${words.join(" ")}: ${why}`;
    throw new LibvirtError(errorCodes.hookScriptFailed, errorDomains.hook, detail);
  };

  const tell = (doc: DomainDoc, ...what: readonly Operation[]): Promise<void> => {
    const { name } = doc;
    const all = async (): Promise<void> => {
      await last.get(name);
      for (const operation of what) {
        await call(doc, operation).catch((error: unknown) => {
          console.error(error instanceof LibvirtError ? error.message : error);
        });
      }
    };
    const done: Promise<void> = all().finally(() => {
      if (last.get(name) === done) last.delete(name);
    });
    last.set(name, done);
    return done;
  };

  return {
    async around(doc, make, undo) {
      await last.get(doc.name);
      await call(doc, "prepare");
      try {
        await call(doc, "start");
        await make();
      } catch (error) {
        await tell(doc, "release");
        throw error;
      }
      try {
        await call(doc, "started");
      } catch (error) {
        await undo();
        throw error;
      }
    },
    ended(doc) {
      tell(doc, "stopped", "release").catch(() => undefined);
    },
    found(doc) {
      tell(doc, "reconnect").catch(() => undefined);
    },
  };
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
