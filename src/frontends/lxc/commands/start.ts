import { closeSync } from "node:fs";
import { errorLines, IsletError } from "../../../base/errors.js";
import { unreachable } from "../../../base/never.js";
import { noSuchContainer } from "../../../engine/engine.js";
import type { Command, ContainerStatus } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { startFailureLines } from "../errors.js";
import { containerConfig, parseDefinition } from "./container-config.js";
import { type Call, lxcCommand, UsageError, warnOf } from "./frame.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import type { Definition, LoadedConfig } from "./load.js";
import { commonOptions, option, rcfileOption, shareOptions } from "./options.js";

export const startTable: CommandTable = {
  tool: "lxc-start",
  synopsis: "--name=NAME [OPTION...] [-- COMMAND...]",
  description: "Starts a container. COMMAND is run instead of the container's init.",
  options: [
    option("daemon", "return when the container runs (default)", { short: "d" }),
    option("foreground", "join the terminal with the container's console until it ends", { short: "F" }),
    option("rcfile", "read the configuration from FILE", { short: "f", argument: "FILE" }),
    option("define", "set a configuration key for this run", { short: "s", argument: "KEY=VAL" }),
    option("console", "file or device that is the container's console", { short: "c", argument: "FILE" }),
    option("console-log", "write what the console shows to FILE", { short: "L", argument: "FILE" }),
    option("close-all-fds", "accepted; no descriptor is ever passed on", { short: "C" }),
    option("pidfile", "write the monitor's process id to FILE", { short: "p", argument: "FILE" }),
    ...shareOptions,
    ...commonOptions,
    rcfileOption,
  ],
  operands: "command",
  named: true,
  containers: "stopped",
  notes: [
    "Exit status: 0 when the container runs (or ran already); with -F 0 when it has ended, whatever its own status; 1 when it could not be started.",
    "With -F, SIGHUP becomes SIGTERM for the container's init and every other signal is passed on to it.",
  ],
};

/** `-s`, `-c`, `-L` and `--share-*` as settings, in the order in which LXC applies them. */
export function definitionsOf(options: ParsedOptions): readonly Definition[] {
  const definitions: Definition[] = [];
  for (const text of options.values("define")) {
    const definition = parseDefinition(text);
    if (definition === null) throw new UsageError(`"${text}" does not have the form KEY=VAL`);
    definitions.push(definition);
  }
  const single = (long: string, key: string): void => {
    const value = options.value(long);
    if (value !== null) definitions.push({ key, value });
  };
  single("console", "lxc.console.path");
  single("console-log", "lxc.console.logfile");
  for (const kind of ["net", "ipc", "uts", "pid"]) single(`share-${kind}`, `lxc.namespace.share.${kind}`);
  return definitions;
}

/**
 * The configuration a start works from; null: the user has been told why there is none. Throws ISLET_NOT_FOUND, or ISLET_RUNNING for a
 * container without a file of its own that runs all the same (it was started with -f).
 */
export async function startConfig(call: Call, definitions: readonly Definition[]): Promise<LoadedConfig | null> {
  const { engine, id } = call;
  const loaded = await containerConfig(call, { kind: "start", definitions });
  switch (loaded.kind) {
    case "failed":
      if (loaded.at === "file" && !call.options.has("rcfile")) call.report.error("Failed to create lxc_container");
      return null;
    case "absent":
      if ((await engine.status(id)).state !== "STOPPED") {
        throw new IsletError("ISLET_RUNNING", `the container ${id.name} is running`);
      }
      throw noSuchContainer(id);
    case "loaded":
      return loaded.config;
    default:
      return unreachable(loaded);
  }
}

/** SIGHUP stands for the loss of the terminal: init is asked to end. */
const signalForInit = (signal: number): number => (signal === 1 ? 15 : signal);

/** What the console shows before we are joined with it must not be lost: kept in memory, this many bytes at least. */
const replayBytes = 65536;

export function withReplay(spec: ContainerSpec): ContainerSpec {
  const { console } = spec;
  return { ...spec, console: { ...console, bufferSize: Math.max(console.bufferSize, replayBytes) } };
}

