import { call, cwdFd, imm, slot } from "../program/assembler.js";
import { close, openat, writeText } from "../program/calls.js";
import { CLONE_NEWTIME, O_RDONLY, O_WRONLY } from "../sys/flags.js";
import type { StartContext } from "./context.js";

/** `SECONDS NANOSECONDS` with the nanoseconds positive, as timens_offsets takes them (time_namespaces(7)). */
function offset(nanoseconds: bigint): string {
  const billion = 1_000_000_000n;
  let seconds = nanoseconds / billion;
  let rest = nanoseconds % billion;
  if (rest < 0n) {
    rest += billion;
    seconds -= 1n;
  }
  return `${seconds} ${rest}`;
}

/** A new time namespace for the monitor's next child; returns what puts the monitor's later children back into its own. */
export function enterTimeNamespace(context: StartContext): () => void {
  const { monitor, build, spec } = context;
  if (spec.namespaces.time.kind !== "new") return () => undefined;
  const own = slot(build, "own.time");
  openat(monitor, cwdFd, "/proc/self/ns/time", O_RDONLY, own, {
    note: "open the host's time namespace",
    hints: { ENOENT: "this kernel has no time namespaces" },
  });
  call(monitor, "unshare", [imm(CLONE_NEWTIME, "CLONE_NEWTIME")], { note: "begin a time namespace" });
  const { boottime, monotonic } = spec.process.timeOffset;
  const lines = [
    ...(monotonic === null ? [] : [`monotonic ${offset(monotonic)}`]),
    ...(boottime === null ? [] : [`boottime ${offset(boottime)}`]),
  ];
  if (lines.length > 0) {
    const fd = slot(build, "timens_offsets");
    openat(monitor, cwdFd, "/proc/self/timens_offsets", O_WRONLY, fd, { note: "set the clocks' offsets" });
    writeText(monitor, fd, `${lines.join("\n")}\n`, {
      note: "set the clocks' offsets",
      hints: { ERANGE: "a clock would become negative" },
    });
    close(monitor, fd, "close timens_offsets");
  }
  return () => {
    call(monitor, "setns", [own, imm(CLONE_NEWTIME, "CLONE_NEWTIME")], { note: "return to the host's time namespace" });
    close(monitor, own, "close it");
  };
}
