import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ExplainedOp } from "../../src/program/explain.js";
import { ok } from "../support/command.js";
import { daemonPid } from "../support/leaks.js";
import { lacks } from "../support/skip.js";
import { busybox, tempStore, type Store } from "../support/store.js";
import { strace, type Trace, type TracedCall } from "../support/strace.js";
import { waitFor } from "../support/wait.js";
import { lxdContainer } from "./guest-lxd.js";

/**
 * `islet plan` prints what runs: the calls that strace sees from the monitor and from its children are the operations of the printed program, in
 * order, with the printed arguments, and in the children nothing else. At branches the way is taken that the following calls agree with.
 */

/** What the monitor does for itself while it runs a program: it waits, serves its socket and the terminals, watches over its children. */
const servingNames: ReadonlySet<string> = new Set([
  "poll",
  "sendmsg",
  "recvmsg",
  "accept4",
  "waitid",
  // lxc-stop -k asks it to.
  "pidfd_send_signal",
  "fcntl",
  "read",
  "write",
  "close",
  // Memory that only the program needed goes back to the kernel; what a later daemon may ask for is kept in a file and mapped then.
  "madvise",
  "mmap",
  "munmap",
]);

function isServing(call: TracedCall): boolean {
  // A slave of its own keeps a terminal from hanging up while nobody inside has it open.
  return servingNames.has(call.name) || (call.name === "ioctl" && call.args[1] === "TIOCGPTPEER");
}

/** Operations that are no system call. */
const silent: ReadonlySet<string> = new Set(["jump", "set", "store", "load", "format", "tell", "check", "wait"]);

type Slots = ReadonlyMap<string, number>;

/** Where the walk through a list of operations stands. */
interface Step {
  readonly op: number;
  readonly at: number;
  readonly slots: Slots;
  readonly deferred: readonly (readonly ExplainedOp[])[];
  /** How many operations were seen as calls, and how many of their arguments could be compared. */
  readonly calls: number;
  readonly compared: number;
}

/** Walks through operations and calls side by side; fails with the furthest place that they agreed on. */
function follow(
  trace: Trace,
  ops: readonly ExplainedOp[],
  calls: readonly TracedCall[],
  begin: Omit<Step, "op">,
  mayServe: boolean,
): Step {
  const first = ops[0]?.index ?? 0;
  const branches: Step[] = [{ ...begin, op: 0 }];
  let furthest = { at: -1, text: "" };
  const fails = (step: Step, why: string): void => {
    if (step.at >= furthest.at) furthest = { at: step.at, text: why };
  };
  for (let step = branches.pop(); step !== undefined; step = branches.pop()) {
    for (;;) {
      const current: Step = step;
      const op = ops[current.op];
      if (op === undefined || op.operation === "end") return current;
      const next: Step = { ...current, op: current.op + 1 };
      if (op.operation === "jump") {
        const there: Step = { ...current, op: (op.target ?? 0) - first };
        if (op.call !== "jump") branches.push(there);
        step = op.call === "jump" ? there : next;
        continue;
      }
      if (op.operation === "defer") {
        step = { ...next, deferred: [op.block ?? [], ...current.deferred] };
        continue;
      }
      if (silent.has(op.operation)) {
        // What a set or a load puts into a slot is not known here.
        const slots = new Map(current.slots);
        if (op.result !== null) slots.delete(op.result);
        step = { ...next, slots };
        continue;
      }
      const call = calls[current.at];
      if (call === undefined) {
        fails(current, `the trace ends before operation ${op.index}: ${shown(op)}`);
        break;
      }
      const name = op.operation === "clone" ? "clone3" : op.call;
      const compared = call.name === name ? compareArguments(op, call, current.slots) : null;
      if (compared === null) {
        if (!mayServe || !isServing(call)) {
          fails(
            current,
            `operation ${op.index} is ${shown(op)}, but the call is ${call.name}(${call.args.join(", ")})`,
          );
          break;
        }
        step = { ...current, at: current.at + 1 };
        continue;
      }
      if (mayServe && isServing(call)) branches.push({ ...current, at: current.at + 1 });
      const slots = new Map(current.slots);
      if (op.result !== null && call.result !== null) slots.set(op.result, call.result);
      const after = {
        ...next,
        at: current.at + 1,
        slots,
        calls: current.calls + 1,
        compared: current.compared + compared,
      };
      if (call.error === null) {
        if (op.operation === "clone") {
          const child = followChild(trace, op, call.result ?? 0, slots);
          step = { ...after, calls: after.calls + child.calls, compared: after.compared + child.compared };
        } else step = after;
        if (call.name.startsWith("execve")) return step;
        continue;
      }
      const rule = op.rules.find((each) => each.on === call.error || each.on === "any");
      if (rule === undefined) {
        fails(current, `operation ${op.index}, ${shown(op)}, has no rule for ${call.error}`);
        break;
      }
      step = { ...after, op: rule.to - first };
    }
  }
  return assert.fail(furthest.text);
}

/** From clone3 to execve a child does what is planned and not a single call more. */
function followChild(trace: Trace, op: ExplainedOp, pid: number, slots: Slots): Step {
  const calls = trace.calls(pid);
  assert.ok(calls.length > 0, `no trace of ${op.note}`);
  return follow(trace, op.block ?? [], calls, { at: 0, slots, deferred: [], calls: 0, compared: 0 }, false);
}

const shown = (op: ExplainedOp): string => `${op.call}(${op.args.join(", ")})`;

