/** Rows: identity, the main process, its environment and limits. */
import type { Source } from "../../../base/source.js";
import { personaOf } from "../../../spec/personality.js";
import type { EnvironmentValue, Item, NamedText, Values } from "./model.js";
import {
  flagKey,
  type KeyRow,
  lines,
  type ListField,
  listOf,
  numberKey,
  pathKey,
  scalar,
  setList,
  type Text,
  textKey,
} from "./row.js";
import { anyText, Problem, type Read, timeOffset, unsigned } from "./scalars.js";

const hostname: Read<string> = (value) =>
  new TextEncoder().encode(value).length < 65 ? value : new Problem(`the host name is longer than 64 bytes`);

const architecture: Read<string> = (value) =>
  personaOf(value) === undefined ? new Problem(`Unsupported personality "${value}"`) : value;

/** 4294967295 is -1 for the kernel: no id. */
const id = unsigned(0xffff_fffe);

function environmentKey(key: string, scope: EnvironmentValue["scope"], text: Text): KeyRow {
  return {
    key,
    kind: "lines",
    ...text,
    set: (draft, value, at) => {
      const equals = value.indexOf("=");
      const entry =
        equals < 0
          ? { name: value, value: null, scope }
          : { name: value.slice(0, equals), value: value.slice(equals + 1), scope };
      if (entry.name === "" || value.includes("\0")) return new Problem(`"${value}" is neither NAME=VALUE nor NAME`);
      draft.environment.push({ value: entry, at });
      return undefined;
    },
    clear: (draft) => {
      draft.environment = draft.environment.filter((item) => item.value.scope !== scope);
      return undefined;
    },
    get: (values) =>
      lines(
        values.environment
          .filter((item) => item.value.scope === scope)
          .map(({ value }) => (value.value === null ? value.name : `${value.name}=${value.value}`)),
      ),
  };
}

/** lxc.prlimit.NAME and its like: one value per name, where the whole family can be cleared and read. */
export function namedFamily(
  prefix: string,
  rest: string,
  field: ListField<NamedText>,
  read: Read<string>,
  text: Text,
): readonly KeyRow[] {
  const one: KeyRow = {
    key: `${prefix}.`,
    rest,
    kind: "family",
    ...text,
    set: (draft, value, at: Source, name) => {
      if (name === "" || name.split(/[./]/).includes("")) return new Problem(`${prefix}.${rest} needs a name`);
      const result = read(value);
      if (result instanceof Problem) return result;
      const items = listOf<NamedText>(draft, field);
      const item: Item<NamedText> = { value: { name, value: result }, at };
      const index = items.findIndex((other) => other.value.name === name);
      if (index < 0) items.push(item);
      else items[index] = item;
      return undefined;
    },
    clear: (draft, name) => {
      setList<NamedText>(
        draft,
        field,
        listOf<NamedText>(draft, field).filter((item) => item.value.name !== name),
      );
      return undefined;
    },
    get: (values, name) => listOf<NamedText>(values, field).find((item) => item.value.name === name)?.value.value ?? "",
  };
  const whole: KeyRow = {
    key: prefix,
    kind: "group",
    since: text.since,
    doc: `All of ${prefix}.${rest}; can only be cleared.`,
    set: () => new Problem(`${prefix} takes no value: write ${prefix}.${rest} = VALUE`),
    clear: (draft) => {
      setList<NamedText>(draft, field, []);
      return undefined;
    },
    get: (values: Values) =>
      lines(listOf<NamedText>(values, field).map(({ value }) => `${prefix}.${value.name} = ${value.value}`)),
  };
  return [whole, one];
}

const limit: Read<string> = (value) => {
  const match = /^(unlimited|[0-9]{1,19})(?:\s*:\s*(unlimited|[0-9]{1,19}))?$/.exec(value);
  if (match === null) return new Problem(`"${value}" is not a limit: write SOFT, SOFT:HARD or unlimited`);
  return match[2] === undefined ? (match[1] ?? "") : `${match[1]}:${match[2]}`;
};

function showOffset(blank: string): (value: bigint | null) => string {
  return (value) => {
    if (value === null) return `0${blank}ns\n`;
    return value % 1_000_000_000n === 0n ? `${value / 1_000_000_000n}${blank}s\n` : `${value}${blank}ns\n`;
  };
}

