import { setTimeout as sleep } from "node:timers/promises";
import { patience } from "./patience.js";

/**
 * Asks until the answer is neither undefined, null nor false, and gives it back. `timeout` in milliseconds; when it runs out the error
 * says what was waited for and the last answer or error.
 */
export async function waitFor<T>(
  what: string,
  ask: () => T | Promise<T>,
  { timeout = 10_000, every = 20 }: { readonly timeout?: number; readonly every?: number } = {},
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeout * patience;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      last = answer;
      if (answer !== undefined && answer !== null && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(
        `waited ${timeout * patience} ms for ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
      );
    }
    await sleep(every);
  }
}