/** How many arguments are the same, of those that both sides print in a comparable way; null: one differs. */
function compareArguments(op: ExplainedOp, call: TracedCall, slots: Slots): number | null {
  let compared = 0;
  for (const [index, planned] of op.args.entries()) {
    const traced = call.args[index];
    if (traced === undefined) continue;
    const same = isSame(planned, traced, slots);
    if (same === false) return null;
    if (same) compared += 1;
  }
  return compared;
}

/** null: cannot be compared. */
function isSame(planned: string, traced: string, slots: Slots): boolean | null {
  const slot = slots.get(planned);
  if (slot !== undefined) return number(traced) === null ? null : number(traced) === slot;
  if (planned.startsWith('"')) {
    if (!traced.startsWith('"')) return null;
    // Texts that are completed at run time are shown with words for what is not known yet.
    const pattern = planned
      .replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
      .replace(/\b(PID|N)\b/g, "\\d+")
      .replace(/\bUUID\b/g, "[-0-9a-f]+(\\\\n)?");
    return new RegExp(`^${pattern}$`).test(traced);
  }
  if (planned.startsWith('["')) return traced.startsWith('["') ? planned === traced : null;
  if (number(planned) !== null) return number(traced) === null ? null : number(planned) === number(traced);
  if (isFlags(planned) && isFlags(traced)) return flags(planned) === flags(traced);
  return null;
}

function number(text: string): number | null {
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^(-?\d+|0x[0-9a-f]+)$/.test(text) ? Number(text) : null;
}

const isFlags = (text: string): boolean => /^~?[A-Z][A-Z0-9_]*(\|[A-Z][A-Z0-9_]*)*$/.test(text);
const flags = (text: string): string =>
  text
    .split("|")
    .filter((flag) => flag !== "O_RDONLY" && flag !== "MNT_FORCE|0")
    .sort()
    .join("|");

/** The monitor that the daemon keeps in stock for the next start. */
async function spareMonitor(): Promise<number> {
  await ok(["islet", "version"]);
  const daemon = daemonPid();
  const parentOf = (pid: string): string => /\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "";
  const isSpare = (pid: string): boolean => {
    try {
      // The daemon's nursery has made it.
      const isMonitor = readFileSync(`/proc/${pid}/cmdline`, "utf8") === "islet\0monitor\0";
      return isMonitor && Number(parentOf(parentOf(pid))) === daemon;
    } catch {
      return false; // it has ended
    }
  };
  return Number(
    await waitFor("the spare monitor", () => readdirSync("/proc").find((name) => /^\d+$/.test(name) && isSpare(name))),
  );
}

async function compareStart(t: Parameters<typeof strace>[0], store: Store, name: string): Promise<Step> {
  const json = await ok(["islet", "plan", ...store.at(name), "--json"]);
  const { operations } = JSON.parse(json) as { readonly operations: readonly ExplainedOp[] };
  const monitor = await spareMonitor();
  const trace = await strace(t, monitor);
  await ok(["lxc-start", ...store.at(name)]);
  await ok(["lxc-stop", ...store.at(name), "-k"]);
  await trace.ended;
  const calls = trace.calls(monitor);
  // Until the program arrives the monitor is at its own business; the first call of the program is that of its first operation that is one.
  const first = operations.find((op) => op.operation === "call");
  const at = calls.findIndex((call) => call.name === first?.call);
  assert.ok(at >= 0, "the trace has the program's first call");
  let step = follow(trace, operations, calls, { at, slots: new Map(), deferred: [], calls: 0, compared: 0 }, true);
  // At the end the deferred blocks, the last registered first.
  for (const block of step.deferred) step = follow(trace, block, calls, step, true);
  const rest = calls.slice(step.at).filter((call) => !isServing(call) && call.name !== "exit_group");
  assert.deepEqual(
    rest.map((call) => call.name),
    [],
    "and nothing else before its end",
  );
  return step;
}

test("the plan of a plain container is what strace sees of its start and its end", async (t) => {
  if (lacks(t, "strace")) return;
  const store = tempStore(t);
  busybox(store, "plain");
  const { calls, compared } = await compareStart(t, store, "plain");
  assert.ok(calls > 120 && compared > 2 * calls, `${calls} calls, ${compared} arguments`);
});

test("the plan of an id-mapped container with mounts, hooks and sysctls is what strace sees of its start and its end", async (t) => {
  if (lacks(t, "strace") || lacks(t, "userns")) return;
  const store = tempStore(t);
  const data = join(store.path, "data");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "");
  busybox(
    store,
    "mapped",
    `lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
lxc.rootfs.options = idmap=container
lxc.mount.entry = ${data} srv/data none bind,ro,create=dir 0 0
lxc.mount.entry = ${data}/absent srv/absent none bind,optional,create=dir 0 0
lxc.mount.entry = tmpfs tmp tmpfs nosuid,size=1m 0 0
lxc.hook.pre-start = /bin/true
lxc.hook.post-stop = /bin/true
lxc.sysctl.net.ipv4.ip_forward = 1
lxc.prlimit.nofile = 512:1024
lxc.environment = A=b
`,
  );
  const { calls, compared } = await compareStart(t, store, "mapped");
  assert.ok(calls > 160 && compared > 2 * calls, `${calls} calls, ${compared} arguments`);
});

for (const kind of ["privileged", "id-mapped"] as const) {
  test(`the plan of a guest of the profile lxd is what strace sees of its start and its end (${kind})`, async (t) => {
    if (lacks(t, "strace") || (kind !== "privileged" && lacks(t, "userns"))) return;
    const store = tempStore(t);
    lxdContainer(store, kind, "islt-lxd-strace");
    const { calls, compared } = await compareStart(t, store, "islt-lxd-strace");
    // Fewer on a host with cgroup v2 alone.
    assert.ok(calls > 200 && compared > 2 * calls, `${calls} calls, ${compared} arguments`);
  });
}
