import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { trustFor } from "../../../src/image/keys.js";
import { keysOf } from "../../../src/image/openpgp.js";
import { verifyDetached } from "../../../src/image/verify.js";
import { hostArch } from "../../../src/host/probe.js";
import { root, testDir } from "../../support/paths.js";

/** What images.linuxcontainers.org signed for its Debian trixie of 2026-08-29, arm64. */
const sums = `c2eed8f2bf4fe70287ba9244161f30aefdb86328f5759d7efcdbf2b8a92288d6  rootfs.tar.xz
82f3e1c98159b76de3a3e9d5c9614ae7adcd672a6466a8c890c353526cb990ea  rootfs.squashfs
27f3093d46d486d8a60d06d05c687a2f8f76482a0363e0d8cf109c7ed41243de  disk.qcow2
54cec9bcbd597fd82c4c81d729938904b4b0351e03849a0b6e518dffcf13478f  meta.tar.xz
8438717a2442f00bf4c6156efeae38d60173677b930f1b03b01b7294eece98c8  incus.tar.xz
4658b1add4479b4a85c8d6049722b2ce41520d9921d1696f3739c83d5cbe82bb  image.yaml
3de8e5faedd216d2adbce7f03aebce2bd804b6b917e823ea6f119ceb9d7e2bda  build.log
475e40b0f234340e58452e2c68c34d33e4bb413c52baa75df7c82ab54a36cbb8  delta-20260828_05:24.vcdiff
7c03cb3812ea8be00f19c4b2278bdb2bfda9db57a0bef2ce4239a12246b0cee4  delta-20260828_05:24.qcow2.vcdiff
`;
const signature = `-----BEGIN PGP SIGNATURE-----

iQIzBAABCgAdFiEE5/sMrsgXPWaQZlFMuu/4jCL24hYFAmqSjb8ACgkQuu/4jCL2
4hYTlhAApNZnqJVCvkCVwQI5s/BatP2+lyimR1XShqzwHxoAHYyxtyREPhou6k5p
t5b564phl4gbKniIcO8D5KDTwnZiHX5qwhSjRVjZKUM151L5W227mX7hq8/KZijq
5OJbJ2ankcDTNNdMWlxMEaWXmTZtEQO2cHTueZS5panzIdy8QTKKb03hMHW1gt7w
vu7b4bVGefGkXZ08Prdu1UQsnTfP79BLveNNvr+YkQ1FM0dpaHdDUDQtm1k9SKdr
5BykGpkoM42LUDk3/sias3Z1qnRA8BXtMjhG3MtBw7NpifqUXcgi7gwCNVH0D20u
uZacuKe9/wLMCKtlFcwggrjfj7AgHBgle+Usb+d3MrDwVdl287vFoUQ3HvE3q8tK
l3DgPGLLjySm4HBs32dTriv/7yjg0JCu3x8TcSVzVcvq+izBQJtpnl3EYiH4SyF7
DRg9CCYQyWHOEwT+8skvl1M8g5yJsJyBwE6wJYTO/4B8H/ftyYwdDC6GrDJgJ1Jc
kBl7SX7U2f6K4/74yJWZPDmFhnNJAFZjnMiqoWAFSg6bUMCfKHlJwLBLZN7FQxWD
o6zP5DSS+KJ73cufqZQnKfz1exjlKdWembNpwRiK7QrPCrbTaBV52TG1qozAJydo
9TLnUChfjpD4HOiHzonOFCuZF8Hwy1UhYod0szI4Cu4B6l5s/rY=
=yzqT
-----END PGP SIGNATURE-----
`;

const keys = join(root, "share/keys");

it("the keys that come with islet are those that their page names", () => {
  const page = readFileSync(join(keys, "README.md"), "utf8");
  const named = [...page.matchAll(/^\| (\S+) \|.* ((?:[0-9A-F]{4} +){9}[0-9A-F]{4}) \|$/gm)].map(
    ([, what = "", fingerprint = ""]) => [
      /^\d/.test(what) ? `fedora/RPM-GPG-KEY-fedora-${what}-primary` : what,
      [fingerprint.replaceAll(" ", "")],
    ],
  );
  const files = readdirSync(keys, { recursive: true, encoding: "utf8" }).filter((name) => /\.asc$|RPM-GPG/.test(name));
  assert.ok(files.length >= 6);
  assert.deepEqual(
    Object.fromEntries(
      files.map((name) => [name, keysOf(readFileSync(join(keys, name))).map(({ fingerprint }) => fingerprint)]),
    ),
    Object.fromEntries(named),
  );
});

it("what images.linuxcontainers.org signed is checked with the key that comes with islet", async () => {
  const cache = mkdtempSync(join(testDir, "keys-"));
  try {
    const trust = await trustFor("images.linuxcontainers.org", [], null, [keys]);
    const check = async (text: string): Promise<void> =>
      verifyDetached(Buffer.from(text), Buffer.from(signature), trust, "SHA256SUMS", { arch: hostArch(), cache });
    await check(sums);
    await assert.rejects(check(sums.replace("c2eed8", "c2eed9")), { code: "ISLET_UNTRUSTED" });
    await assert.doesNotReject(trustFor("cloud-images.ubuntu.com", [], null, [keys]));
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});
