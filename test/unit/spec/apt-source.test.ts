import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseSourceLines, parseSourceStanzas, sourceLine } from "../../../src/spec/apt-source.js";

const plain = { signedBy: [], isTrusted: false };

describe("sources of apt", () => {
  it("are read from lines, with options and without, and what is no binary source is passed over", () => {
    const text = `# deb http://no.example/debian bookworm main
deb http://a.example/debian bookworm main contrib # a comment
deb-src http://a.example/debian bookworm main
deb [ arch=amd64 signed-by=/k/a.gpg,/k/b.gpg ] http://b.example/debian bookworm-updates main
deb [trusted=yes] file:/srv/repo ./
nonsense
`;
    assert.deepEqual(parseSourceLines(text), [
      { uri: "http://a.example/debian", suite: "bookworm", components: ["main", "contrib"], ...plain },
      {
        uri: "http://b.example/debian",
        suite: "bookworm-updates",
        components: ["main"],
        signedBy: ["/k/a.gpg", "/k/b.gpg"],
        isTrusted: false,
      },
      { uri: "file:/srv/repo", suite: "./", components: [], signedBy: [], isTrusted: true },
    ]);
  });
  it("are read from stanzas: every URI with every suite, comments within, switched off ones left out", () => {
    const text = `Types: deb deb-src
# a comment
URIs: http://a.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k/a.gpg

Types: deb
URIs: http://b.example/debian
 http://c.example/debian
Suites: sid
Components: main
  contrib
Enabled: no

Types: deb
URIs: http://d.example/debian
Suites: sid
Components: main
Trusted: yes
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINB
 -----END PGP PUBLIC KEY BLOCK-----
`;
    const a = { uri: "http://a.example/debian", components: ["main"], signedBy: ["/k/a.gpg"], isTrusted: false };
    assert.deepEqual(parseSourceStanzas(text), [
      { ...a, suite: "bookworm" },
      { ...a, suite: "bookworm-updates" },
      { uri: "http://d.example/debian", suite: "sid", components: ["main"], signedBy: [], isTrusted: true },
    ]);
  });
  it("are written as lines that read the same, and without what only holds on the host", () => {
    const source = {
      uri: "http://a.example/debian",
      suite: "sid",
      components: ["main"],
      signedBy: ["/k/a.gpg"],
      isTrusted: true,
    };
    assert.equal(sourceLine(source), "deb [signed-by=/k/a.gpg trusted=yes] http://a.example/debian sid main");
    assert.equal(sourceLine(source, false), "deb http://a.example/debian sid main");
    assert.deepEqual(parseSourceLines(sourceLine(source)), [source]);
  });
});
