import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  appendKey,
  createHeader,
  documentText,
  expandHwaddr,
  getItem,
  isHwaddrTemplate,
  parseConfig,
  parseDocument,
  removeKey,
  setKey,
} from "../../../../src/frontends/lxc/config/config.js";
import { memoryFiles, parseFine } from "./helper.js";

const text = `# first

lxc.include = /usr/share/lxc/config/common.conf
  lxc.net.0.type = veth
lxc.net.0.link=lxcbr0
lxc.net.1.type = empty
lxc.network.type = veth
lxc.hook.start = /a
lxc.hook.stop = /b
lxc.cgroup2.memory.max = 1
lxc.cgroup.dir = x
foreign line
lxc.uts.name = a
`;
const document = parseDocument("/c", text);

test("saving keeps comments, foreign lines, includes and the form of lines, and drops blank lines", () => {
  assert.equal(documentText(document), text.replace("\n\n", "\n"));
});

test("a changed key goes to the end", () => {
  assert.ok(documentText(setKey(document, "lxc.uts.name", "b")).endsWith("foreign line\nlxc.uts.name = b\n"));
  assert.ok(
    documentText(appendKey(document, "lxc.group", "onboot")).endsWith("lxc.uts.name = a\nlxc.group = onboot\n"),
  );
});

test("removing lxc.net, one nic, lxc.hook or lxc.cgroup takes along what is below", () => {
  const keys = (key: string): readonly (string | null)[] =>
    removeKey(document, key)
      .lines.map((line) => line.key)
      .filter((one) => one !== null);
  assert.ok(!keys("lxc.net").some((key) => key?.startsWith("lxc.net.")));
  assert.ok(keys("lxc.net").includes("lxc.network.type"));
  assert.deepEqual(
    keys("lxc.net.0").filter((key) => key?.startsWith("lxc.net.")),
    ["lxc.net.1.type"],
  );
  assert.ok(!keys("lxc.hook").some((key) => key?.startsWith("lxc.hook.")));
  assert.ok(!keys("lxc.cgroup2").includes("lxc.cgroup2.memory.max") && keys("lxc.cgroup2").includes("lxc.cgroup.dir"));
  assert.ok(keys("lxc.net.0.link").includes("lxc.net.0.type"));
});

test("whatever value is set is read back as it is", () => {
  const value = fc.string({ unit: "grapheme", minLength: 1 }).filter((one) => !/[\r\n]/.test(one));
  fc.assert(
    fc.property(value, (one) => {
      const saved = documentText(setKey(document, "lxc.init.cmd", one)).replace(
        "lxc.include = /usr/share/lxc/config/common.conf\n",
        "",
      );
      assert.equal(getItem(parseFine(saved), "lxc.init.cmd"), one);
    }),
  );
});

test("hwaddr templates are filled in and the file's new text differs in nothing else", () => {
  const input =
    "# x:x\r\nlxc.net.0.type = veth\r\n\r\nlxc.net.0.hwaddr = 00:16:3e:xx:Xx:0x # no\r\nlxc.net.1.hwaddr='fe:xx:xx:xx:xx:xx'\n";
  const config = parseConfig({ file: "/c", text: input.replace(" # no", ""), files: memoryFiles(), nibble: () => 10 });
  assert.equal(
    config.rewritten,
    "# x:x\r\nlxc.net.0.type = veth\r\n\r\nlxc.net.0.hwaddr = 00:16:3e:aa:aa:0a\r\nlxc.net.1.hwaddr='fe:aa:aa:aa:aa:aa'\n",
  );
  assert.equal(getItem(config, "lxc.net.0.hwaddr"), "00:16:3e:aa:aa:0a");
  assert.equal(documentText(config.document).split("\n")[2], "lxc.net.0.hwaddr = 00:16:3e:aa:aa:0a");
});

test("templates in included files are filled in for this time only", () => {
  const config = parseConfig({
    file: "/c",
    text: "lxc.include = /i",
    files: memoryFiles({ "/i": "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx" }),
    nibble: () => 1,
  });
  assert.equal(config.rewritten, null);
  assert.equal(getItem(config, "lxc.net.0.hwaddr"), "00:16:3e:11:11:11");
});

test("without random digits a template stays, and nothing is rewritten", () => {
  const config = parseConfig({ file: "/c", text: "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx", files: memoryFiles() });
  assert.equal(config.rewritten, null);
  assert.equal(getItem(config, "lxc.net.0.hwaddr"), "00:16:3e:xx:xx:xx");
});

test("an address that is random from its first byte is a unicast one of local administration", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 15 }), (digit) => {
      const first = Number.parseInt(expandHwaddr("xx:xx:xx:xx:xx:xx", () => digit).slice(0, 2), 16);
      assert.equal(first & 3, 2);
    }),
  );
  assert.equal(isHwaddrTemplate("00:16:3e:00:00:00"), false);
});

test("the header of a new config is LXC's own", () => {
  assert.equal(
    createHeader({ template: "/usr/share/lxc/templates/lxc-busybox", parameters: [] }),
    `# Template used to create this container: /usr/share/lxc/templates/lxc-busybox
# Parameters passed to the template:
# For additional config options, please look at lxc.container.conf(5)

# Uncomment the following line to support nesting containers:
#lxc.include = /usr/share/lxc/config/nesting.conf
# (Be aware this has security implications)

`,
  );
  const full = createHeader({ template: "/t", parameters: ["-r", "noble"], checksum: "00ff" }).split("\n");
  assert.equal(full[1], "# Parameters passed to the template: -r noble");
  assert.equal(full[2], "# Template script checksum (SHA-1): 00ff");
  assert.ok(createHeader({ template: null, parameters: [] }).startsWith("# For additional"));
});
