import { errorLines, IsletError } from "../../../base/errors.js";
import { noSuchContainer } from "../../../engine/engine.js";
import type { Command, ContainerId } from "../../../engine/engine.js";
import { autoDirectory, autoLinks } from "./auto-links.js";
import { type Candidate, groupList, selectSteps } from "./autostart-select.js";
import { type Call, jsonText, lxcCommand, outputFormat, UsageError, warnOf } from "./frame.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { loadForStart } from "./load.js";
import { defaultStore } from "./system.js";
import { groupsOf, storedConfig } from "./ls.js";
import { commonGroup, commonOptions, formatOption, option, rcfileOption } from "./options.js";
import type { Waiting } from "./progress.js";

export const autostartTable: CommandTable = {
  tool: "lxc-autostart",
  synopsis: "[-r|-s|-k] [-L] [-a] [-A] [-g GROUPS] [-t T]",
  description: "Starts the containers that are to start at boot; or reboots, shuts down or kills them.",
  options: [
    option("kill", "kill them instead", { short: "k" }),
    option("list", "only list them: with the seconds to wait after each, or the names", { short: "L" }),
    option("reboot", "reboot them instead", { short: "r" }),
    option("shutdown", "shut them down instead", { short: "s" }),
    option("all", "whatever their groups", { short: "a" }),
    option("ignore-auto", "whether or not they have lxc.start.auto = 1", { short: "A" }),
    option("groups", "those in one of these groups, in this order; an empty word means those in none", {
      short: "g",
      argument: "GROUPS",
    }),
    option("timeout", "seconds until those that do not shut down are killed (60; -1 never)", {
      short: "t",
      argument: "T",
    }),
    option("help", "show this help", { short: "h", group: commonGroup }),
    ...commonOptions.map((row) => (row.long === "name" ? { ...row, help: "accepted; selects nothing" } : row)),
    rcfileOption,
    formatOption,
  ],
  operands: "any",
  named: false,
  notes: [
    "Without `-a` and `-g` the containers that are in no group are meant; the boot service says `-g onboot,`. They are started one after the other, by `lxc.start.order` and name, and `lxc.start.delay` seconds are waited after each; what runs already is left alone. `-s` and `-k` go backwards; containers with the same `lxc.start.order` are stopped at the same time.",
    "A link in `/etc/lxc/auto` to a container's `config` (LXC 0.7 to 0.9) counts as `lxc.start.auto = 1`.",
    "`--list --format json` prints an array of objects with the members name and delaySeconds (null where nothing is waited for).",
    "Exit status: 0; 2 when some failed; 1 when as many failed as there are containers, so 1 where there are none, as in LXC 5.0.",
  ],
};

const defaultTimeout = 60;

/** Milliseconds; null for ever. */
function timeoutOf(options: ParsedOptions): number | null {
  const text = options.value("timeout");
  if (text === null) return defaultTimeout * 1000;
  if (!/^-?[0-9]{1,6}$/.test(text)) throw new UsageError(`"${text}" is no number of seconds`);
  return text.startsWith("-") ? null : Number(text) * 1000;
}

/** Every container of the store whose configuration can be read; of the others the user is told. */
async function candidates(call: Call): Promise<readonly Candidate[]> {
  const { engine, caller, id } = call;
  const { storePath } = id;
  const linked = autoLinks(autoDirectory, storePath, storePath === defaultStore(caller));
  const found = await Promise.all(
    (await engine.defined(storePath)).map(async (name): Promise<Candidate | null> => {
      const config = await storedConfig(call, { storePath, name });
      if (config === null || config === "broken") return null;
      return {
        name,
        auto: config.item("lxc.start.auto") === "1" || linked.has(name),
        order: Number(config.item("lxc.start.order") ?? 0),
        delay: Number(config.item("lxc.start.delay") ?? 0),
        groups: groupsOf(config),
      };
    }),
  );
  return found.filter((one): one is Candidate => one !== null);
}

async function startOne(call: Call, id: ContainerId): Promise<void> {
  const { engine, caller, report } = call;
  const source = await engine.readConfig(id);
  if (source === null) throw noSuchContainer(id);
  const loaded = await loadForStart(source, caller, [], { engine, id });
  if (loaded.kind === "faulty") {
    throw new IsletError("ISLET_BAD_CONFIG", `the configuration ${source.file} cannot be used`, {
      faults: loaded.faults,
    });
  }
  const what =
    (await engine.definedElsewhere(id)) ?? loaded.config.spec(id, caller, { command: null, mode: "exec" }, report.info);
  await engine.start(what, { caller, pidFile: null, console: "monitor", warn: warnOf(call) });
}

interface Work {
  /** What failed, in LXC's words. */
  readonly failure: string;
  /** What is going on, for the one who waits: "starting". */
  readonly doing: string;
  /** It is done to containers that run, not to those that do not. */
  readonly onRunning: boolean;
  /** Containers of one step at the same time. */
  readonly together: boolean;
  /** lxc.start.delay counts. */
  readonly delays: boolean;
  readonly does: (id: ContainerId) => Promise<void>;
}

