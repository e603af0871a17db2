import type { Fault } from "../base/source.js";
import type { BoundUser } from "../spec/guest.js";
import type { UserFacts } from "../spec/host.js";
import { type Account, parseGroup, parsePasswd, shadowHash } from "../sys/accounts.js";

/** Ids that systemd sets aside for users who are passed into a container (systemd.io/UIDS-GIDS). */
export const boundIds = { first: 60_514, last: 60_577 } as const;

/** Below it are the host's services. */
const firstPerson = 1000;
const nobody = 65_534;

export interface HostAccounts {
  readonly passwd: string;
  readonly group: string;
  readonly shadow: string;
}

/** What matters of the guest's own accounts: nothing of it is trusted, it can only keep itself from being started. */
export interface GuestAccounts {
  readonly passwd: string;
  readonly group: string;
  /** Whether there is a program of that path. */
  readonly hasProgram: (path: string) => boolean;
}

/** Who the users are and which ids they get in the guest: the first that it does not use itself. With any fault there is no user. */
export function boundUsers(
  wanted: readonly BoundUser[],
  host: HostAccounts,
  guest: GuestAccounts,
): { readonly users: readonly UserFacts[]; readonly faults: readonly Fault[] } {
  const accounts = parsePasswd(host.passwd);
  const groups = parseGroup(host.group);
  const own = parsePasswd(guest.passwd);
  const ownGroups = parseGroup(guest.group);
  const taken = new Set([...own.map(({ uid }) => uid), ...ownGroups.map(({ gid }) => gid)]);
  const users: UserFacts[] = [];
  const faults: Fault[] = [];
  let inside: number = boundIds.first;
  for (const { name, at } of wanted) {
    const account = accounts.find((one) => one.name === name);
    const refuse = (message: string, hint?: string): void => {
      faults.push(hint === undefined ? { message, at } : { message, at, hint });
    };
    if (account === undefined) {
      refuse(`the host has no user ${name}`, "only those of its passwd file can be passed in");
      continue;
    }
    const problem = problemOf(account, groups.find(({ gid }) => gid === account.gid)?.name ?? null);
    if (problem !== null) {
      refuse(problem);
      continue;
    }
    if (own.some((one) => one.name === name) || ownGroups.some((one) => one.name === name)) {
      refuse(`the guest has a user or group ${name} of its own`);
      continue;
    }
    while (taken.has(inside)) inside += 1;
    if (inside > boundIds.last) {
      refuse(`the guest has no id left for ${name}`, `it uses those from ${boundIds.first} to ${boundIds.last} itself`);
      continue;
    }
    const hasShell = isPlainPath(account.shell) && guest.hasProgram(account.shell);
    users.push({
      name,
      at,
      home: account.home,
      uid: account.uid,
      gid: account.gid,
      inside,
      realName: realName(account.gecos),
      shell: hasShell ? account.shell : null,
      hash: shadowHash(host.shadow, name),
    });
    inside += 1;
  }
  return { users: faults.length > 0 ? [] : users, faults };
}

function problemOf(account: Account, group: string | null): string | null {
  const { name, uid, home } = account;
  if (uid === 0) return `${name} is root, who cannot be passed in`;
  if (uid < firstPerson || uid === nobody) return `${name} is a user of the system's (uid ${uid}), not a person`;
  // One id of a group is passed in: that of a group of many would give away what all of them share.
  if (group !== name)
    return `${name} has no group of its own: the first is ${group ?? `${account.gid}, which has no name`}`;
  return isPlainPath(home) ? null : `${name} has no home directory that could be passed in: "${home}"`;
}

/** Absolute, not the root, and the same however it is read. */
function isPlainPath(path: string): boolean {
  return /^(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)+$/.test(path);
}

/** passwd(5): the first of the fields between commas. What a record cannot hold is left out. */
function realName(gecos: string): string {
  const name = gecos.split(",", 1)[0] ?? "";
  return Array.from(name).every((char) => char >= " " && char !== "\x7f") ? name : "";
}
