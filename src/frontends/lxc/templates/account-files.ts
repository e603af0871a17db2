import { IsletError } from "../../../base/errors.js";
import { type Accounts, entryOf, freeId, withGroup, withMember } from "../../../spec/accounts.js";
import type { RootEditor } from "../../../spec/image.js";

/** The files of users and groups in a root file system. */

const modes = { "/etc/passwd": 0o644, "/etc/shadow": 0o640, "/etc/group": 0o644, "/etc/gshadow": 0o640 } as const;

export const readAccounts = (root: RootEditor): Accounts => ({
  passwd: root.read("/etc/passwd") ?? "",
  shadow: root.read("/etc/shadow"),
  group: root.read("/etc/group") ?? "",
  gshadow: root.read("/etc/gshadow"),
});

/** Files that are there keep their mode and owner. */
export function writeAccounts(root: RootEditor, accounts: Accounts): void {
  const write = (path: keyof typeof modes, text: string | null): void => {
    if (text === null) return;
    if (!root.change(path, () => text)) root.write(path, text, { mode: modes[path] });
  };
  write("/etc/group", accounts.group);
  write("/etc/gshadow", accounts.gshadow);
  write("/etc/passwd", accounts.passwd);
  write("/etc/shadow", accounts.shadow);
}

/** ISLET_BAD_REQUEST: a name that adduser would not take either. */
export function checkUserName(name: string): string {
  if (/^[a-z_][a-z0-9_-]{0,31}$/i.test(name)) return name;
  throw new IsletError("ISLET_BAD_REQUEST", `"${name}" is no name of a user`);
}

/** The user is in the group, which is made where it is missing, with a number below 1000. */
export function joinGroup(accounts: Accounts, group: string, user: string): Accounts {
  const there = entryOf(accounts.group, group) === null ? withGroup(accounts, group, freeId(accounts, 200)) : accounts;
  return withMember(there, group, user);
}

/** Files of /etc/skel, one level deep, in a home that did not exist. */
export function makeHome(root: RootEditor, home: string, uid: number, gid: number): void {
  root.directory(home, { mode: 0o750, uid, gid });
  for (const name of root.list("/etc/skel")) {
    const text = root.read(`/etc/skel/${name}`);
    if (text !== null && !root.exists(`${home}/${name}`))
      root.write(`${home}/${name}`, text, { mode: 0o644, uid, gid });
  }
}