function workOf(call: Call): Work {
  const { engine, options, report } = call;
  const timeout = timeoutOf(options);
  if (options.has("shutdown")) {
    return {
      failure: "Error shutting down container",
      doing: "shutting down",
      onRunning: true,
      together: true,
      delays: false,
      does: async (id) => {
        const { killed } = await engine.stop(id, { kind: "clean", timeout, noKill: false });
        if (killed)
          report.notice(`${id.name} did not shut down within ${(timeout ?? 0) / 1000} seconds and was killed`);
      },
    };
  }
  if (options.has("kill")) {
    return {
      failure: "Error killing container",
      doing: "killing",
      onRunning: true,
      together: true,
      delays: false,
      does: async (id) => void (await engine.stop(id, { kind: "kill", timeout: null, noKill: false })),
    };
  }
  if (options.has("reboot")) {
    return {
      failure: "Error rebooting container",
      doing: "rebooting",
      onRunning: true,
      together: false,
      delays: true,
      does: async (id) => void (await engine.stop(id, { kind: "reboot", timeout: 0, noKill: true })),
    };
  }
  return {
    failure: "Error starting container",
    doing: "starting",
    onRunning: false,
    together: false,
    delays: true,
    does: (id) => startOne(call, id),
  };
}

/** Somebody else was quicker: what was wanted is so. */
const isSoAlready = (error: unknown): boolean =>
  error instanceof IsletError && (error.code === "ISLET_RUNNING" || error.code === "ISLET_NOT_RUNNING");

/** Resolves when the time is over, or when the client goes away. */
function sleep(seconds: number, gone: AbortSignal): Promise<void> {
  if (seconds === 0 || gone.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      gone.removeEventListener("abort", over);
      resolve();
    };
    // A timer takes no more than 2^31-1 ms.
    const timer = setTimeout(over, Math.min(seconds * 1000, 0x7fff_ffff));
    gone.addEventListener("abort", over);
  });
}

/** Goes through the steps; the number of failures. */
async function carryOut(
  call: Call,
  work: Work,
  steps: readonly (readonly Candidate[])[],
  gone: AbortSignal,
): Promise<number> {
  const { engine, id, options, report, session } = call;
  const { storePath } = id;
  const isConcerned = async (name: string): Promise<boolean> =>
    ((await engine.status({ storePath, name })).state !== "STOPPED") === work.onRunning;
  const json = outputFormat(options) === "json";
  const listed: { readonly name: string; readonly delaySeconds: number | null }[] = [];
  let failed = 0;
  let done = 0;
  const count = steps.reduce((sum, step) => sum + step.length, 0);
  const inWork = new Set<string>();
  const waiting = (): Waiting => ({
    what: `${done} of ${count}: ${work.doing} ${[...inWork].join(", ")}`,
    share: done / count,
  });

  const one = async (candidate: Candidate): Promise<void> => {
    inWork.add(candidate.name);
    await attempt(candidate);
    inWork.delete(candidate.name);
    done += 1;
  };
  const attempt = async ({ name, delay }: Candidate): Promise<void> => {
    if (gone.aborted || !(await isConcerned(name))) return;
    if (options.has("list")) {
      listed.push({ name, delaySeconds: work.delays ? delay : null });
      if (!json) session.write(1, work.delays ? `${name} ${delay}\n` : `${name}\n`);
      return;
    }
    try {
      await work.does({ storePath, name });
      if (work.delays) await sleep(delay, gone);
    } catch (error) {
      if (isSoAlready(error)) return;
      failed += 1;
      for (const text of errorLines(error)) report.error(`${name}: ${text}`);
      report.error(`${work.failure}: ${name}`);
    }
  };
  const all = async (): Promise<void> => {
    for (const step of steps) {
      if (work.together && !options.has("list")) await Promise.all(step.map(one));
      else for (const candidate of step) await one(candidate);
    }
  };
  await call.progress.during(waiting, all());
  if (json) session.write(1, jsonText(listed));
  return failed;
}

async function body(call: Call): Promise<number> {
  const { options, report, session, id } = call;
  const all = options.has("all");
  const work = workOf(call);
  if (options.has("format") && !options.has("list")) throw new UsageError("--format is for --list");
  if (all && options.has("groups"))
    report.notice("Specifying -a (all) with -g (groups) doesn't make sense. All option overrides");
  const found = await candidates(call);
  if (found.length === 0) {
    report.notice(`there are no containers in ${id.storePath}`);
    if (outputFormat(options) === "json") session.write(1, jsonText([]));
    return 1;
  }
  const steps = selectSteps(found, {
    groups: groupList(options.values("groups")),
    all,
    ignoreAuto: options.has("ignore-auto"),
    reverse: options.has("shutdown") || options.has("kill"),
  });
  const gone = new AbortController();
  const clientGone = session.gone.catch((error: unknown) => {
    gone.abort();
    throw error;
  });
  const failed = await Promise.race([carryOut(call, work, steps, gone.signal), clientGone]);
  if (failed === found.length) return 1;
  return failed > 0 ? 2 : 0;
}

export const autostart: Command = lxcCommand(autostartTable, body);
