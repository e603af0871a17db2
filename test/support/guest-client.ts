import assert from "node:assert/strict";
import { chmodSync, copyFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import type { Guest } from "../kernel/guest.js";
import type { CommandResult } from "./command.js";
import { root, testDir } from "./paths.js";
import { compileStatic } from "./static.js";

/** A guest's process at its API: guest-client.c, made once and put into guests. */

const made = join(testDir, `islt-guest-client-${process.pid}`);
after(() => {
  rmSync(made, { force: true });
});

function program(): string {
  if (!existsSync(made)) compileStatic(join(root, "test/support/guest-client.c"), made);
  return made;
}

export const socketPath = "/dev/lxd/sock";

export function putClient(guest: Guest): void {
  const to = join(guest.rootfs, "bin/guest-client");
  copyFileSync(program(), to);
  chmodSync(to, 0o755);
}

/** The path of the program on the host. */
export const clientProgram = (): string => program();

export interface Reply {
  readonly status: number;
  /** As they came, in order, without the time in Date. */
  readonly headers: readonly string[];
  readonly body: string;
  readonly all: string;
}

export function parseReply(text: string): Reply {
  const at = text.indexOf("\r\n\r\n");
  assert.ok(at > 0, `no answer: ${JSON.stringify(text)}`);
  const [first = "", ...headers] = text.slice(0, at).split("\r\n");
  return {
    status: Number(/^HTTP\/1\.1 (\d+) /.exec(first)?.[1]),
    headers: headers.map((line) => line.replace(/^Date: .* GMT$/, "Date: D")),
    body: text.slice(at + 4),
    all: text,
  };
}

export const requestText = (path: string, method: string = "GET", body: string = ""): string =>
  `${method} ${path} HTTP/1.1\r\nHost: lxd\r\nConnection: close\r\n${body === "" ? "" : `Content-Length: ${body.length}\r\n`}\r\n${body}`;

/** Sends bytes from inside and gives what came back; `how`: as what kind of process. */
export async function sendRaw(
  guest: Guest,
  input: string | Uint8Array,
  how: readonly string[] = [],
  options: { readonly milliseconds?: number; readonly socket?: string; readonly attach?: readonly string[] } = {},
): Promise<CommandResult> {
  const { milliseconds = 5000, socket = socketPath, attach = [] } = options;
  return await guest.attach([...attach, "--", "/bin/guest-client", socket, ...how, "raw", String(milliseconds)], {
    input,
  });
}

export async function ask(
  guest: Guest,
  path: string,
  how: readonly string[] = [],
  method: string = "GET",
  body: string = "",
): Promise<Reply> {
  const { stdout } = await sendRaw(guest, requestText(path, method, body), how);
  return parseReply(stdout);
}
