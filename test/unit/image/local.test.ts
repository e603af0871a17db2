import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fillLxdTemplate, lxdTemplates } from "../../../src/frontends/lxc/templates/lxd-image.js";
import { lxdArchitecture, readLxdMetadata } from "../../../src/image/lxd-metadata.js";
import { readRecord, readSource, sourceText } from "../../../src/image/record.js";

const container = { name: "web", path: "/store/web", rootfs: "/store/web/rootfs", idmap: [] };

describe("LXD's metadata", () => {
  it("tell what an image is of", async () => {
    const text =
      "architecture: amd64\ncreation_date: 1700000000\nproperties: {os: Ubuntu, release: noble, variant: default}\n";
    assert.deepEqual(await readLxdMetadata(text, "x86_64"), {
      architecture: "x86_64",
      created: 1_700_000_000_000,
      distribution: "ubuntu",
      release: "noble",
      variant: "default",
    });
    assert.equal(lxdArchitecture("arm64"), "aarch64");
    assert.equal(lxdArchitecture("constructor"), null);
  });

  it("are refused when they are no YAML, a bomb, or anything else", async () => {
    const bomb = [
      "a0: &a0 [x,x,x,x,x,x,x,x,x]",
      ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(",")}]`),
    ];
    for (const text of ["\t{", bomb.join("\n"), "", "[]", "null", "42", "architecture: [x86_64]"])
      await assert.rejects(readLxdMetadata(text, "x86_64"), { code: "ISLET_BAD_REQUEST" }, text);
  });

  it("name the templates, and what of them is no template is left out", async () => {
    const text = "templates:\n  /etc/hostname: {when: [create, 3], template: h.tpl}\n  /x: 3\n  /y: {template: [1]}\n";
    assert.deepEqual(await lxdTemplates(text), [
      { path: "/etc/hostname", when: ["create"], isForNewFiles: false, template: "h.tpl" },
    ]);
  });
});

describe("a template of LXD's", () => {
  it("gets names and defaults, and is left alone when it says more", () => {
    const fill = (text: string): string | null => fillLxdTemplate(text, "/etc/x", container);
    assert.equal(fill("{{ container.name }} {{instance.name}} {{ path }}\n"), "web web /etc/x\n");
    assert.equal(fill('{{ config_get("user.user-data", "#cloud-config\\n") }}'), "#cloud-config\\n");
    assert.equal(fill("{% if x %}{% endif %}"), null);
    assert.equal(fill("{{ container.constructor }}"), null);
    assert.equal(fill("{{ constructor }}"), null);
  });
});

describe("what the cache writes down", () => {
  const facts = {
    name: "debian-bookworm",
    distribution: "debian",
    release: "bookworm",
    architecture: "amd64",
    variant: null,
    made: 1,
    fingerprint: null,
    files: { config: "x" },
    run: null,
  };

  it("is read back, and anything else is not believed", () => {
    const whole = { version: 1, facts, bytes: 5, source: "{}" };
    assert.deepEqual(readRecord(JSON.stringify(whole)), whole);
    for (const other of [
      { ...whole, version: 2 },
      { ...whole, more: 1 },
      { ...whole, bytes: -1 },
      { ...whole, facts: {} },
      null,
      [],
    ])
      assert.equal(readRecord(JSON.stringify(other)), null);
    assert.equal(readRecord("{"), null);
  });

  it("has no secrets", () => {
    const source = { kind: "oci", url: "docker://x/y", architecture: "amd64", credentials: "user:secret" } as const;
    assert.deepEqual(readSource(sourceText(source)), { ...source, credentials: null });
    assert.equal(readSource('{"kind":"floppy"}'), null);
  });
});
