/** Signals for front ends, which see src/spec but not src/sys. */
export { parseSignal, signalName, SIGNALS, SIGRTMIN } from "../sys/signals.js";
