/** Aborted when the client goes away. */
export function signalOf(gone: Promise<never>): AbortSignal {
  const abort = new AbortController();
  gone.catch((error: unknown) => {
    abort.abort(error);
  });
  return abort.signal;
}
