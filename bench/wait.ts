/** Waits without leaving the call, for what is done at a signal: true when `check` became true within that many milliseconds. */
export function untilTrue(check: () => boolean, within: number): boolean {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (const deadline = Date.now() + within; !check(); Atomics.wait(clock, 0, 0, 10)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}
