import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loginFacts } from "../../../src/plan/login.js";

const passwd = "root:x:0:0::/root:/bin/sh\nweb:x:1000:100::/:/bin/sh\n7:x:1001:101::/:/bin/sh\n";
const group = "root:x:0:\nusers:x:100:\nadm:x:4:web,other\nwww:x:33:web\n";
const login = (user: string | null, of: string | null = null): ReturnType<typeof loginFacts> =>
  loginFacts({ user, group: of }, passwd, group);

describe("the login of a main process", () => {
  it("is a user of the guest's, with its own group and those it is a member of", () => {
    assert.deepEqual(login("web"), { uid: 1000, gid: 100, groups: [4, 33, 100] });
    assert.deepEqual(login("web", "www"), { uid: 1000, gid: 33, groups: [4, 33] });
  });

  it("is a number with a plus, which is never a name", () => {
    assert.deepEqual(login("+1000"), { uid: 1000, gid: 100, groups: [4, 33, 100] });
    assert.deepEqual(login("+7"), { uid: 7, gid: 0, groups: [] });
    assert.deepEqual(login("7"), { uid: 1001, gid: 101, groups: [] });
    assert.deepEqual(login("8", "+9"), { uid: 8, gid: 9, groups: [] });
  });

  it("is root where only a group is named", () => {
    assert.deepEqual(login(null, "users"), { uid: 0, gid: 100, groups: [] });
  });

  it("is nobody whom the guest does not know", () => {
    assert.equal(login("nope"), "User nope doesn't exist");
    assert.equal(login("web", "nope"), "Group nope doesn't exist");
    assert.equal(login("+4294967295"), "User +4294967295 doesn't exist");
    assert.equal(login(""), "User  doesn't exist");
  });
});
