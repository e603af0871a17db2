import { once } from "../../base/once.js";
import type { Engine } from "../engine.js";

/** Requests whose code is loaded when the first of them comes: most commands need little of it, and the first one after a pause waits for its loading. */
export function whenAsked<K extends keyof Engine>(
  names: readonly K[],
  load: () => Promise<Pick<Engine, K>>,
): Pick<Engine, K> {
  const loaded = once(load);
  const forward = (name: K): readonly [K, unknown] => [
    name,
    async (...words: readonly unknown[]) => {
      const request = (await loaded())[name] as (...words: readonly unknown[]) => unknown;
      return await request(...words);
    },
  ];
  return Object.fromEntries(names.map(forward)) as Pick<Engine, K>;
}
