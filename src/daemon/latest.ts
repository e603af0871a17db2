/** Passes texts on, no two of them sooner than `interval` milliseconds after one another; of those in between only the last. */
export function latest(
  interval: number,
  pass: (text: string) => void,
): { readonly put: (text: string) => void; readonly close: () => void } {
  let timer: NodeJS.Timeout | null = null;
  let held: string | null = null;
  const due = (): void => {
    timer = null;
    if (held !== null) put(held);
  };
  const put = (text: string): void => {
    if (timer !== null) {
      held = text;
      return;
    }
    held = null;
    pass(text);
    timer = setTimeout(due, interval);
  };
  return {
    put,
    close: () => {
      if (timer !== null) clearTimeout(timer);
      held = null;
    },
  };
}
