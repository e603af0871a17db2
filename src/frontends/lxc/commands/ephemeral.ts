import { statSync } from "node:fs";
import { errorLines, IsletError } from "../../../base/errors.js";
import { type AttachOptions, type ContainerId, noSuchContainer } from "../../../engine/engine.js";
import type { ContainerStatus, StopOptions } from "../../../engine/engine.js";
import { startFailureLines } from "../errors.js";
import { runTask } from "./attach.js";
import type { Call } from "./frame.js";
import { warnOf } from "./frame.js";
import { loadForStart } from "./load.js";
import { foreground, withReplay } from "./start.js";

/** What lxc-copy -e and lxc-start-ephemeral do with the copy that they have made. */

/** Milliseconds that the container has to shut down when its command has ended. */
const shutdownTime = 60_000;

const killed: StopOptions = { kind: "kill", timeout: null, noKill: false };

/** The container is gone, however far it had come. */
export async function discard(call: Call, id: ContainerId): Promise<void> {
  try {
    await call.engine.destroy(id, null, call.caller);
  } catch (error) {
    if (!(error instanceof IsletError && error.code === "ISLET_NOT_FOUND")) throw error;
  }
}

/** Starts the copy; one that cannot be started is taken away again. false: the user has been told. */
export async function startCopy(call: Call, id: ContainerId, inForeground: boolean): Promise<boolean> {
  const { engine, caller, report } = call;
  const own: Call = { ...call, id };
  let started: ContainerStatus;
  let joined: number | null = null;
  const join = (descriptor: number): void => {
    joined = descriptor;
  };
  const source = await engine.readConfig(id);
  if (source === null) throw noSuchContainer(id);
  const loaded = await loadForStart(source, caller, [], { engine, id });
  if (loaded.kind === "faulty")
    throw new IsletError("ISLET_BAD_CONFIG", `the configuration ${source.file} cannot be used`, {
      faults: loaded.faults,
    });
  const planned = loaded.config.spec(id, caller, { command: null, mode: "exec" }, report.info);
  const spec = inForeground ? withReplay(planned) : planned;
  try {
    const starting = engine.start(spec, {
      caller,
      pidFile: null,
      console: "monitor",
      warn: warnOf(call),
      ...(inForeground ? { join } : {}),
    });
    started = await call.progress.during({ what: `starting ${id.name}` }, starting);
  } catch (error) {
    for (const text of errorLines(error)) report.error(text);
    for (const text of startFailureLines(!inForeground)) report.error(text);
    await discard(call, id);
    return false;
  }
  if (inForeground) await foreground(own, spec.lifecycle.monitorDeathSignal, started, joined);
  return true;
}

/** Runs a command in the started copy and ends it then, or when the caller goes away; resolves with the command's status. `keep`: it is not destroyed. */
export async function runInCopy(
  call: Call,
  id: ContainerId,
  options: Omit<AttachOptions, "caller" | "terminals">,
  keep: boolean,
): Promise<number> {
  const { engine, caller, session } = call;
  let status = 255;
  try {
    const task = await engine.attach(id, { ...options, caller, terminals: session.terminals });
    status = await Promise.race([runTask(call, task, options.command?.[0] ?? null), session.gone]);
  } catch (error) {
    await end(call, id, killed, keep);
    throw error;
  }
  await end(call, id, { kind: "clean", timeout: shutdownTime, noKill: false }, keep);
  return status;
}

async function end(call: Call, id: ContainerId, how: StopOptions, keep: boolean): Promise<void> {
  try {
    await call.progress.during({ what: `stopping ${id.name}` }, call.engine.stop(id, how));
  } catch (error) {
    // It has ended by itself.
    if (!(error instanceof IsletError && ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"].includes(error.code))) throw error;
  }
  await call.engine.wait(id, ["STOPPED"], shutdownTime);
  if (!keep) await discard(call, id);
}

/** attach as lxc-copy does it: with a clear environment, as root. */
export const plainAttach = (command: readonly string[] | null): Omit<AttachOptions, "caller" | "terminals"> => ({
  command,
  environment: "clear",
  keepNames: [],
  set: [],
  namespaces: null,
  elevated: { cgroup: false, capabilities: false, lsm: false },
  remountSysProc: false,
  uid: null,
  gid: null,
  architecture: null,
  selinuxContext: null,
});

export const isPlainFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === false;
