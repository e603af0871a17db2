import assert from "node:assert/strict";
import { showFault } from "../../src/base/source.js";
import { parseConfig, toSpec, type ConfigFiles } from "../../src/frontends/lxc/config/config.js";
import { planStart } from "../../src/plan/start.js";
import type { StartContext } from "../../src/plan/context.js";
import { beginProgram, presetSlot, slot } from "../../src/program/assembler.js";
import { programJson, type ExplainedOp } from "../../src/program/explain.js";
import type { ContainerSpec } from "../../src/spec/spec.js";
import type { HostFacts, StartFacts } from "../../src/spec/host.js";
import { hostFacts, startFacts } from "./facts.js";

/** Specifications and plans from a few lines of configuration, for unit tests. */

const none: ConfigFiles = { read: () => null, list: () => null };

/** Of a container web1 with a root file system in its usual place. */
export function specOf(config: string): ContainerSpec {
  const text = `lxc.rootfs.path = dir:/var/lib/lxc/web1/rootfs\n${config}\n`;
  const parsed = parseConfig({ file: "web1/config", text, files: none });
  assert.deepEqual(parsed.faults.map(showFault), []);
  const made = toSpec(parsed, { name: "web1", storePath: "/var/lib/lxc", files: none, stat: () => null });
  if (made.kind === "faults") assert.fail(made.faults.map(showFault).join("\n"));
  return made.spec;
}

/** What the parts of a plan get; nothing has been planned yet. */
export function contextOf(
  config: string,
  host: HostFacts = hostFacts("v2"),
  start: StartFacts = startFacts(),
): StartContext {
  const monitor = beginProgram(host.arch, "monitor");
  const { build } = monitor;
  const listen = presetSlot(build, "listen");
  const named = (name: string): ReturnType<typeof slot> => slot(build, name);
  return {
    spec: specOf(config),
    host,
    start,
    build,
    monitor,
    warn: (fault) => {
      throw new Error(fault.message);
    },
    mounts: null,
    slots: {
      listen,
      stdio: null,
      binary: null,
      callers: [],
      listening: [],
      restart: named("restart"),
      status: named("status"),
      running: named("running"),
      pid: named("init"),
      pidfd: named("init.pidfd"),
      sync: named("sync"),
      childSync: named("sync.child"),
      monitorPid: named("monitor.pid"),
      namespaces: {},
      hookOutput: null,
    },
  };
}

/** All operations of a start, blocks below others included, in the order of the text. */
export function planOf(
  config: string,
  host: HostFacts = hostFacts("v2"),
  start: StartFacts = startFacts(),
): readonly ExplainedOp[] {
  const flat = (ops: readonly ExplainedOp[]): readonly ExplainedOp[] =>
    ops.flatMap((op) => [op, ...(op.block === null ? [] : flat(op.block))]);
  return flat(programJson(planStart(specOf(config), host, start)));
}

/** Calls of a name in a plan, as `name(arguments)`. */
export function callsOf(ops: readonly ExplainedOp[], ...names: readonly string[]): readonly string[] {
  return ops.filter((op) => names.includes(op.call)).map((op) => `${op.call}(${op.args.join(", ")})`);
}
