import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { configPage } from "../../../../src/frontends/lxc/config/page.js";
import { root } from "../../../support/paths.js";

test("docs/reference/lxc-config.md says what the key table says", () => {
  const file = join(root, "docs/reference/lxc-config.md");
  if (process.env["UPDATE"] === "1") writeFileSync(file, configPage());
  assert.equal(readFileSync(file, "utf8"), configPage(), "run this test with UPDATE=1");
});
