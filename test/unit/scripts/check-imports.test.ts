import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

type FaultsOf = (path: string, source: string) => readonly string[];

const script = join(import.meta.dirname, "../../../../scripts/check-imports.mjs");
const { faultsOf } = (await import(pathToFileURL(script).href)) as { faultsOf: FaultsOf };

const cases: readonly { readonly path: string; readonly source: string; readonly faults: readonly RegExp[] }[] = [
  { path: "src/plan/mount.ts", source: `import { x } from "../spec/mount.js";\n`, faults: [] },
  {
    path: "src/spec/mount.ts",
    source: `\nimport { x } from "../plan/mount.js";\n`,
    faults: [/^src\/spec\/mount.ts:2: spec may not/],
  },
  {
    path: "src/base/log.ts",
    source: `import { readFileSync } from "node:fs";\n`,
    faults: [/pure and may not import node:fs/],
  },
  { path: "src/base/log.ts", source: `export const at = (): number => Date.now();\n`, faults: [/:1: base is pure/] },
  { path: "src/base/log.ts", source: `// Date.now() is for others\nconst text = "process.env";\n`, faults: [] },
  { path: "src/frontends/lxc/start.ts", source: `import type { Engine } from "../../engine/engine.js";\n`, faults: [] },
  {
    path: "src/frontends/lxc/start.ts",
    source: `import { s } from "../../engine/store.js";\n`,
    faults: [/engine\/store/],
  },
  {
    path: "src/frontends/lxc/a.ts",
    source: `export * from "../libvirt/xml.js";\n`,
    faults: [/may not import each other/],
  },
  {
    path: "src/frontends/lxc/a.ts",
    source: `const x = await import("../../host/addon.js");\n`,
    faults: [/host\/addon/],
  },
  { path: "src/daemon/main.ts", source: `import { x } from "../frontends/lxc/index.js";\n`, faults: [] },
  { path: "src/nowhere/a.ts", source: ``, faults: [/no layer is called nowhere/] },
];

for (const { path, source, faults } of cases) {
  test(`${path} with ${JSON.stringify(source)} has ${faults.length} faults`, () => {
    const found = faultsOf(path, source);
    assert.equal(found.length, faults.length, found.join("\n"));
    faults.forEach((expected, index) => {
      assert.match(found[index] ?? "", expected);
    });
  });
}
