import { nobodyWaits, type Task, type Work } from "../engine/library.js";
import { type Run, runTask, type Stdio } from "./runner.js";

/** Of what takes time. */
export interface WorkOptions {
  /** Hears what is being done now, for a progress line ("copying web: 1200 files, 34 MiB"); over the daemon's socket at most ten times a second. */
  readonly progress?: (text: string) => void;
  /** Hears what its user should know: an address that stays with the original, a name of the host in an imported configuration. */
  readonly notice?: (text: string) => void;
  /** Aborted, what has been made is undone, and when all of it is gone the signal's reason is thrown. */
  readonly signal?: AbortSignal;
}

const reasonOf = (signal: AbortSignal): Error =>
  signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason });

/** A fault of the listener's is its program's, as with any event: it ends nothing of the engine's. */
const told =
  (listener: ((text: string) => void) | undefined) =>
  (text: string): void => {
    try {
      listener?.(text);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };

/**
 * Does it. `shown`: where what template scripts print goes. Aborted, programs that run here are killed, with all that they have started, and waited for
 * before the engine is told: they do not write to what it takes away.
 */
export async function performed<T>(
  { progress, notice, signal }: WorkOptions,
  shown: Stdio,
  ask: (work: Work) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const isAborted = (): boolean => signal?.aborted === true;
  const inner = new AbortController();
  const runs = new Set<Run>();
  const abort = (): void => {
    for (const each of runs) each.endAll();
    if (runs.size === 0) inner.abort(nobodyWaits());
  };
  const run = async (task: Task): Promise<number> => {
    if (isAborted()) {
      task.release();
      throw nobodyWaits();
    }
    const begun = runTask(task, ["ignore", shown, shown], { ownGroup: signal !== undefined });
    runs.add(begun);
    try {
      return await begun.result;
    } finally {
      runs.delete(begun);
      // When its result has been told.
      if (isAborted()) setImmediate(abort);
    }
  };
  signal?.addEventListener("abort", abort);
  try {
    return await ask({
      run,
      progress: told(progress),
      notice: told(notice),
      signal: inner.signal,
    });
  } catch (error) {
    if (signal !== undefined && isAborted()) throw reasonOf(signal);
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
