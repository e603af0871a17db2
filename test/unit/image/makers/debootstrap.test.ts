import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { explainApt } from "../../../../src/image/makers/apt-errors.js";
import {
  debootstrapMaker,
  debootstrapWords,
  type DebianSource,
  mmdebstrapWords,
  stepOf,
} from "../../../../src/image/makers/debootstrap.js";

const source: DebianSource = {
  kind: "debootstrap",
  distribution: "debian",
  suite: "bookworm",
  architecture: "amd64",
  mirrors: [
    "deb [signed-by=/k/d.gpg] http://m.example/debian bookworm main",
    "deb http://s.example/debian-security bookworm-security main",
  ],
  components: ["main"],
  packages: ["init", "locales"],
  variant: "minbase",
  locale: "de_DE.UTF-8",
  keyrings: [],
};

describe("the maker of Debian's images", () => {
  it("has mmdebstrap take all sources with their keys, and the locale", () => {
    const words = mmdebstrapWords(source, "/cache/x/rootfs");
    assert.deepEqual(words.slice(-4), [
      "bookworm",
      "/cache/x/rootfs",
      "deb [signed-by=/k/d.gpg] http://m.example/debian bookworm main",
      "deb http://s.example/debian-security bookworm-security main",
    ]);
    assert.ok(words.includes("--architectures=amd64") && words.includes("--include=init,locales"));
    const hook = words.find((word) => word.startsWith("--essential-hook=")) ?? "";
    assert.ok(hook.includes("'locales locales/default_environment_locale select de_DE.UTF-8'"), hook);
    assert.ok(!mmdebstrapWords({ ...source, locale: null }, "/x").some((word) => word.startsWith("--essential-hook=")));
  });
  it("has debootstrap check signatures, with the key of the first source", () => {
    const words = debootstrapWords(source, "/x");
    assert.ok(words.includes("--keyring=/k/d.gpg") && words.includes("--force-check-gpg"));
    assert.deepEqual(words.slice(-3), ["bookworm", "/x", "http://m.example/debian"]);
  });
  it("takes bare URLs as mirrors of the release, signed with the keys that are given", () => {
    const words = mmdebstrapWords({ ...source, mirrors: ["http://m.example/debian"], keyrings: ["/k/a.gpg"] }, "/x");
    assert.equal(words.at(-1), "deb [signed-by=/k/a.gpg] http://m.example/debian bookworm main");
  });
  it("calls images by what is in them: another package, mirror or locale is another image", () => {
    const name = debootstrapMaker.name(source) ?? "";
    assert.match(name, /^debian-bookworm-amd64-minbase-[0-9a-f]{8}$/);
    const others: readonly DebianSource[] = [
      { ...source, packages: ["init"] },
      { ...source, mirrors: ["http://m.example/debian"] },
      { ...source, locale: null },
      { ...source, suite: "trixie" },
    ];
    for (const other of others) assert.notEqual(debootstrapMaker.name(other), name);
    assert.equal(debootstrapMaker.name({ ...source }), name);
  });
  it("says in a few words how far it is", () => {
    assert.equal(stepOf("I: running apt-get update..."), "reading the archive's index");
    assert.equal(stepOf("I: Configuring libc6:amd64..."), "installing libc6");
    assert.equal(stepOf("Reading package lists..."), null);
  });
});

/** What mmdebstrap 1.3.5 printed when these things were wrong. */
const told = {
  suite: [
    "Ign:1 http://near.example/debian nosuch InRelease",
    "Err:2 http://near.example/debian nosuch Release",
    "  404  Not Found [IP: 203.0.113.80 80]",
    "E: The repository 'http://near.example/debian nosuch Release' does not have a Release file.",
    "E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> -oDpkg::Use-Pty=false failed",
    "E: mmdebstrap failed to run",
  ],
  name: [
    "Err:1 http://no.such.host.invalid/debian bookworm InRelease",
    "  Could not resolve 'no.such.host.invalid'",
    "E: Failed to fetch http://no.such.host.invalid/debian/dists/bookworm/InRelease  Could not resolve 'no.such.host.invalid'",
    "E: Some index files failed to download. They have been ignored, or old ones used instead.",
  ],
  noResolver: [
    "E: Failed to fetch http://near.example/debian/dists/bookworm/InRelease  Temporary failure resolving 'near.example'",
  ],
  refused: [
    "  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
    "E: Failed to fetch http://127.0.0.1:9/debian/dists/bookworm/InRelease  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
  ],
  request: [
    "Err:1 http://near.example/nodebian bookworm InRelease",
    "  400  Bad Request [IP: 203.0.113.80 80]",
    "E: Failed to fetch http://near.example/nodebian/dists/bookworm/InRelease  400  Bad Request [IP: 203.0.113.80 80]",
    "E: The repository 'http://near.example/nodebian bookworm InRelease' is not signed.",
  ],
  key: [
    "W: GPG error: http://near.example/debian bookworm InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 6ED0E7B82643E131 NO_PUBKEY 78DBA3BC47EF2265",
    "E: The repository 'http://near.example/debian bookworm InRelease' is not signed.",
  ],
  packages: [
    "E: Unable to locate package nosuchpkg",
    "E: Unable to locate package foo",
    "E: setup failed: E: apt-get -o Dir::Bin::dpkg=env --yes install nosuchpkg foo failed",
  ],
  disk: [
    "dpkg: error processing archive x.deb (--install):",
    " cannot copy extracted data: failed to write (No space left on device)",
  ],
  other: ["E: package foo has a broken postinst", "E: mmdebstrap failed to run"],
} as const;

describe("what apt says when something is wrong", () => {
  const expected: Readonly<Record<keyof typeof told, readonly [code: string, message: string]>> = {
    suite: ["ISLET_NOT_FOUND", "there is no release nosuch at http://near.example/debian"],
    name: ["ISLET_NETWORK", "cannot reach no.such.host.invalid: its name cannot be resolved"],
    noResolver: ["ISLET_NETWORK", "cannot reach near.example: its name cannot be resolved"],
    refused: ["ISLET_NETWORK", "cannot reach 127.0.0.1:9: connection refused"],
    request: ["ISLET_NETWORK", "cannot get http://near.example/nodebian/dists/bookworm/InRelease: 400 Bad Request"],
    key: [
      "ISLET_UNTRUSTED",
      "http://near.example/debian bookworm is signed with a key that is not known here: 6ED0E7B82643E131",
    ],
    packages: ["ISLET_NOT_FOUND", "there is no package nosuchpkg, foo in bookworm"],
    disk: ["ISLET_IO", "the disk that holds the image cache is full"],
    other: ["ISLET_OPERATION_FAILED", "mmdebstrap failed: package foo has a broken postinst"],
  };
  for (const [what, [code, message]] of Object.entries(expected)) {
    it(`${what}: ${message}`, () => {
      const lines = told[what as keyof typeof told];
      const error = explainApt({ suite: "bookworm", lines, program: "mmdebstrap", status: 1 });
      assert.deepEqual([error.code, error.message], [code, message]);
    });
  }
});
