/** The four files that users and groups are kept in, as passwd(5), shadow(5), group(5) and gshadow(5) have them; null: there is no such file. */
export interface Accounts {
  readonly passwd: string;
  readonly shadow: string | null;
  readonly group: string;
  readonly gshadow: string | null;
}

export interface NewUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly gecos: string;
  readonly home: string;
  readonly shell: string;
  /** What crypt(5) made of it; "!" locks. */
  readonly hash: string;
}

/** Days since 1970, for a shadow line. */
const day = 86_400_000;

/** Lines of a file, without empty ones. */
const linesOf = (text: string): readonly string[] => text.split("\n").filter((line) => line !== "");
const joined = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");
const nameOf = (line: string): string => line.split(":")[0] ?? "";

/** The entry of that name. */
export function entryOf(file: string, name: string): readonly string[] | null {
  return (
    linesOf(file)
      .find((line) => nameOf(line) === name)
      ?.split(":") ?? null
  );
}

/** In place of the line of the same name, or behind the last one. */
function withLine(file: string, line: string): string {
  const lines = linesOf(file);
  const at = lines.findIndex((each) => nameOf(each) === nameOf(line));
  return joined(at < 0 ? [...lines, line] : lines.with(at, line));
}

const idsOf = (file: string): ReadonlySet<number> =>
  new Set(linesOf(file).map((line) => Number(line.split(":")[2] ?? "NaN")));

/** The first id from `first` on that is neither a user's nor a group's. */
export function freeId(accounts: Accounts, first: number): number {
  const taken = new Set([...idsOf(accounts.passwd), ...idsOf(accounts.group)]);
  let id = first;
  while (taken.has(id)) id += 1;
  return id;
}

/** A user, in place of one of the same name. `now`: milliseconds since 1970. */
export function withUser(accounts: Accounts, user: NewUser, now: number): Accounts {
  const { name, uid, gid, gecos, home, shell, hash } = user;
  return {
    ...accounts,
    passwd: withLine(accounts.passwd, [name, "x", uid, gid, gecos, home, shell].join(":")),
    shadow:
      accounts.shadow === null
        ? null
        : withLine(accounts.shadow, `${name}:${hash}:${Math.floor(now / day)}:0:99999:7:::`),
  };
}

/** Lines of another system's passwd and shadow as they are; the password alone where there is no line of shadow. */
export function withForeignUser(accounts: Accounts, passwdLine: string, shadowLine: string | null): Accounts {
  return {
    ...accounts,
    passwd: withLine(accounts.passwd, passwdLine),
    shadow: accounts.shadow === null || shadowLine === null ? accounts.shadow : withLine(accounts.shadow, shadowLine),
  };
}

/** A group, unless one of that name or number is there. */
export function withGroup(accounts: Accounts, name: string, gid: number): Accounts {
  if (entryOf(accounts.group, name) !== null || idsOf(accounts.group).has(gid)) return accounts;
  return {
    ...accounts,
    group: withLine(accounts.group, `${name}:x:${gid}:`),
    gshadow: accounts.gshadow === null ? null : withLine(accounts.gshadow, `${name}:!::`),
  };
}

/** The user belongs to the group, too, which must be there. */
export function withMember(accounts: Accounts, group: string, user: string): Accounts {
  const add = (file: string): string => {
    const fields = entryOf(file, group);
    if (fields === null) return file;
    const members = (fields[3] ?? "").split(",").filter((member) => member !== "");
    return members.includes(user)
      ? file
      : withLine(file, [...fields.slice(0, 3), [...members, user].join(",")].join(":"));
  };
  return {
    ...accounts,
    group: add(accounts.group),
    gshadow: accounts.gshadow === null ? null : add(accounts.gshadow),
  };
}

/** Sets what crypt(5) made of a user's password. `now`: milliseconds since 1970; null: it has expired and has to be changed at the next login. */
export function withPassword(accounts: Accounts, name: string, hash: string, now: number | null): Accounts {
  const fields = accounts.shadow === null ? null : entryOf(accounts.shadow, name);
  if (accounts.shadow === null || fields === null) return accounts;
  const changed = now === null ? "0" : String(Math.floor(now / day));
  return { ...accounts, shadow: withLine(accounts.shadow, [name, hash, changed, ...fields.slice(3)].join(":")) };
}
