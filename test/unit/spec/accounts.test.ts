import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type Accounts,
  freeId,
  withForeignUser,
  withGroup,
  withMember,
  withPassword,
  withUser,
} from "../../../src/spec/accounts.js";

const image: Accounts = {
  passwd: "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n",
  shadow: "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n",
  group: "root:x:0:\ndaemon:x:1:\nsudo:x:27:\nusers:x:1000:\n",
  gshadow: "root:*::\ndaemon:*::\nsudo:*::\n",
};
const jane = { name: "jane", uid: 1001, gid: 1001, gecos: "", home: "/home/jane", shell: "/bin/bash", hash: "$6$a$b" };
const now = 20_780 * 86_400_000 + 5;

describe("accounts of an image", () => {
  it("get a user with an id that neither a user nor a group has", () => {
    assert.equal(freeId(image, 1000), 1001);
    const after = withUser(image, jane, now);
    assert.equal(after.passwd, `${image.passwd}jane:x:1001:1001::/home/jane:/bin/bash\n`);
    assert.equal(after.shadow, `${image.shadow ?? ""}jane:$6$a$b:20780:0:99999:7:::\n`);
    assert.equal(after.group, image.group);
  });
  it("have every name once: a user of the same name is replaced where it stands", () => {
    const twice = withUser(withUser(image, jane, now), { ...jane, uid: 5 }, now);
    assert.equal(twice.passwd, `${image.passwd}jane:x:5:1001::/home/jane:/bin/bash\n`);
    assert.equal(
      withUser(twice, { ...jane, name: "daemon" }, now)
        .passwd.split("\n")[1]
        ?.split(":")[2],
      "1001",
    );
  });
  it("get groups once, and members once", () => {
    const after = withGroup(image, "jane", 1001);
    assert.equal(after.group, `${image.group}jane:x:1001:\n`);
    assert.equal(after.gshadow, `${image.gshadow ?? ""}jane:!::\n`);
    assert.equal(withGroup(image, "other", 1000), image);
    assert.equal(withGroup(image, "sudo", 99), image);
    const member = withMember(withMember(withMember(image, "sudo", "jane"), "sudo", "jim"), "sudo", "jane");
    assert.match(member.group, /^sudo:x:27:jane,jim$/m);
    assert.match(member.gshadow ?? "", /^sudo:\*::jane,jim$/m);
    assert.deepEqual(withMember(image, "nobody-has-it", "jane"), image);
  });
  it("take lines of the host's as they are", () => {
    const after = withForeignUser(image, "jim:x:1234:100:Jim,,,:/home/jim:/bin/zsh", "jim:$y$x:19000:0:99999:7:::");
    assert.match(after.passwd, /^jim:x:1234:100:Jim,,,:\/home\/jim:\/bin\/zsh$/m);
    assert.match(after.shadow ?? "", /^jim:\$y\$x:19000:0:99999:7:::$/m);
  });
  it("get passwords, also such as have expired", () => {
    assert.match(withPassword(image, "root", "$6$h", now).shadow ?? "", /^root:\$6\$h:20780:0:99999:7:::$/m);
    assert.match(withPassword(image, "root", "$6$h", null).shadow ?? "", /^root:\$6\$h:0:0:99999:7:::$/m);
    assert.equal(withPassword(image, "nobody", "$6$h", now), image);
  });
  it("of an image without shadow files get none", () => {
    const bare = { ...image, shadow: null, gshadow: null };
    const after = withMember(withGroup(withUser(bare, jane, now), "jane", 1001), "sudo", "jane");
    assert.equal(after.shadow, null);
    assert.equal(after.gshadow, null);
  });
});
