import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Users of a host that exists for a test only: nobody else's accounts are touched. */

export interface HostUser {
  readonly name: string;
  /** Also its group's. */
  readonly id: number;
  /** crypt(5); null: locked. */
  readonly hash: string | null;
  readonly shell?: string;
}

export interface HostUsers {
  /** For ISLET_ACCOUNTS. */
  readonly accounts: string;
  /** Where a user's home is. */
  readonly home: (name: string) => string;
}

/** Writes passwd, group and shadow below `directory`, and makes the homes there. */
export function hostUsers(directory: string, users: readonly HostUser[]): HostUsers {
  const accounts = join(directory, "accounts");
  const homes = join(directory, "homes");
  const home = (name: string): string => join(homes, name);
  for (const path of [accounts, homes]) mkdirSync(path);
  const write = (name: string, lines: readonly string[]): void => {
    writeFileSync(join(accounts, name), lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  };
  write("passwd", [
    "root:x:0:0:root:/root:/bin/sh",
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin",
    ...users.map(
      ({ name, id, shell = "/bin/sh" }) => `${name}:x:${id}:${id}:${name} of the host,,,:${home(name)}:${shell}`,
    ),
  ]);
  write("group", ["root:x:0:", "daemon:x:1:", ...users.map(({ name, id }) => `${name}:x:${id}:`)]);
  write("shadow", ["root:*:1::::::", ...users.map(({ name, hash }) => `${name}:${hash ?? "!"}:1:0:99999:7:::`)]);
  for (const { name, id } of users) {
    mkdirSync(home(name));
    chmodSync(home(name), 0o700);
    chownSync(home(name), id, id);
  }
  return { accounts, home };
}