export const processRows: readonly KeyRow[] = [
  textKey(
    "lxc.uts.name",
    "utsName",
    { since: "2.1", doc: "Host name in the container's UTS namespace, at most 64 bytes." },
    hostname,
  ),
  {
    ...textKey(
      "lxc.arch",
      "arch",
      { since: "0.7", doc: "Architecture shown by uname -m in the container: its 32-bit or its 64-bit persona." },
      architecture,
    ),
    get: (values) => (values.arch === null ? "" : personaOf(values.arch.value) === "linux32" ? "i686" : "x86_64"),
  },
  textKey("lxc.init.cmd", "initCmd", {
    since: "2.1",
    doc: "Program and arguments of PID 1; quotes keep words together. Default /sbin/init.",
  }),
  pathKey("lxc.init.cwd", "initCwd", {
    since: "3.0",
    doc: "Working directory of PID 1 in the container; made if it is missing. Default /.",
  }),
  numberKey("lxc.init.uid", "initUid", id, {
    since: "2.1",
    doc: "User id of PID 1 inside the user namespace. Default 0.",
  }),
  numberKey("lxc.init.gid", "initGid", id, {
    since: "2.1",
    doc: "Group id of PID 1 inside the user namespace. Default 0.",
  }),
  {
    key: "lxc.init.groups",
    kind: "words",
    since: "4.0.10",
    doc: "Supplementary groups of PID 1: ids with commas. Default none.",
    set: (draft, value, at) => {
      for (const word of value.split(",")) {
        const group = id(word.trim());
        if (group instanceof Problem) return group;
        draft.initGroups.push({ value: group, at });
      }
      return undefined;
    },
    clear: (draft) => {
      draft.initGroups = [];
      return undefined;
    },
    get: (values) => values.initGroups.map((item) => item.value).join(","),
  },
  textKey("lxc.execute.cmd", "executeCmd", { since: "3.0", doc: "What lxc-execute runs when it is given no command." }),
  environmentKey("lxc.environment", "all", {
    since: "1.1",
    doc: "NAME=VALUE, or NAME to take it from whoever starts the container; for PID 1, attached processes and hooks.",
  }),
  environmentKey("lxc.environment.runtime", "runtime", {
    since: "7.0",
    doc: "The same for PID 1 and attached processes only.",
  }),
  environmentKey("lxc.environment.hooks", "hooks", { since: "7.0", doc: "The same for hooks only." }),
  flagKey("lxc.no_new_privs", "noNewPrivs", false, {
    since: "2.1",
    doc: "1: no program in the container gains privileges by set-id bits or file capabilities.",
  }),
  flagKey("lxc.keyring.session", "keyringSession", false, {
    since: "4.0",
    doc: "1: no new session keyring (LXC's code, against its manual). Default: a new one.",
  }),
  flagKey("lxc.sched.core", "schedCore", false, { since: "4.0.11", doc: "1: a core scheduling domain of its own." }),
  scalar<bigint>("lxc.time.offset.boot", "time", "timeBoot", timeOffset, showOffset(" "), {
    since: "5.0",
    doc: "Offset of the boot-time clock in a new time namespace: number and h, m, s, ms, us or ns.",
  }),
  scalar<bigint>("lxc.time.offset.monotonic", "time", "timeMonotonic", timeOffset, showOffset(""), {
    since: "5.0",
    doc: "Offset of the monotonic clock in a new time namespace.",
  }),
  ...namedFamily("lxc.prlimit", "NAME", "prlimits", limit, {
    since: "2.1",
    doc: "Resource limit of PID 1: SOFT, SOFT:HARD or unlimited; NAME as in setrlimit(2), lower case.",
  }),
  ...namedFamily("lxc.sysctl", "KEY", "sysctls", anyText, {
    since: "3.0",
    doc: "Written to /proc/sys/KEY of the container's namespaces before PID 1 runs.",
  }),
  ...namedFamily("lxc.proc", "FILE", "procFiles", anyText, {
    since: "3.0",
    doc: "Written to /proc/PID/FILE of PID 1, e.g. oom_score_adj.",
  }),
];
