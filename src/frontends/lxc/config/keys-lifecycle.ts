/** Rows: signals, starting and stopping, monitor and log, hooks. */
import { hookKinds, type HookKind } from "../../../spec/hooks.js";
import { splitWords } from "./grammar.js";
import { flagKey, type KeyRow, lines, numberKey, pathKey, scalar, signalKey, textKey } from "./row.js";
import { logLevel, oneOf, Problem, signed, unsigned } from "./scalars.js";

const facilities = ["daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"] as const;

const hookDocs: Readonly<Record<HookKind, readonly [since: string, doc: string]>> = {
  "pre-start": ["0.8", "Run on the host before anything of the container exists."],
  "pre-mount": ["0.9", "Run in the container's mount namespace before the root file system is mounted."],
  mount: ["0.8", "Run in the container's namespaces after all mounts."],
  autodev: ["0.9", "Run after the mount hooks when /dev is populated (lxc.autodev = 1)."],
  "start-host": ["3.0", "Run on the host when the container is set up, before PID 1 is executed."],
  start: ["0.8", "Run in the container just before PID 1 is executed; the program must be in the container."],
  stop: ["2.0", "Run on the host when PID 1 has ended and its namespaces can still be reached."],
  "post-stop": ["0.8", "Run on the host after everything was cleaned up; a failure forbids a restart after a reboot."],
  clone: ["1.0", "Run by lxc-copy with the new container's root file system mounted."],
  destroy: ["2.0", "Run by lxc-destroy."],
};

function hookKey(kind: HookKind): KeyRow {
  const [since, doc] = hookDocs[kind];
  return {
    key: `lxc.hook.${kind}`,
    kind: "lines",
    since,
    doc,
    set: (draft, value, at) => {
      draft.hooks[kind].push({ value, at });
      return undefined;
    },
    clear: (draft) => {
      draft.hooks[kind] = [];
      return undefined;
    },
    get: (values) => lines(values.hooks[kind].map((item) => item.value)),
  };
}

export const lifecycleRows: readonly KeyRow[] = [
  flagKey("lxc.ephemeral", "ephemeral", false, {
    since: "2.0",
    doc: "1: destroyed when it stops (not when it reboots).",
  }),
  signalKey("lxc.signal.halt", "signalHalt", 0, {
    since: "2.1",
    doc: "Sent by lxc-stop. Default SIGPWR, or SIGRTMIN+3 where PID 1 blocks that (systemd).",
  }),
  signalKey("lxc.signal.reboot", "signalReboot", 0, { since: "2.1", doc: "Sent by lxc-stop -r. Default SIGINT." }),
  signalKey("lxc.signal.stop", "signalStop", 0, {
    since: "2.1",
    doc: "Sent by lxc-stop -k, and when the time for a clean stop is over. Default SIGKILL.",
  }),
  flagKey("lxc.start.auto", "startAuto", false, { since: "1.0", doc: "1: started by lxc-autostart." }),
  numberKey("lxc.start.delay", "startDelay", unsigned(0x7fff_ffff), {
    since: "1.0",
    doc: "Seconds that lxc-autostart waits after starting this container.",
  }),
  numberKey("lxc.start.order", "startOrder", signed, {
    since: "1.0",
    doc: "Lower ones are started first and stopped last.",
  }),
  {
    key: "lxc.group",
    kind: "words",
    since: "1.0",
    doc: "Groups of the container, for lxc-autostart -g and lxc-ls -g; onboot is what the boot starts.",
    set: (draft, value, at) => {
      for (const word of splitWords(value)) draft.groups.push({ value: word, at });
      return undefined;
    },
    clear: (draft) => {
      draft.groups = [];
      return undefined;
    },
    get: (values) => lines(values.groups.map((item) => item.value)),
  },
  flagKey("lxc.monitor.unshare", "monitorUnshare", false, {
    since: "2.0",
    doc: "1: the monitor has a mount namespace of its own before the pre-start hooks.",
  }),
  signalKey("lxc.monitor.signal.pdeath", "monitorDeathSignal", 9, {
    since: "3.1",
    doc: "Sent to PID 1 when the monitor dies; 0: none. Default SIGKILL.",
  }),
  scalar<string>("lxc.log.level", "text", "logLevel", logLevel, (value) => value ?? "NOTSET", {
    since: "2.1",
    doc: "0 to 8 or trace, debug, info, notice, warn, error, crit, alert, fatal.",
  }),
  pathKey("lxc.log.file", "logFile", { since: "2.1", doc: "Log file." }),
  textKey(
    "lxc.log.syslog",
    "logSyslog",
    { since: "2.1", doc: "Facility of syslog(3): daemon or local0 to local7." },
    oneOf("a facility of syslog", facilities),
  ),
  {
    key: "lxc.hook",
    kind: "group",
    since: "1.1",
    doc: "All hooks of all kinds; can only be cleared.",
    set: () => new Problem("lxc.hook takes no value: write lxc.hook.KIND = COMMAND"),
    clear: (draft) => {
      for (const kind of hookKinds) draft.hooks[kind] = [];
      return undefined;
    },
    get: () => null,
  },
  ...hookKinds.map(hookKey),
  scalar<0 | 1>(
    "lxc.hook.version",
    "number",
    "hookVersion",
    (value) =>
      value === "0"
        ? 0
        : value === "1"
          ? 1
          : new Problem("Invalid hook version specified. Currently only 0 (legacy) and 1 are supported"),
    (value) => String(value ?? 0),
    { since: "3.0", doc: "0: hooks get name, section and type as arguments; 1: in the environment." },
  ),
];
