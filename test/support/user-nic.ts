import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { CommandResult } from "./command.js";
import type { HostUser } from "./host-users.js";
import type { UserPlace } from "./plain-user.js";

/** Questions of lxc-user-nic and what they come to, for the tests of it. */

export interface Made {
  readonly name: string;
  readonly index: number;
  readonly hostName: string;
  readonly hostIndex: number;
}

/** What a success prints. */
export function made({ status, stdout, stderr }: CommandResult): Made {
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  const [, name = "", index = "", hostName = "", hostIndex = ""] =
    /^([^:]+):(\d+):([^:]+):(\d+)\n$/.exec(stdout) ?? assert.fail(stdout);
  return { name, index: Number(index), hostName, hostIndex: Number(hostIndex) };
}

/** It prints nothing but why. */
export function refused({ status, stdout, stderr }: CommandResult, words: RegExp): void {
  assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
  assert.match(stderr, words);
}

/** Asks for a nic in the namespace of a process. `words`: the bridge, and perhaps a name. */
export const create = (
  there: UserPlace,
  user: HostUser | null,
  pid: number,
  ...words: readonly string[]
): Promise<CommandResult> => there.userNic(user, "create", "/path", "name", String(pid), "veth", ...words);

/** Lines of the accounts. */
export const accounts = (there: UserPlace): readonly string[] =>
  readFileSync(there.nics, "utf8").split("\n").slice(0, -1);

/** Ends of veths on the host. */
export const hostLinks = async ({ net }: UserPlace): Promise<readonly string[]> =>
  [...(await net.ok(["ip", "-o", "link"])).matchAll(/^\d+: (veth[^:@]+)/gm)].map(([, name = ""]) => name);
