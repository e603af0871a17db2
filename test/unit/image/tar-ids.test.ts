import assert from "node:assert/strict";
import { test } from "node:test";
import { changedRecords, type IdChange } from "../../../src/image/tar-ids.js";

const up: IdChange = (type, id) => (id < 1000 ? id + (type === "uid" ? 200_000 : 300_000) : null);
const down: IdChange = (type, id) => {
  const inside = id - (type === "uid" ? 200_000 : 300_000);
  return inside >= 0 && inside < 1000 ? inside : null;
};
const change = (key: string, value: string, ids: IdChange): string | undefined =>
  changedRecords(new Map([[key, value]]), ids, (type, id) => new Error(`${type} ${id}`)).get(key);

test("ids in access control lists are changed, in words and in the kernel's own form", () => {
  const words = "user::rw-,user:5:r--,group::r--,group:6:-w-,mask::rw-,other::r--";
  const changed = "user::rw-,user:200005:r--,group::r--,group:300006:-w-,mask::rw-,other::r--";
  assert.equal(change("SCHILY.acl.access", words, up), changed);
  assert.equal(change("SCHILY.acl.default", changed, down), words);
  const list = (uid: number, gid: number): string => {
    const bytes = Buffer.alloc(4 + 3 * 8);
    bytes.writeUInt32LE(2, 0);
    for (const [index, [tag, id]] of [
      [0x01, 0xffffffff] as const,
      [0x02, uid] as const,
      [0x08, gid] as const,
    ].entries()) {
      bytes.writeUInt16LE(tag, 4 + 8 * index);
      bytes.writeUInt32LE(id, 8 + 8 * index);
    }
    return bytes.toString("latin1");
  };
  assert.equal(change("SCHILY.xattr.system.posix_acl_access", list(5, 6), up), list(200_005, 300_006));
});

test("a capability is that of the root of the other map, and nothing where that root is none", () => {
  const second = Buffer.alloc(20);
  second.writeUInt32LE(0x02000001, 0);
  second.writeUInt32LE(1 << 13, 4);
  const third = Buffer.alloc(24);
  second.copy(third);
  third.writeUInt32LE(0x03000001, 0);
  third.writeUInt32LE(200_000, 20);
  const key = "SCHILY.xattr.security.capability";
  assert.equal(change(key, second.toString("latin1"), up), third.toString("latin1"));
  assert.equal(change(key, third.toString("latin1"), down), second.toString("latin1"));
  assert.equal(change(key, second.toString("latin1"), down), undefined);
});

test("an id that is in no map is an error, and other attributes stay as they are", () => {
  assert.throws(() => change("SCHILY.acl.access", "user:5000:r--", up), /uid 5000/);
  assert.equal(change("SCHILY.xattr.user.note", "user:5:r--", up), "user:5:r--");
});
