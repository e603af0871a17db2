/** Signals: numbers (the same on x86_64 and arm64) and LXC's notation for them. Source: signal(7), asm-generic/signal.h. */

// prettier-ignore
export const SIGNALS = {
  SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGILL: 4, SIGTRAP: 5, SIGABRT: 6, SIGBUS: 7, SIGFPE: 8, SIGKILL: 9, SIGUSR1: 10,
  SIGSEGV: 11, SIGUSR2: 12, SIGPIPE: 13, SIGALRM: 14, SIGTERM: 15, SIGSTKFLT: 16, SIGCHLD: 17, SIGCONT: 18, SIGSTOP: 19,
  SIGTSTP: 20, SIGTTIN: 21, SIGTTOU: 22, SIGURG: 23, SIGXCPU: 24, SIGXFSZ: 25, SIGVTALRM: 26, SIGPROF: 27, SIGWINCH: 28,
  SIGIO: 29, SIGPWR: 30, SIGSYS: 31,
} as const;

export type SignalName = keyof typeof SIGNALS;

/** First and last real-time signal for programs (glibc keeps 32 and 33 for itself). */
export const SIGRTMIN = 34;
export const SIGRTMAX = 64;

/** What systemd as PID 1 takes for the wish to halt (systemd(1), SIGNALS). */
export const SIGRTMIN3: number = SIGRTMIN + 3;

const ALIASES: Readonly<Record<string, number>> = { SIGIOT: 6, SIGPOLL: 29, SIGCLD: 17, SIGUNUSED: 31 };

/**
 * A signal in LXC's notation (lxc.signal.halt, lxc-stop): a decimal number, SIGxxx in any case with its prefix, SIGRTMIN,
 * SIGRTMIN+N, SIGRTMAX, SIGRTMAX-N. Undefined for anything else and for numbers beyond 1 to 64.
 */
export function parseSignal(text: string): number | undefined {
  if (/^[0-9]{1,3}$/.test(text)) return inRange(Number(text), 1, SIGRTMAX);
  const upper = text.toUpperCase();
  if (!/^SIG[A-Z0-9+-]+$/.test(upper)) return undefined;
  const real = /^SIGRT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(upper);
  if (real !== null) {
    const [, end, sign, digits] = real;
    const offset = digits === undefined ? 0 : Number(digits);
    if (end === "MIN") return sign === "-" ? undefined : inRange(SIGRTMIN + offset, SIGRTMIN, SIGRTMAX);
    return sign === "+" ? undefined : inRange(SIGRTMAX - offset, SIGRTMIN, SIGRTMAX);
  }
  if (Object.hasOwn(SIGNALS, upper)) return SIGNALS[upper as SignalName];
  return Object.hasOwn(ALIASES, upper) ? ALIASES[upper] : undefined;
}

/** `SIGPWR` for 30, `SIGRTMIN+3` for 37, `signal 70` for a number that is none. parseSignal reads the first two back. */
export function signalName(signal: number): string {
  for (const [name, nr] of Object.entries(SIGNALS)) if (nr === signal) return name;
  if (signal === SIGRTMIN) return "SIGRTMIN";
  if (signal > SIGRTMIN && signal <= SIGRTMAX) return `SIGRTMIN+${signal - SIGRTMIN}`;
  return `signal ${signal}`;
}

function inRange(value: number, low: number, high: number): number | undefined {
  return value >= low && value <= high ? value : undefined;
}
