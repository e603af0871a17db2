/** Other owners for what is in an archive: also of access control lists and of capabilities, which have ids in them. */

/** null: the id has no other. */
export type IdChange = (type: "uid" | "gid", id: number) => number | null;

/** Throws what `refuse` gives for an id that has no other. Values have a character per byte (tar-header.ts). */
export function changedRecords(
  records: ReadonlyMap<string, string>,
  change: IdChange,
  refuse: (type: "uid" | "gid", id: number) => Error,
): Map<string, string> {
  const needed: Needed = (type, id) => {
    const now = change(type, id);
    if (now === null) throw refuse(type, id);
    return now;
  };
  const changed = new Map<string, string>();
  for (const [key, value] of records) {
    const now =
      key === "SCHILY.acl.access" || key === "SCHILY.acl.default"
        ? changedText(value, needed)
        : key.startsWith("SCHILY.xattr.system.posix_acl_")
          ? changedList(value, needed)
          : key === "SCHILY.xattr.security.capability"
            ? changedCapability(value, change)
            : value;
    if (now !== null) changed.set(key, now);
  }
  return changed;
}

type Needed = (type: "uid" | "gid", id: number) => number;

/** "user:1000:rw-", a line or a comma between two. */
const changedText = (value: string, needed: Needed): string =>
  value.replace(
    /(^|[\n,])((?:default:)?(u|g)(?:ser|roup)?):(\d{1,10}):/g,
    (_, before: string, what: string, letter: string, id: string) =>
      `${before}${what}:${needed(letter === "u" ? "uid" : "gid", Number(id))}:`,
  );

const ACL_USER = 0x02;
const ACL_GROUP = 0x08;

/** posix_acl_xattr_header and entries (linux/posix_acl_xattr.h). */
function changedList(value: string, needed: Needed): string {
  const bytes = Buffer.from(value, "latin1");
  for (let at = 4; at + 8 <= bytes.length; at += 8) {
    const tag = bytes.readUInt16LE(at);
    if (tag !== ACL_USER && tag !== ACL_GROUP) continue;
    bytes.writeUInt32LE(needed(tag === ACL_USER ? "uid" : "gid", bytes.readUInt32LE(at + 4)), at + 4);
  }
  return bytes.toString("latin1");
}

const revisions = { second: 0x02000000, third: 0x03000000, mask: 0xff000000 } as const;

/** vfs_ns_cap_data: of the second revision for root 0, of the third with another root's id. null: of a root that has no other id, to whom it is nothing. */
function changedCapability(value: string, change: IdChange): string | null {
  const bytes = Buffer.from(value, "latin1");
  const isThird = bytes.length === 24;
  if (!isThird && bytes.length !== 20) return value;
  const now = change("uid", isThird ? bytes.readUInt32LE(20) : 0);
  if (now === null) return null;
  const made = Buffer.alloc(now === 0 ? 20 : 24);
  bytes.copy(made, 0, 0, 20);
  const magic = made.readUInt32LE(0) & ~revisions.mask;
  made.writeUInt32LE((magic | (now === 0 ? revisions.second : revisions.third)) >>> 0, 0);
  if (now !== 0) made.writeUInt32LE(now, 20);
  return made.toString("latin1");
}
