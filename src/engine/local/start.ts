import { IsletError } from "../../base/errors.js";
import { printable } from "../../base/printable.js";
import { closeFd } from "../../host/addon.js";
import { socketPair } from "../../host/socket.js";
import { planStart } from "../../plan/start.js";
import { encodeProgram } from "../../program/encode.js";
import { explainProgram, programJson } from "../../program/explain.js";
import type { LaunchProgram } from "../../program/ops.js";
import { decodeRecord, failureError } from "../../program/report.js";
import type { FreshMonitor, MonitorMeta } from "../../runtime/monitors.js";
import type { StartFacts } from "../../spec/host.js";
import type { ContainerSpec } from "../../spec/spec.js";
import type { StorageHost } from "../../storage/driver.js";
import { openCallerNamespaces } from "../caller-namespaces.js";
import { room } from "../client-task.js";
import type { AttachedImages } from "../disk-images.js";
import type { ContainerId, ContainerStatus, Startable, StartOptions } from "../engine.js";
import { forgetEphemeral, noteEphemeral } from "../ephemeral.js";
import { readSources, type Sources, startFacts } from "../facts.js";
import { describeMonitor } from "../meta.js";
import type { Registry } from "../registry.js";
import { expectedScope, takeScope } from "../scope.js";
import { endNow, startInCompany } from "../start-company.js";
import { checkName, directoryOf } from "../store.js";
import type { Requests } from "./groups.js";
import { inQueue, type EngineParts } from "./parts.js";
import { provideBridges } from "./provide-bridges.js";

export const startRequests = (parts: EngineParts): Requests<"start"> => ({
  start: (what, wanted) => start(parts, what, wanted),
  async execute(spec, wanted) {
    await start(parts, spec, wanted);
    return { ended: parts.registry.wait(spec, ["STOPPED"], null).then((status) => status.exitStatus ?? 255) };
  },
  async plan(spec, wanted) {
    const { host, binary } = parts;
    const sources = await readSources(host, binary, spec);
    const facts = factsOf(parts, spec, wanted, expectedScope(host, spec), sources);
    const program = planStart(spec, host, facts, wanted.warn, sources?.mounts ?? null);
    return {
      text: explainProgram(program),
      json: { arch: program.arch, operations: programJson(program) },
    };
  },
});

/** Plans a start and throws the program away. */
export function rehearse(parts: EngineParts, spec: ContainerSpec): void {
  const { host } = parts;
  const wanted: StartOptions = {
    caller: { uid: 0, gid: 0, pid: process.pid, environment: {}, cwd: "/" },
    pidFile: null,
    console: "monitor",
  };
  const facts = factsOf(parts, spec, wanted, {}, null);
  encodeProgram(planStart(spec, host, facts), room, "without notes");
  JSON.stringify(describeMonitor(spec, host, facts));
}

async function start(parts: EngineParts, what: Startable, wanted: StartOptions): Promise<ContainerStatus> {
  const { options, host, registry } = parts;
  // Not in the queue: what is starting may take its time.
  if (registry.get(what) !== undefined) throw alreadyRunning(what.name);
  let joined: number | null = null;
  const join = (descriptor: number): void => {
    joined = descriptor;
  };
  const { status, company } = await inQueue(parts, what, async () => {
    checkName(what.name);
    if (registry.get(what) !== undefined) throw alreadyRunning(what.name);
    if (registry.isOrphan(what)) await orphanEnd(registry, what);
    const inside = wanted.join === undefined ? wanted : { ...wanted, join };
    return await startInCompany(what, options.company?.(what) ?? null, inside, (spec, how) =>
      startNow(parts, spec, how),
    );
  });
  try {
    // Not in the queue: who is told may ask for a change of what runs.
    await company?.after(() => endNow(host.arch, registry, what));
  } catch (error) {
    if (joined !== null) closeFd(joined);
    throw error;
  }
  if (joined !== null) wanted.join?.(joined);
  return status;
}

/** In the container's queue. */
async function startNow(parts: EngineParts, given: ContainerSpec, wanted: StartOptions): Promise<ContainerStatus> {
  const { host, binary, storage, pool, apis, physReturn, networkChecks, register } = parts;
  let spec = given;
  const links = await provideBridges(parts, spec, wanted);
  // Of an end that nobody has seen.
  await physReturn.restore(spec);
  await limitRoot(storage, spec);
  const admitted = networkChecks.admit(spec, wanted, links);
  let scoped: Awaited<ReturnType<typeof takeScope>> = null;
  let disks: AttachedImages | null = null;
  try {
    if ((spec.mounts.dev.images ?? []).length > 0) {
      disks = await (await import("../disk-images.js")).attachImages(host.arch, spec);
      spec = disks.spec;
    }
    scoped = await takeScope(host, pool, spec, wanted.warn);
    const reading = readSources(host, binary, spec);
    const sources = reading === null ? null : await reading;
    const facts = factsOf(parts, spec, wanted, scoped?.cgroups ?? {}, sources, disks?.fds.length);
    const program = planStart(spec, host, facts, wanted.warn, sources?.mounts ?? null);
    const meta = describeMonitor(spec, host, facts);
    const unregister = await register.admit(spec, facts, wanted.warn);
    apis.open(meta);
    if (facts.networkPin !== null) physReturn.note(spec);
    if (spec.lifecycle.ephemeral) noteEphemeral(storage, spec);
    try {
      const { monitor: fresh = null } = scoped ?? {};
      return await launch(parts, { spec, wanted, facts, program, meta, fresh, loops: disks?.fds ?? [] });
    } catch (error) {
      unregister();
      apis.close(meta);
      if (spec.lifecycle.ephemeral) forgetEphemeral(storage, spec);
      await physReturn.restore(spec);
      throw error;
    }
  } finally {
    // The monitor has its own.
    disks?.[Symbol.dispose]();
    admitted();
    await scoped?.monitor.discard();
  }
}

