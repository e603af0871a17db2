import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { latestLts, ubuntuPackages, ubuntuSources } from "../../../../src/frontends/lxc/templates/ubuntu-sources.js";
import {
  debianPackages,
  debianSources,
  securitySuite,
} from "../../../../src/frontends/lxc/templates/debian-sources.js";
import { parseDistroInfo } from "../../../../src/frontends/lxc/templates/apt-host.js";
import { fedoraPackages, fedoraRepositories } from "../../../../src/frontends/lxc/templates/fedora.js";
import { parseSourceLines, sourceLine, type AptSource } from "../../../../src/spec/apt-source.js";

const lines = (sources: readonly AptSource[]): readonly string[] => sources.map((source) => sourceLine(source));
const none = { mirror: null, securityMirror: null, keyring: null, host: [] };
const key = "/usr/share/keyrings/debian-archive-keyring.gpg";

describe("where Debian's packages come from", () => {
  const fallback = "http://fallback.example/debian";
  const choice = { ...none, release: "trixie", components: ["main"], fallback };
  it("is the bootstrap program's own mirror on a host that is no Debian, and Debian's keys must be there", () => {
    const host = parseSourceLines("deb http://archive.ubuntu.com/ubuntu noble main\n");
    assert.deepEqual(lines(debianSources({ ...choice, host }).build), [
      `deb [signed-by=${key}] http://fallback.example/debian trixie main`,
      `deb [signed-by=${key}] http://fallback.example/debian trixie-updates main`,
      `deb [signed-by=${key}] http://security.debian.org/debian-security trixie-security main`,
    ]);
  });
  it("has to be given where neither the host's apt nor such a program knows one", () => {
    const unknown = { ...choice, fallback: null };
    assert.throws(() => debianSources(unknown), /this host knows no mirror of Debian/);
    const given = { ...unknown, mirror: "http://m.example/debian" };
    assert.equal(debianSources(given).build[0]?.uri, "http://m.example/debian");
  });
  it("is the host's mirrors with the host's keys, whatever release the host is, and never another's packages", () => {
    const host = parseSourceLines(`deb https://other.example/node nodistro main
deb [signed-by=/k/own.gpg] http://near.example/debian/ bookworm main non-free
deb http://near.example/debian-security bookworm-security main
`);
    const { build, written } = debianSources({ ...choice, host });
    assert.deepEqual(lines(build), [
      "deb [signed-by=/k/own.gpg] http://near.example/debian trixie main",
      "deb [signed-by=/k/own.gpg] http://near.example/debian trixie-updates main",
      `deb [signed-by=${key}] http://near.example/debian-security trixie-security main`,
    ]);
    assert.deepEqual(written, build);
  });
  it("is a mirror that is given, and nothing but that until a security mirror is given as well", () => {
    const given = { ...choice, mirror: "http://m.example/debian", keyring: "/k/m.gpg" };
    assert.deepEqual(lines(debianSources(given).build), [
      "deb [signed-by=/k/m.gpg] http://m.example/debian trixie main",
    ]);
    assert.deepEqual(
      debianSources(given).written.map((source) => source.suite),
      ["trixie", "trixie-security"],
    );
    const both = debianSources({ ...given, securityMirror: "http://s.example/sec" });
    assert.equal(lines(both.build).at(-1), "deb [signed-by=/k/m.gpg] http://s.example/sec trixie-security main");
  });
  it("is trusted unsigned only where the host's own line says so", () => {
    const host = parseSourceLines("deb [trusted=yes] http://near.example/debian bookworm main\n");
    assert.ok(debianSources({ ...choice, host }).build[0]?.isTrusted === true);
    for (const other of [{ mirror: "http://m.example/debian" }, { keyring: "/k/m.gpg" }])
      assert.ok(
        debianSources({ ...choice, host, ...other }).build.every(
          (source) => !source.isTrusted || source.suite.endsWith("security"),
        ),
      );
  });
  it("has security updates by the names of their time", () => {
    assert.deepEqual(["sid", "buster", "bullseye", "stable"].map(securitySuite), [
      null,
      "buster/updates",
      "bullseye-security",
      "stable-security",
    ]);
    assert.equal(debianSources({ ...choice, release: "sid" }).written.length, 1);
  });
  it("has the DHCP client of the release", () => {
    assert.ok(debianPackages("bookworm").includes("isc-dhcp-client"));
    assert.ok(debianPackages("trixie").includes("dhcpcd-base"));
  });
});

describe("where Ubuntu's packages come from", () => {
  const choice = { ...none, release: "noble", architecture: "amd64" };
  it("is Ubuntu's archive with its updates, for other architectures that of its ports", () => {
    const { build } = ubuntuSources(choice);
    assert.deepEqual(
      build.map(({ uri, suite }) => `${uri} ${suite}`),
      [
        "http://archive.ubuntu.com/ubuntu noble",
        "http://archive.ubuntu.com/ubuntu noble-updates",
        "http://security.ubuntu.com/ubuntu noble-security",
      ],
    );
    assert.ok(
      ubuntuSources({ ...choice, architecture: "arm64" }).build.every(
        ({ uri }) => uri === "http://ports.ubuntu.com/ubuntu-ports",
      ),
    );
    assert.deepEqual(build[0]?.components, ["main", "restricted", "universe", "multiverse"]);
  });
  it("is the host's mirror on an Ubuntu", () => {
    const host = parseSourceLines(
      "deb http://near.example/ubuntu jammy main\ndeb http://near.example/ubuntu jammy-security main\n",
    );
    assert.ok(ubuntuSources({ ...choice, host }).build.every(({ uri }) => uri === "http://near.example/ubuntu"));
  });
  it("is by default the last release with long-term support", () => {
    const csv = `version,codename,series,created,release,eol
22.04 LTS,Jammy Jellyfish,jammy,2021-10-14,2022-04-21,2027-06-01
23.10,Mantic Minotaur,mantic,2023-04-20,2023-10-12,2024-07-11
24.04 LTS,Noble Numbat,noble,2023-10-12,2024-04-25,2029-05-31
26.04 LTS,R,rrr,2025-10-12,2026-04-23,2031-05-31
`;
    assert.equal(latestLts(parseDistroInfo(csv), "2025-01-01"), "noble");
    assert.equal(latestLts(parseDistroInfo(csv), "2026-11-23"), "rrr");
    assert.equal(latestLts(parseDistroInfo(""), "2026-11-23"), "noble");
  });
  it("has the network of the release's time", () => {
    assert.ok(ubuntuPackages("trusty", false).includes("ifupdown"));
    assert.ok(ubuntuPackages("noble", false).includes("systemd-resolved"));
    assert.ok(!ubuntuPackages("noble", true).includes("vim"));
  });
});

describe("where Fedora's packages come from", () => {
  it("is below the mirror, the updates as well, or what Fedora's own choice of mirrors says", () => {
    assert.deepEqual(fedoraRepositories("http://m.example", "12", "x86_64"), [
      "http://m.example/linux/releases/12/Everything/x86_64/os/",
      "http://m.example/linux/updates/12/x86_64/",
    ]);
    for (const url of fedoraRepositories(null, "43", "x86_64"))
      assert.match(url, /^https:\/\/mirrors\.fedoraproject\.org\/metalink\?/);
    assert.ok(fedoraPackages(12).includes("yum") && fedoraPackages(43).includes("systemd-networkd"));
  });
});
