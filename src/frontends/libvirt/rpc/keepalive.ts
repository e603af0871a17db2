/** Notices that a client has died without closing its connection: asks it when nothing has come for a while (virkeepalive). */
export interface Keepalive {
  /** Something has come from the client. */
  heard(): void;
  stop(): void;
}

export interface KeepaliveTimes {
  /** Milliseconds without a word before the client is asked, and between two questions. */
  readonly interval: number;
  /** Questions without an answer. */
  readonly tries: number;
}

export const usualTimes: KeepaliveTimes = { interval: 5000, tries: 5 };

/** `isListening`: whether what the client says is being read at all; when not, its silence means nothing. */
export function startKeepalive(
  { interval, tries }: KeepaliveTimes,
  isListening: () => boolean,
  ask: () => void,
  dead: () => void,
): Keepalive {
  let last = performance.now();
  let asked = 0;
  const heard = (): void => {
    last = performance.now();
    asked = 0;
  };
  const look = (): void => {
    if (!isListening()) heard();
    // A timer may come a little early.
    const rest = last + (asked + 1) * interval - performance.now();
    if (rest > 1) {
      timer = setTimeout(look, rest).unref();
      return;
    }
    if (asked === tries) {
      dead();
      return;
    }
    asked += 1;
    ask();
    timer = setTimeout(look, interval).unref();
  };
  let timer = setTimeout(look, interval).unref();
  return {
    heard,
    stop: () => {
      clearTimeout(timer);
    },
  };
}