/** A start that has been planned. */
interface Planned {
  readonly spec: ContainerSpec;
  readonly wanted: StartOptions;
  readonly facts: StartFacts;
  readonly program: LaunchProgram;
  readonly meta: MonitorMeta;
  /** null: whichever monitor is there. */
  readonly fresh: FreshMonitor | null;
  /** Descriptors of the loop devices that hold its disks. */
  readonly loops: readonly number[];
}

async function launch(
  parts: EngineParts,
  { spec, wanted, facts, program, meta, fresh, loops }: Planned,
): Promise<ContainerStatus> {
  const { host, pool, registry } = parts;
  const fds: number[] = [];
  if (wanted.stdio !== undefined) for (const fd of wanted.stdio) fds.push(fd ?? parts.sealedBinary());
  if (spec.init.mode === "supervised") fds.push(parts.sealedBinary());
  const elsewhere = openCallerNamespaces(facts);
  fds.push(...elsewhere, ...(wanted.listen?.fds ?? []), ...loops);
  const [near, far] = wanted.join === undefined ? [null, null] : socketPair(host.arch);
  const result = await pool
    .launch(
      {
        meta,
        title: `[lxc monitor] ${spec.storePath} ${spec.name}`,
        image: (allocate) => encodeProgram(program, allocate, "without notes"),
        fds,
        failOperation: wanted.failOperation ?? failOperationOf(parts, wanted),
        joined: far,
        fresh,
      },
      registry.events,
    )
    .catch((error: unknown) => {
      // Nothing was handed over.
      for (const fd of [near, far]) if (fd !== null) closeFd(fd);
      throw error;
    })
    .finally(() => {
      for (const fd of elsewhere) closeFd(fd);
    });
  setImmediate(() => {
    pool.prepare();
  });
  // It has been in the registry since its first sign of life, and may have left it again: a short command ends before we come here.
  if (result.kind === "running") {
    if (near !== null) wanted.join?.(near);
    return registry.status(spec);
  }
  if (near !== null) closeFd(near);
  if (result.kind === "died")
    throw new IsletError("ISLET_START_FAILED", `the monitor of ${spec.name} ended before the container ran`);
  throw startError(program, result.record, result.log, spec.name);
}

function failOperationOf({ options }: EngineParts, wanted: StartOptions): number | null {
  const text = options.isUnderTest === true ? wanted.caller.environment["ISLET_TEST_FAIL_OPERATION"] : undefined;
  return text === undefined ? null : Number(text);
}

function factsOf(
  { host, lxcfs, registry }: EngineParts,
  spec: ContainerSpec,
  wanted: StartOptions,
  scope: StartFacts["scope"],
  sources: Sources | null,
  loops = 0,
): StartFacts {
  const pidOf = (container: string): number | null => mainProcessOf(registry, container);
  try {
    return startFacts(spec, host, wanted, scope, pidOf, lxcfs.current(), sources, loops);
  } finally {
    // The start needs what is opened there for itself.
    sources?.files?.close();
  }
}

/** `container`: its name, or its directory. */
function mainProcessOf(registry: Registry, container: string): number | null {
  const isDirectory = container.includes("/");
  for (const { meta, pid } of registry.all()) {
    const matches = isDirectory ? directoryOf(meta) === container : meta.name === container;
    if (matches && pid !== null) return pid;
  }
  return null;
}

/** islet.rootfs.size. */
async function limitRoot({ arch }: StorageHost, { rootfs }: ContainerSpec): Promise<void> {
  if (rootfs.size === undefined || rootfs.source.kind !== "dir") return;
  const { limitDirectory } = await import("../../storage/quota.js");
  await limitDirectory(arch, rootfs.source.path, BigInt(rootfs.size));
}

/** Milliseconds that a start waits for the end of a guest whose monitor was killed. */
const orphanTime = 2000;

async function orphanEnd(registry: Registry, id: ContainerId): Promise<void> {
  try {
    await registry.wait(id, ["STOPPED"], orphanTime);
  } catch {
    throw new IsletError("ISLET_BUSY", `${id.name} is still ending: its monitor was killed`, {
      hint: "lxc-stop -k ends it at once",
    });
  }
}

function alreadyRunning(name: string): IsletError {
  return new IsletError("ISLET_RUNNING", `the container ${name} is already running`);
}

/** How much of a hook's last line is told, characters. */
const lastWords = 300;

/** The error of a failed start: the lock means that the container runs; what hooks wrote last belongs to their failure. */
function startError(program: LaunchProgram, record: Uint8Array, log: string, name: string): IsletError {
  const decoded = decodeRecord(record);
  if (decoded === null)
    return new IsletError("ISLET_PROTOCOL", `the monitor of ${name} sent a report that cannot be read`);
  const error = failureError(program, decoded, "ISLET_START_FAILED");
  if (error.syscall === "bind" && error.errno === "EADDRINUSE") return alreadyRunning(name);
  const last = log.trim().split("\n").at(-1) ?? "";
  if (error.errno !== "STATUS" || last === "") return error;
  return new IsletError("ISLET_HOOK_FAILED", `${error.message}: ${printable(last).slice(0, lastWords)}`, {
    at: error.at,
    errno: "STATUS",
  });
}
