import assert from "node:assert/strict";
import { test } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { createDomainLog, type DomainLog, logTime } from "../../../../src/frontends/libvirt/beside/domain-log.js";
import { toSpec } from "../../../../src/frontends/libvirt/spec/to-spec.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { domain, specContext, withOs } from "../../../support/domain.js";

interface Kept {
  readonly log: DomainLog;
  /** Without their times. */
  readonly lines: () => readonly string[];
}

const identity = { version: "0.1.0", kernel: "6.1.0", hostname: "host\u001b[31m" };

function kept(): Kept {
  const out: string[] = [];
  const log = createDomainLog(
    { appendLog: (name, lines) => void out.push(...lines.map((line) => `${name} ${line}`)) },
    identity,
    () => false,
  );
  const time = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: /;
  return { log, lines: () => out.splice(0).map((line) => line.replace(time, "")) };
}

const starting = (log: DomainLog, doc: DomainDoc, fds: readonly number[] | null = null): void => {
  const spec = toSpec(doc, specContext());
  log.starting(doc, spec, fds === null ? null : { fds, names: null });
};

const header = "web1 starting up libvirt version: 9.0.0, package: islet 0.1.0, kernel: 6.1.0, hostname: host\\x1b[31m";
const uuid = domain().uuid;
const environment = `PATH=/bin:/usr/bin TERM=linux container=lxc-libvirt HOME=/ container_uuid=${uuid} LIBVIRT_LXC_UUID=${uuid} LIBVIRT_LXC_NAME=web1`;

test("times are libvirt's", () => {
  assert.equal(logTime(new Date(Date.UTC(2012, 2, 29, 10, 32, 32, 123))), "2012-03-29 10:32:32.123+0000");
});

test("a start has init's command line as a shell would take it, and an end has its reason", () => {
  const { log, lines } = kept();
  const doc = withOs({ initArgs: ["two words", "it's"], initEnv: [{ name: "A", value: "b c" }] });
  starting(log, doc, [3, 4]);
  log.began(doc);
  log.exited("web1", 9);
  log.ended("web1", "destroyed");
  assert.deepEqual(lines(), [
    header,
    `web1 ${environment} A='b c' LISTEN_FDS=2 LISTEN_PID=1 /sbin/init 'two words' 'it'\\''s'`,
    "web1 init was killed by signal 9",
    "web1 shutting down, reason=destroyed",
  ]);
});

test("without descriptors init is told of none", () => {
  const { log, lines } = kept();
  starting(log, domain(), []);
  assert.deepEqual(lines(), [header, `web1 ${environment} /sbin/init`]);
});

test("a reboot is an end and a start with the same command line", () => {
  const { log, lines } = kept();
  starting(log, domain(), [3]);
  const [, command] = lines();
  log.exited("web1", 1);
  log.ended("web1", "reboot");
  log.began(domain());
  assert.deepEqual(lines(), ["web1 init asked for a reboot", "web1 shutting down, reason=reboot", header, command]);
  // Of one that another daemon has started it is not known.
  const next = kept();
  next.log.found("web1");
  next.log.ended("web1", "reboot");
  next.log.began(domain());
  assert.deepEqual(next.lines(), ["web1 shutting down, reason=reboot", header]);
});

test("a failed start has what the client is told, and all that is known beyond", () => {
  const { log, lines } = kept();
  starting(log, domain());
  lines();
  log.warned("web1", { message: "no such bridge", at: null });
  const cause = new Error("ENOENT: no such file");
  log.failed(
    domain(),
    new IsletError("ISLET_NO_INIT", "cannot execute /sbin/init: ENOENT", {
      hint: "install one",
      errno: "ENOENT",
      syscall: "execve",
      at: { file: "web1.xml", line: 7, key: "init" },
      cause,
    }),
  );
  assert.deepEqual(lines(), [
    "web1 warning: no such bridge",
    "web1 error: internal error: cannot execute /sbin/init: ENOENT (web1.xml:7 init); install one",
    "web1 error: code=ISLET_NO_INIT call=execve errno=ENOENT by web1.xml:7 init",
    "web1 error: ENOENT: no such file",
    "web1 shutting down, reason=failed",
  ]);
});

test("a start that is refused before anything is made has its beginning, too", () => {
  const { log, lines } = kept();
  log.failed(domain(), new Error("no"));
  assert.deepEqual(lines(), [
    header,
    `web1 ${environment} /sbin/init`,
    "web1 error: internal error: no",
    "web1 shutting down, reason=failed",
  ]);
});

test("a guest that a hook has ended again has failed", () => {
  const { log, lines } = kept();
  starting(log, domain());
  log.began(domain());
  lines();
  log.undoing("web1");
  log.exited("web1", 9);
  log.ended("web1", "shutdown");
  log.failed(domain(), new Error("no"));
  assert.deepEqual(lines(), [
    "web1 init was killed by signal 9",
    "web1 error: internal error: no",
    "web1 shutting down, reason=failed",
  ]);
});

test("nothing that a document, a guest or an error says is a line of its own, or a terminal's command", () => {
  const { log, lines } = kept();
  const evil = "x\n2026-01-01 00:00:00.000+0000: shutting down, reason=forged\u001b]0;t\u0007\u009b2J\u2028'";
  starting(log, withOs({ init: `/${evil}`, initArgs: [evil], initEnv: [{ name: "A", value: evil }], cmdline: evil }));
  log.warned("web1", { message: evil, at: null });
  log.failed(domain(), new IsletError("ISLET_BAD_CONFIG", evil, { faults: [{ message: evil, at: null }] }));
  const all = lines();
  assert.equal(all.length, 6);
  // oxlint-disable-next-line no-control-regex -- they are looked for
  for (const line of all) assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028]/);
  assert.match(all[1] ?? "", /A=\$'x\\n2026.*\\x1b\]0;t\\x07\\x9b2J\\u2028\\''/);
});

test("with log_with_libvirtd all of it goes to the daemon's own log", (t) => {
  const said: string[] = [];
  t.mock.method(console, "error", (line: string) => void said.push(line));
  const appended: string[] = [];
  const log = createDomainLog({ appendLog: (name) => void appended.push(name) }, identity, () => true);
  starting(log, domain());
  log.ended("web1", "shutdown");
  assert.deepEqual(appended, []);
  assert.equal(said.length, 3);
  assert.match(said[2] ?? "", /^web1: \d.*\+0000: shutting down, reason=shutdown$/);
});
