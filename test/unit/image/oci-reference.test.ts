import assert from "node:assert/strict";
import { it } from "node:test";
import { chooseManifest, parseConfig, parseManifest } from "../../../src/image/oci-documents.js";
import { parseOciReference } from "../../../src/image/oci-reference.js";
import { whiteoutOf } from "../../../src/image/whiteouts.js";

const digest = `sha256:${"a1".repeat(32)}`;

it("an image's URL names a layout, or a registry with repository and tag or digest", () => {
  const registry = (text: string): string => {
    const found = parseOciReference(text, "/home");
    return found.kind === "registry" ? `${found.host} ${found.repository} ${found.reference}` : "layout";
  };
  assert.equal(registry("docker://alpine"), "registry-1.docker.io library/alpine latest");
  assert.equal(registry("docker://team/app:1.2"), "registry-1.docker.io team/app 1.2");
  assert.equal(registry("docker://docker.io/library/alpine:3"), "registry-1.docker.io library/alpine 3");
  assert.equal(registry("docker://quay.io/a/b/c"), "quay.io a/b/c latest");
  assert.equal(registry("docker://localhost/x"), "localhost x latest");
  assert.equal(registry("docker://127.0.0.1:5000/x:t"), "127.0.0.1:5000 x t");
  assert.equal(registry(`docker://quay.io/x:tag@${digest}`), `quay.io x ${digest}`);
  assert.deepEqual(parseOciReference("oci:/srv/layout:a.b", "/home"), {
    kind: "layout",
    directory: "/srv/layout",
    tag: "a.b",
  });
  assert.deepEqual(parseOciReference("oci:layout", "/home"), { kind: "layout", directory: "/home/layout", tag: null });
  assert.deepEqual(parseOciReference("oci:/a:b/c", "/"), { kind: "layout", directory: "/a:b/c", tag: null });
  for (const bad of [
    "",
    "alpine",
    "docker:alpine",
    "docker://",
    "docker://UP",
    "docker://a/../b",
    "docker://h.x/a?b",
    "ftp://x/y",
    "oci:",
    "docker://a@b.c/x",
    "docker://x@sha256:12",
  ])
    assert.throws(() => parseOciReference(bad, "/"), { code: "ISLET_BAD_REQUEST" }, bad);
});

it("manifests are taken apart with limits, and lists give the one for an architecture", () => {
  const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const one = { digest, size: 7, mediaType: "application/vnd.oci.image.manifest.v1+json" };
  const list = parseManifest(
    bytes({
      schemaVersion: 2,
      manifests: [
        { ...one, platform: { architecture: "arm64", os: "linux" } },
        { ...one, platform: { architecture: "amd64", os: "windows" } },
      ],
    }),
    "x",
  );
  assert.ok(list.kind === "index");
  assert.equal(chooseManifest(list.manifests, "aarch64", "x").architecture, "arm64");
  assert.throws(() => chooseManifest(list.manifests, "amd64", "x"), {
    code: "ISLET_NOT_FOUND",
    hint: "it has them for arm64",
  });
  for (const bad of [
    [],
    {},
    { schemaVersion: 2 },
    { schemaVersion: 2, layers: [{ digest: "sha256:x", size: 1 }], config: one },
    { schemaVersion: 2, layers: [], config: { ...one, size: -1 } },
    { schemaVersion: 2, layers: Array.from({ length: 600 }, () => one), config: one },
  ])
    assert.throws(() => parseManifest(bytes(bad), "x"));
  assert.throws(() => parseManifest(bytes({ schemaVersion: 1 }), "x"), { code: "ISLET_UNSUPPORTED" });
  assert.throws(() => parseConfig(bytes({ config: { Cmd: ["a\u0000b"] } }), "x"), { code: "ISLET_UNTRUSTED" });
  assert.deepEqual(parseConfig(bytes({ config: { Entrypoint: null, Cmd: ["a"], User: "", Env: null } }), "x").run, {
    command: ["a"],
    environment: [],
    directory: null,
    user: null,
  });
});

it("whiteouts name what they take away, and nothing that could be elsewhere", () => {
  assert.deepEqual(whiteoutOf("etc/.wh.motd"), { path: "etc/motd", kind: "name" });
  assert.deepEqual(whiteoutOf(".wh.x"), { path: "x", kind: "name" });
  assert.deepEqual(whiteoutOf("etc/.wh..wh..opq"), { path: "etc", kind: "content" });
  assert.deepEqual(whiteoutOf(".wh..wh..opq"), { path: "", kind: "content" });
  assert.equal(whiteoutOf("etc/x.wh.y"), null);
  assert.equal(whiteoutOf(".wh..wh.plnk"), null);
  for (const bad of [".wh.", "a/.wh..", "a/.wh..."]) assert.throws(() => whiteoutOf(bad), { code: "ISLET_UNTRUSTED" });
});
