/** Records of users and groups (systemd.io/USER_RECORD, GROUP_RECORD) as files that nss-systemd(8) reads. */

export interface UserRecord {
  readonly name: string;
  /** Of the user and of the group that has its name. */
  readonly id: number;
  /** "" none. */
  readonly realName: string;
  readonly home: string;
  /** null: whatever is usual where the record is read. */
  readonly shell: string | null;
  /** crypt(5); null: no password opens it. */
  readonly hash: string | null;
}

export interface RecordFile {
  readonly name: string;
  /** By its number the record is found as well: a link of this name leads to it. */
  readonly link: string;
  readonly text: string;
  /** For root alone. */
  readonly isSecret: boolean;
}

/** The files of a user and of its group, the secret part of the user's apart. */
export function recordFiles(user: UserRecord): readonly RecordFile[] {
  const { name, id, realName, home, shell, hash } = user;
  const common = { disposition: "regular", service: "io.islet" };
  const file = (kind: string, record: object, isSecret = false): RecordFile => ({
    name: `${name}.${kind}`,
    link: `${id}.${kind}`,
    text: `${JSON.stringify(record)}\n`,
    isSecret,
  });
  return [
    file("group", { groupName: name, gid: id, ...common }),
    ...(hash === null ? [] : [file("user-privileged", { privileged: { hashedPassword: [hash] } }, true)]),
    file("user", {
      userName: name,
      ...(realName === "" ? {} : { realName }),
      uid: id,
      gid: id,
      homeDirectory: home,
      ...(shell === null ? {} : { shell }),
      ...common,
    }),
  ];
}
