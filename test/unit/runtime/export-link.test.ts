import assert from "node:assert/strict";
import { test } from "node:test";
import { escapePath, exportLink } from "../../../src/runtime/export-link.js";

test("paths are escaped as systemd-escape --path does", () => {
  for (const [path, escaped] of [
    ["/var/lib/lxc", "var-lib-lxc"],
    ["/srv//my-store/", "srv-my\\x2dstore"],
    ["/.hidden/.dir", "\\x2ehidden-.dir"],
    ["/a b/ü", "a\\x20b-\\xc3\\xbc"],
    ["/", "-"],
  ] as const)
    assert.equal(escapePath(path), escaped);
});

test("the link to a container's sockets has a name that a directory can have, whatever the store's path", () => {
  assert.equal(exportLink("/run/islet", "/var/lib/lxc", "web1"), "/run/islet/unix-export/var-lib-lxc/web1");
  const [first = "", second = ""] = ["a", "b"].map((end) =>
    exportLink("/run/islet", `/${"x".repeat(254)}/${end}`, "web1"),
  );
  assert.match(first, /^\/run\/islet\/unix-export\/[0-9a-f]{24}\/web1$/);
  assert.notEqual(first, second);
});