/** The container ended while we were about to look. */
export function ignoreEnded(error: unknown): void {
  if (!(error instanceof IsletError && error.code === "ISLET_NOT_RUNNING")) throw error;
}

/** Joins the client with the console until either side closes; the signals it gets go to init. `joined`: a socket that is joined already. */
export async function relayConsole(call: Call, joined: number | null): Promise<void> {
  const { engine, id, session } = call;
  const descriptor = joined ?? (await engine.console(id, { replay: true }));
  try {
    if (session.rows > 0) await engine.resizeConsole(id, session.rows, session.columns);
    await session.relay(descriptor, {
      escape: null,
      onResize: (rows, columns) => void engine.resizeConsole(id, rows, columns).catch(() => undefined),
      onSignal: (signal) => void engine.signal(id, signalForInit(signal)).catch(() => undefined),
    });
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Joins the client with the console until the container ends. A guest that reboots keeps its monitor, so the console is joined anew;
 * when others have come until there was no room for us, we only wait. `deathSignal`: for its init when the client is killed; 0: none.
 */
export async function foreground(
  call: Call,
  deathSignal: number,
  started: ContainerStatus,
  joined: number | null,
): Promise<void> {
  const { engine, id, session } = call;
  let current = started;
  let first = joined;
  const ended = async (): Promise<void> => {
    for (;;) {
      const socket = first;
      first = null;
      await relayConsole(call, socket);
      const now = await engine.status(id);
      if (now.state === "STOPPED") return;
      if (now.initPid === null || now.initPid === current.initPid) {
        const next = await engine.wait(id, ["STOPPED", "STARTING"], null);
        if (next.state === "STOPPED") return;
      }
      current = await engine.wait(id, ["RUNNING", "STOPPED"], null);
      if (current.state === "STOPPED") return;
    }
  };
  let clientGone = false;
  const gone = session.gone.catch((error: unknown) => {
    clientGone = true;
    throw error;
  });
  try {
    await Promise.race([ended().catch(ignoreEnded), gone]);
  } catch (error) {
    // The client was killed: as when LXC's monitor dies, the container does not outlive it.
    if (clientGone && deathSignal > 0) await engine.signal(id, deathSignal).catch(() => undefined);
    throw error;
  }
}

async function body(call: Call): Promise<number> {
  const { options, engine, report, operands } = call;
  const chosen = options.given.findLast(([long]) => long === "daemon" || long === "foreground")?.[0];
  const daemon = chosen !== "foreground";
  const pidFile = options.value("pidfile");
  const config = await startConfig(call, definitionsOf(options));
  if (config === null) return 1;

  let started: ContainerStatus;
  let deathSignal = 0;
  let joined: number | null = null;
  const join = (descriptor: number): void => {
    joined = descriptor;
  };
  const fit = (planned: ContainerSpec): ContainerSpec => {
    deathSignal = planned.lifecycle.monitorDeathSignal;
    return daemon ? planned : withReplay(planned);
  };
  try {
    const command = operands.length === 0 ? null : operands;
    // What is said on the command line is said of the configuration.
    const isPlain = command === null && !["rcfile", "define"].some((name) => options.has(name));
    const elsewhere = isPlain ? await engine.definedElsewhere(call.id) : null;
    const what =
      elsewhere === null
        ? fit(config.spec(call.id, call.caller, { command, mode: "exec" }, report.info))
        : { ...elsewhere, make: async () => fit(await elsewhere.make()) };
    const starting = engine.start(what, {
      caller: call.caller,
      pidFile: pidFile === null ? null : call.resolve(pidFile),
      console: "monitor",
      warn: warnOf(call),
      listen: call.session.listen,
      ...(daemon ? {} : { join }),
    });
    started = await call.progress.during({ what: `starting ${call.id.name}` }, starting);
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_RUNNING") throw error;
    for (const text of errorLines(error)) report.error(text);
    for (const text of startFailureLines(daemon)) report.error(text);
    return 1;
  }
  report.info(`started with init process ${started.initPid ?? 0}`);
  if (!daemon) await foreground(call, deathSignal, started, joined);
  return 0;
}

export const start: Command = lxcCommand(startTable, body);
