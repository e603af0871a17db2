import type { LibraryCalls } from "../engine/library.js";
import type { State } from "../engine/engine.js";
import { exitCode } from "../host/protocol.js";
import { IsletError } from "../base/errors.js";

/** Something that happened to a container. */
export type IsletEvent =
  | { readonly kind: "state"; readonly store: string; readonly name: string; readonly state: State }
  /** Its main process has ended, with this exit status (128 + N if signal N killed it). */
  | { readonly kind: "exit"; readonly store: string; readonly name: string; readonly exitCode: number }
  /** The guest has said through its API that it is ready, or that it is not any more. */
  | { readonly kind: "ready"; readonly store: string; readonly name: string; readonly ready: boolean }
  /** The daemon was away for a moment: events may have been missed. `list` tells how things are. */
  | { readonly kind: "lost" };

export interface EventOptions {
  /** Only of the container of this name, in the connection's store. */
  readonly name?: string;
  /** Ends the events; the iterator is then done. */
  readonly signal?: AbortSignal;
}

/** Events that wait to be taken; a reader that is slower than that has lost some and is told so. */
const mostWaiting = 10_000;

/** Begins at once, not with the first `next`: what happens from now on is in it. */
export async function openEvents(
  calls: LibraryCalls,
  store: string,
  options: EventOptions,
): Promise<AsyncIterableIterator<IsletEvent>> {
  const waiting: IsletEvent[] = [];
  let wake: (() => void) | null = null;
  let over = false;
  const push = (event: IsletEvent): void => {
    if (over) return;
    if (waiting.length >= mostWaiting) waiting.splice(0, waiting.length, { kind: "lost" });
    waiting.push(event);
    wake?.();
  };
  const stop = await calls.subscribe((event) => {
    if (event === "lost") {
      push({ kind: "lost" });
      return;
    }
    const { name, storePath } = event;
    if (options.name !== undefined && (name !== options.name || storePath !== store)) return;
    if (event.kind === "state") push({ kind: "state", store: storePath, name, state: event.state });
    else if (event.kind === "ready") push({ kind: "ready", store: storePath, name, ready: event.ready });
    else push({ kind: "exit", store: storePath, name, exitCode: exitCode(event.waitStatus) });
  });
  const finish = (): void => {
    if (over) return;
    over = true;
    stop();
    wake?.();
  };
  options.signal?.addEventListener("abort", finish);
  if (options.signal?.aborted === true) finish();
  const iterator: AsyncIterableIterator<IsletEvent> = {
    async next() {
      for (;;) {
        const event = waiting.shift();
        if (event !== undefined) return { done: false, value: event };
        if (over) return { done: true, value: undefined };
        if (wake !== null) throw new IsletError("ISLET_BAD_REQUEST", "events are taken by one reader at a time");
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = null;
      }
    },
    return() {
      finish();
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
