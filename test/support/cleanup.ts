/** What node:test's context offers and the helpers need. */
export interface Cleaner {
  after(body: () => void | Promise<void>): void;
}

/**
 * A registry of what a test must undo: last registered, first undone, every one of them even if others fail. Runs when the test
 * ends, however it ends.
 */
export function cleanup(t: Cleaner): (undo: () => void | Promise<void>) => void {
  const undos: (() => void | Promise<void>)[] = [];
  t.after(async () => {
    const errors: unknown[] = [];
    for (const undo of undos.reverse()) {
      try {
        await undo();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, errors.map(String).join("; "));
  });
  return (undo) => {
    undos.push(undo);
  };
}
