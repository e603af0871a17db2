import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../src/base/errors.js";
import { pickImage, pickParts } from "../../../src/image/catalog.js";
import { parseLxcIndex, parseSums } from "../../../src/image/lxc-index.js";
import { below, serverUrl } from "../../../src/image/server.js";
import { parseProducts, parseStreamsIndex } from "../../../src/image/simplestreams.js";

const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const sum = "ab".repeat(32);

/** As cloud-images.ubuntu.com has them. */
const products = {
  format: "products:1.0",
  content_id: "com.ubuntu.cloud:released:download",
  products: {
    "com.ubuntu.cloud:server:24.04:amd64": {
      aliases: "24.04,default,lts,n,noble",
      arch: "amd64",
      os: "ubuntu",
      release: "noble",
      version: "24.04",
      versions: {
        "20240423": {
          items: {
            "lxd.tar.xz": { ftype: "lxd.tar.xz", path: "server/a/lxd.tar.xz", sha256: sum, size: 400 },
            "root.tar.xz": { ftype: "root.tar.xz", path: "server/a/root.tar.xz", sha256: sum, size: 5 },
          },
        },
        "20240423.2": {
          items: {
            "lxd.tar.xz": { ftype: "lxd.tar.xz", path: "server/b/lxd.tar.xz", sha256: sum, size: 400 },
            squashfs: { ftype: "squashfs", path: "server/b/x.squashfs", sha256: sum.toUpperCase(), size: 500 },
          },
        },
        "20240424": { items: { "disk1.img": { ftype: "disk1.img", path: "server/c/disk.img", sha256: sum } } },
      },
    },
    "images:1": { arch: "amd64", release: "x", versions: { a: { items: { y: { ftype: "constructor", path: "p" } } } } },
    broken: 7,
  },
};

describe("simplestreams", () => {
  it("finds an image by release, version or alias, and its newest build that has a root", () => {
    const images = parseProducts(bytes(products), "products");
    assert.equal(images.length, 1);
    for (const release of ["noble", "24.04", "lts", "default"]) {
      const wanted = { distribution: "Ubuntu", release, architecture: "x86_64", variant: "default" };
      const { build, meta, root } = pickParts(pickImage(images, wanted, "server"), "server");
      assert.equal(build, "20240423.2");
      assert.equal(meta?.path, "server/b/lxd.tar.xz");
      assert.deepEqual(root, { role: "root-squashfs", path: "server/b/x.squashfs", sha256: sum, size: 500 });
    }
  });

  it("says what is wrong with a name, and what there is", () => {
    const images = parseProducts(bytes(products), "products");
    const hint = (own: object): string => {
      const wanted = { distribution: "ubuntu", release: "noble", architecture: "amd64", variant: "default", ...own };
      try {
        pickImage(images, wanted, "server");
      } catch (error) {
        assert.ok(error instanceof IsletError);
        assert.equal(error.code, "ISLET_NOT_FOUND");
        return `${error.message}; ${error.hint ?? ""}`;
      }
      return "found";
    };
    assert.equal(
      hint({ distribution: "ubunut" }),
      "server has no images of ubunut; did you mean ubuntu? there are ubuntu",
    );
    assert.equal(
      hint({ release: "noblee" }),
      "server has no images of ubuntu noblee; did you mean noble? there are noble",
    );
    assert.equal(
      hint({ architecture: "riscv64" }),
      "server has no images of ubuntu noble for riscv64; there are amd64",
    );
    assert.match(hint({ variant: "cloud" }), /of the variant cloud; there are default/);
  });

  it("takes image documents alone of the index, and nothing that is no such document", () => {
    const index = {
      format: "index:1.0",
      index: {
        a: { datatype: "image-downloads", format: "products:1.0", path: "streams/v1/a.json" },
        b: { datatype: "image-ids", format: "products:1.0", path: "streams/v1/b.json" },
        c: { datatype: "image-downloads", path: 9 },
      },
    };
    assert.deepEqual(parseStreamsIndex(bytes(index), "index"), ["streams/v1/a.json"]);
    for (const garbage of ["", "{", "[]", "null", "7", { format: "products:9" }, "<html>"])
      assert.throws(() => parseStreamsIndex(bytes(garbage), "index"), { code: "ISLET_NETWORK" });
  });
});

describe("LXC's index", () => {
  it("is lines of six fields; others are left out", () => {
    const images = parseLxcIndex(
      "alpine;3.18;amd64;default;20231020_13:00;/images/alpine/3.18/\nx;y\n;;;;;\n<html>\r\n",
    );
    assert.equal(images.length, 1);
    assert.equal(images[0]?.builds[0]?.files[1]?.path, "images/alpine/3.18/rootfs.tar.xz");
  });

  it("has checksums beside the images", () => {
    const sums = parseSums(`${sum}  a.tar.xz\n${sum} *b\nshort  c\n${sum}  ../d\n`);
    assert.deepEqual([...sums.keys()], ["a.tar.xz", "b"]);
  });
});

describe("addresses of a server", () => {
  it("are names, URLs or paths", () => {
    assert.equal(serverUrl("images.example.org").href, "https://images.example.org/");
    assert.equal(serverUrl("http://127.0.0.1:8080/mirror").href, "http://127.0.0.1:8080/mirror/");
    assert.equal(serverUrl("/srv/a b?").href, "file:///srv/a%20b%3F/");
    for (const bad of ["", "ftp://x", "http://", "a b", "x?y"])
      assert.throws(() => serverUrl(bad), { code: "ISLET_BAD_REQUEST" });
  });

  it("never lead out of what they are below", () => {
    const base = serverUrl("https://example.org/mirror");
    assert.equal(below(base, "a/com.x:y:z.json").href, "https://example.org/mirror/a/com.x:y:z.json");
    assert.equal(below(base, "a/%2e%2e/?#").href, "https://example.org/mirror/a/%252e%252e/%3F%23");
    for (const path of ["", "/a", "a//b", "../a", "a/..", "./a", "https://evil/x", "a\\b", "a\u0000b", "a/"])
      assert.throws(() => below(base, path), { code: "ISLET_UNTRUSTED" });
  });
});
