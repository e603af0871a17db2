import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { createChangeQueue } from "../../../base/queue.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc } from "../xml/domain.js";
import type { HookNotes, Phase, Run } from "./hook-notes.js";
import type { Services } from "./services.js";

/**
 * The administrator's program DIRECTORY/lxc, called as `lxc NAME OPERATION SUBOPERATION -` with the domain's XML as its standard input (hooks.html of libvirt).
 * Of one domain it hears in order, each thing once: what comes after an end before the next start, and nothing of an end before `started`.
 */
export interface Hooks {
  /**
   * A start of it begins: nothing else is told of it until `began` or `failed` of what this gives back, one of which must be called. Throws 70 (hook script
   * failed) when the program does not want it; there is nothing to call then.
   */
  begin(doc: DomainDoc): Promise<BegunStart>;
  /** Nothing of it runs any more; no word about one that was never begun. `doc`: as it was in the end, if that is known. */
  ended(name: string, doc: DomainDoc | null): void;
  /**
   * It has ended and begun again by itself: all of that is told now, in its order. `end` ends what the program does not want; it must not wait for anything
   * that a start may have to itself.
   */
  rebooted(doc: DomainDoc, end: () => Promise<void>): void;
  /** It has been running since before this daemon. */
  found(doc: DomainDoc): void;
  /** Tells of what daemons before have not. `isOver`: nothing of it runs. */
  resume(isOver: (name: string) => boolean): void;
  /** Of one that has been begun, and not ended. */
  docOf(name: string): DomainDoc | null;
}

export interface BegunStart {
  /** It runs. Throws 70 when the program does not want that, after `end` and what belongs to an end. */
  began(end: () => Promise<void>): Promise<void>;
  /** It does not. */
  failed(): Promise<void>;
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
  notes: HookNotes,
): Hooks {
  const file = directory === null ? null : join(directory, "lxc");
  const runs = new Map<string, Run>();
  const queue = createChangeQueue();

  const isThere = (): boolean => file !== null && isExecutable(file);

  const call = async (doc: DomainDoc, operation: Operation): Promise<void> => {
    if (file === null || !isThere()) return;
    const words = [doc.name, operation, operations[operation], "-"];
    // What it would go on to make for a start that is no more, nobody would take away.
    const dies = operation === "prepare" || operation === "start";
    const result = await runProgram(file, words, write(doc), timeLimit, dies);
    if (result.kind === "done") return;
    const why = result.kind === "refused" ? result.why : `it took more than ${timeLimit / 1000} seconds`;
    const detail = `${file} ${words.join(" ")}: ${why}`;
    throw new LibvirtError(errorCodes.hookScriptFailed, errorDomains.hook, detail);
  };

  /** What cannot be refused. */
  const tell = async (doc: DomainDoc, operation: Operation): Promise<void> => {
    await call(doc, operation).catch(complain);
  };

  const note = (doc: DomainDoc, phase: Phase): void => {
    const run = { doc, phase };
    runs.set(doc.name, run);
    // Nobody has to hear of an end who does not hear of the start.
    if (isThere()) notes.write(run);
  };
  const drop = (name: string): void => {
    runs.delete(name);
    notes.forget(name);
  };

  /** What remains to be told of it. */
  const close = async (name: string): Promise<void> => {
    const run = runs.get(name);
    if (run === undefined) return;
    if (run.phase === "ran") {
      await tell(run.doc, "stopped");
      try {
        note(run.doc, "stopped");
      } catch (error) {
        complain(error);
      }
    }
    await tell(run.doc, "release");
    drop(name);
  };

  /** prepare and start; throws what the program says. What is left to be told after that is in `runs`. */
  const open = async (doc: DomainDoc): Promise<void> => {
    note(doc, "begun");
    try {
      await call(doc, "prepare");
    } catch (error) {
      drop(doc.name);
      throw error;
    }
    await call(doc, "start");
  };

  /** Resolves when it is this domain's turn, with what ends that. */
  const turn = (name: string): Promise<() => void> =>
    new Promise((resolve, reject) => {
      queue.run(name, () => new Promise<void>(resolve)).catch(reject);
    });
  /** In its turn, some time. */
  const later = (name: string, work: () => Promise<void>): void => {
    queue.run(name, work).catch(complain);
  };

  const found = (doc: DomainDoc): void => {
    note(doc, "ran");
    later(doc.name, () => tell(doc, "reconnect"));
  };

  return {
    async begin(doc) {
      const { name } = doc;
      const over = await turn(name);
      try {
        await open(doc);
      } catch (error) {
        await close(name).finally(over);
        throw error;
      }
      return {
        async began(end) {
          try {
            note(doc, "ran");
            await call(doc, "started");
          } catch (error) {
            await end();
            await close(name);
            throw error;
          } finally {
            over();
          }
        },
        failed: () => close(name).finally(over),
      };
    },
    ended(name, doc) {
      later(name, async () => {
        const run = runs.get(name);
        if (run === undefined) return;
        if (doc !== null) runs.set(name, { ...run, doc });
        await close(name);
      });
    },
    rebooted(doc, end) {
      const { name } = doc;
      later(name, async () => {
        // It has ended since.
        if (!runs.has(name)) return;
        await close(name);
        try {
          await open(doc);
          note(doc, "ran");
          await call(doc, "started");
        } catch (error) {
          complain(error);
          await end();
        }
      });
    },
    found,
    resume(isOver) {
      for (const run of notes.all()) {
        const { name } = run.doc;
        if (runs.has(name)) continue;
        if (isOver(name)) {
          runs.set(name, run);
          later(name, () => close(name));
        } else found(run.doc);
      }
    },
    docOf: (name) => runs.get(name)?.doc ?? null,
  };
}

function complain(error: unknown): void {
  console.error(error instanceof LibvirtError ? error.message : error);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
