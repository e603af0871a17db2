/** Changes of one thing, one after another. */
export interface ChangeQueue {
  run<T>(key: string, change: () => Promise<T>): Promise<T>;
}

export function createChangeQueue(): ChangeQueue {
  const tails = new Map<string, Promise<void>>();
  return {
    async run(key, change) {
      const before = tails.get(key);
      let done: () => void = () => undefined;
      const mine = new Promise<void>((resolve) => {
        done = resolve;
      });
      tails.set(key, mine);
      if (before !== undefined) await before;
      try {
        return await change();
      } finally {
        if (tails.get(key) === mine) tails.delete(key);
        done();
      }
    },
  };
}
