/** passwd(5), group(5) and shadow(5) as text. Lines that are none of theirs (comments, NIS) are passed over, as by getpwent(3). */

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** The whole GECOS field. */
  readonly gecos: string;
  readonly home: string;
  readonly shell: string;
}

export interface AccountGroup {
  readonly name: string;
  readonly gid: number;
  /** Users that the group's line names; those whose own group it is are in it as well. */
  readonly members: readonly string[];
}

/** The highest id that is no sign of an error ((uid_t) -1). */
const maxId = 4_294_967_294;

/** Users in the order of the lines. */
export function parsePasswd(text: string): readonly Account[] {
  return rows(text, 7).flatMap(([name = "", , uid = "", gid = "", gecos = "", home = "", shell = ""]) => {
    const [user, group] = [id(uid), id(gid)];
    return user === null || group === null ? [] : [{ name, uid: user, gid: group, gecos, home, shell }];
  });
}

/** Groups in the order of the lines. */
export function parseGroup(text: string): readonly AccountGroup[] {
  return rows(text, 4).flatMap(([name = "", , gid = "", members = ""]) => {
    const group = id(gid);
    return group === null ? [] : [{ name, gid: group, members: members.split(",").filter((member) => member !== "") }];
  });
}

/** Names of the groups that a user is in. */
export function groupsOf(user: Account, groups: readonly AccountGroup[]): readonly string[] {
  return groups.filter(({ gid, members }) => gid === user.gid || members.includes(user.name)).map(({ name }) => name);
}

/** A user's hashed password (crypt(5)); null: there is none that anybody could log in with, as of a locked account. */
export function shadowHash(text: string, name: string): string | null {
  const hash = rows(text, 9).find(([user]) => user === name)?.[1] ?? "";
  return /^\$[!-~]+$/.test(hash) ? hash : null;
}

function rows(text: string, fields: number): readonly (readonly string[])[] {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter((row) => row.length === fields && /^[^+#\s-]/.test(row[0] ?? ""));
}

function id(text: string): number | null {
  return /^\d{1,10}$/.test(text) && Number(text) <= maxId ? Number(text) : null;
}
