import { errorLines, IsletError } from "../../../base/errors.js";
import { escaped } from "../../../base/printable.js";
import { type Fault, showFault, showSource } from "../../../base/source.js";
import type { ListenSockets } from "../../../engine/engine.js";
import type { EnvironmentEntry } from "../../../spec/process.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { toLibvirtError } from "../rpc/wire-errors.js";
import { initSpec, processSpec } from "../spec/process.js";
import type { DomainDoc } from "../xml/domain.js";
import type { StopReason } from "./audit.js";
import type { Services } from "./services.js";

/**
 * What administrators find of a domain in /var/log/libvirt/lxc/NAME.log, in libvirt's words: starts with init's command line, why they failed, ends. What
 * a document or a guest brings is escaped: nobody's words are a line of their own.
 */
export interface DomainLog {
  /** The engine begins to make it, whoever asked for that. */
  starting(doc: DomainDoc, spec: ContainerSpec, listen: ListenSockets | null): void;
  /** The start goes on all the same. */
  warned(name: string, fault: Fault): void;
  /** It has started and is ended again, since a hook does not want it: the failure is told when it is known. */
  undoing(name: string): void;
  failed(doc: DomainDoc, error: unknown): void;
  /** It runs; said once more of one that was told of while it was starting. */
  began(doc: DomainDoc): void;
  /** It has been running since before this daemon. */
  found(name: string): void;
  /** `status`: the wait status of init. */
  exited(name: string, status: number): void;
  ended(name: string, reason: StopReason): void;
}

/** Who writes all this. */
export interface LogIdentity {
  readonly version: string;
  readonly kernel: string;
  readonly hostname: string;
}

/** Of a start that has no end yet. `command`: null: of one that another daemon has seen, and what it was given is not known. */
interface Open {
  readonly command: string | null;
  readonly isUndone: boolean;
}

/** `withDaemon`: whether everything goes to the daemon's own log, by libvirt's lxc.conf of the moment. */
export function createDomainLog(
  { appendLog }: Pick<Services, "appendLog">,
  identity: LogIdentity,
  withDaemon: () => boolean,
): DomainLog {
  const open = new Map<string, Open>();
  /** The command lines of guests that are rebooting. */
  const rebooting = new Map<string, string | null>();

  const write = (name: string, lines: readonly string[]): void => {
    if (!withDaemon()) appendLog?.(name, lines);
    else for (const line of lines) console.error(`${escaped(name)}: ${line}`);
  };
  const say = (name: string, what: string): void => {
    write(name, [stamped(what)]);
  };
  const begin = (name: string, command: string | null): void => {
    open.set(name, { command, isUndone: false });
    const { version, kernel, hostname } = identity;
    const host = `kernel: ${escaped(kernel)}, hostname: ${escaped(hostname)}`;
    const first = stamped(`starting up libvirt version: 9.0.0, package: islet ${version}, ${host}`);
    write(name, command === null ? [first] : [first, command]);
  };
  const end = (name: string, reason: StopReason): void => {
    if (open.delete(name)) say(name, `shutting down, reason=${reason}`);
  };

  return {
    starting(doc, spec, listen) {
      begin(doc.name, commandLine(spec.init.command.value, spec.process.environment, listen));
    },
    warned(name, fault) {
      say(name, `warning: ${escaped(showFault(fault))}`);
    },
    undoing(name) {
      const before = open.get(name);
      if (before !== undefined) open.set(name, { ...before, isUndone: true });
    },
    failed(doc, error) {
      const { name } = doc;
      // Refused before anything was begun, or ended again by now.
      if (!open.has(name)) begin(name, documentCommand(doc));
      write(
        name,
        failureLines(error).map((line) => stamped(`error: ${escaped(line)}`)),
      );
      end(name, "failed");
    },
    began(doc) {
      const { name } = doc;
      if (open.has(name)) return;
      begin(name, rebooting.has(name) ? (rebooting.get(name) ?? null) : documentCommand(doc));
      rebooting.delete(name);
    },
    found(name) {
      open.set(name, { command: null, isUndone: false });
    },
    exited(name, status) {
      if (open.has(name)) say(name, exitWords(status));
    },
    ended(name, reason) {
      const now = open.get(name);
      if (reason === "reboot") rebooting.set(name, now?.command ?? null);
      else rebooting.delete(name);
      // The failure that it is ended for closes it.
      if (now?.isUndone !== true) end(name, reason);
    },
  };
}

/** As libvirt's logs have it: UTC, with milliseconds. */
export const logTime = (time: Date): string => time.toISOString().replace("T", " ").replace("Z", "+0000");

const stamped = (what: string): string => `${logTime(new Date())}: ${what}`;

const documentCommand = (doc: DomainDoc): string =>
  commandLine(initSpec(doc.os).command.value, processSpec(doc).environment, null);

/** As a shell would take it: NAME=VALUE of the environment, the program, its arguments. */
export function commandLine(
  argv: readonly string[],
  environment: readonly EnvironmentEntry[],
  listen: ListenSockets | null,
): string {
  const set = new Map<string, string>();
  for (const entry of environment)
    if (entry.kind === "set" && entry.scope !== "hooks") set.set(entry.name, entry.value);
  if (listen !== null && listen.fds.length > 0) {
    set.set("LISTEN_FDS", String(listen.fds.length)).set("LISTEN_PID", "1");
    if (listen.names !== null) set.set("LISTEN_FDNAMES", listen.names);
  }
  return [...[...set].map(([name, value]) => `${word(name)}=${word(value)}`), ...argv.map(word)].join(" ");
}

function word(text: string): string {
  if (/^[\w./@%+:,-]+$/.test(text)) return text;
  const safe = escaped(text);
  return safe === text ? `'${text.replaceAll("'", "'\\''")}'` : `$'${safe.replaceAll("'", "\\'")}'`;
}

/** What a client is told, then what is known beyond that. */
function failureLines(error: unknown): readonly string[] {
  const lines = [toLibvirtError(error).message];
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at) && seen.size < 8; at = at.cause) {
    seen.add(at);
    const known = (text: string): boolean => lines.some((line) => line.includes(text));
    for (const line of at instanceof IsletError ? errorLines(at) : [at.message]) if (!known(line)) lines.push(line);
    if (!(at instanceof IsletError)) continue;
    const facts = [
      `code=${at.code}`,
      ...(at.syscall === undefined ? [] : [`call=${at.syscall}`]),
      ...(at.errno === undefined ? [] : [`errno=${at.errno}`]),
      ...(at.at === null ? [] : [`by ${showSource(at.at)}`]),
    ];
    lines.push(facts.join(" "));
  }
  return lines;
}

/** reboot(2) ends the init of a pid namespace by these. */
const SIGHUP = 1;
const SIGINT = 2;

function exitWords(status: number): string {
  const signal = status & 0x7f;
  if (signal === 0) return `init ended with status ${(status >> 8) & 0xff}`;
  if (signal === SIGHUP) return "init asked for a reboot";
  return signal === SIGINT ? "init asked for a power-off" : `init was killed by signal ${signal}`;
}
