import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { IsletError } from "../../src/base/errors.js";
import { type Trust, trustFor } from "../../src/image/keys.js";
import { keysOf } from "../../src/image/openpgp.js";
import { verifyDetached, verifyInline } from "../../src/image/verify.js";
import { currentArch } from "../support/image.js";
import { testDir } from "../support/paths.js";
import { signer } from "../support/signing.js";

function work(t: TestContext): string {
  const directory = mkdtempSync(join(testDir, "verify-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

async function refused(code: string, words: RegExp, body: () => Promise<unknown>): Promise<void> {
  await assert.rejects(body, (error) => {
    assert.ok(error instanceof IsletError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  });
}

describe("signatures of what is downloaded", () => {
  it("are good when made by a key of the keyring, armored or not, and wrong for any other byte", async (t) => {
    const context = { arch: currentArch, cache: work(t) };
    const key = signer(t, "maker");
    const trust = await trustFor("example.org", [key.armored], null);
    const data = Buffer.from("0123  rootfs.tar.xz\n");
    await verifyDetached(data, key.detached(data), trust, "sums", context);
    await verifyDetached(data, key.detached(data, []), trust, "sums", context);
    const other = Buffer.from("0124  rootfs.tar.xz\n");
    await refused("ISLET_UNTRUSTED", /wrong: this is not what was signed/, () =>
      verifyDetached(other, key.detached(data), trust, "sums", context),
    );
    await refused("ISLET_UNTRUSTED", /signature of sums is none/, () =>
      verifyDetached(data, Buffer.from("nothing"), trust, "sums", context),
    );
    assert.deepEqual(readdirSync(context.cache), [], "nothing is left");
  });

  it("of an unknown key name that key", async (t) => {
    const context = { arch: currentArch, cache: work(t) };
    const [key, stranger] = [signer(t, "maker"), signer(t, "stranger")];
    const trust = await trustFor("example.org", [key.keyring], null);
    const data = Buffer.from("text");
    await refused("ISLET_UNTRUSTED", new RegExp(`key ${stranger.fingerprint.slice(-16)}, which is not in`), () =>
      verifyDetached(data, stranger.detached(data), trust, "sums", context),
    );
  });

  it("of a key that has expired say so", async (t) => {
    const context = { arch: currentArch, cache: work(t) };
    const key = signer(t, "old", { made: "20200101T000000", expires: "1y" });
    const trust = await trustFor("example.org", [key.keyring], null);
    const data = Buffer.from("text");
    await refused("ISLET_UNTRUSTED", /key with which sums is signed has expired/, () =>
      verifyDetached(data, key.detached(data), trust, "sums", context),
    );
  });

  it("within a text give back what was signed, and nothing beside it", async (t) => {
    const context = { arch: currentArch, cache: work(t) };
    const key = signer(t, "maker");
    const trust = await trustFor("example.org", [key.keyring], null);
    const text = '{\n "a": 1,  \n "b": "- - x",\n- odd\n\n-----BEGIN PGP nothing\n "c": "ü" }\n';
    const signed = key.inline(text);
    const got = Buffer.from(await verifyInline(signed, trust, "index", context)).toString();
    assert.equal(got.replaceAll("\r\n", "\n"), text.replace(/ +$/gm, "").replace(/\n$/, ""));
    const changed = Buffer.from(Buffer.from(signed).toString().replace('"a": 1', '"a": 2'));
    await refused("ISLET_UNTRUSTED", /not what was signed/, () => verifyInline(changed, trust, "index", context));
    // Made to be taken apart for ever.
    const began = performance.now();
    const endless = `-----BEGIN PGP SIGNED MESSAGE-----\n\n${"\n-----BEGIN PGP SIGNATURE-----\n".repeat(100_000)}${" ".repeat(1 << 20)}x`;
    await refused("ISLET_UNTRUSTED", /none/, () => verifyInline(Buffer.from(endless), trust, "index", context));
    assert.ok(performance.now() - began < 2000);
    for (const around of [`x\n${signed.toString()}`, `${Buffer.from(signed).toString()}x\n`, "{}"])
      await refused("ISLET_UNTRUSTED", /signature of index is none/, () =>
        verifyInline(Buffer.from(around), trust, "index", context),
      );
  });
});

describe("keys", () => {
  it("count by their fingerprints, wherever they are found, and alone", async (t) => {
    const directory = work(t);
    const [key, stranger] = [signer(t, "maker"), signer(t, "stranger")];
    writeFileSync(
      join(directory, "many.gpg"),
      Buffer.concat([readFileSync(stranger.keyring), readFileSync(key.keyring)]),
    );
    const trust: Trust = await trustFor("example.org", [], key.fingerprint, ["/nowhere", directory]);
    assert.deepEqual(
      keysOf(trust.keyring).map(({ fingerprint }) => fingerprint),
      [key.fingerprint],
    );
    assert.deepEqual(
      keysOf(readFileSync(key.armored)).map(({ fingerprint }) => fingerprint),
      [key.fingerprint],
    );
  });

  it("that are not there are said to be missing, with what to do", async (t) => {
    const directory = work(t);
    await refused("ISLET_UNSUPPORTED", /linuxcontainers.org's image signing key E7FB\S+16 is not on this host/, () =>
      trustFor("images.linuxcontainers.org", [], null, [directory]),
    );
    await refused("ISLET_UNSUPPORTED", /no key is known with which images of example.org/, () =>
      trustFor("example.org", [], null, [directory]),
    );
    await refused("ISLET_UNSUPPORTED", /there is no key file \/nowhere\/x.gpg/, () =>
      trustFor("example.org", ["/nowhere/x.gpg"], null),
    );
    mkdirSync(join(directory, "d"));
    writeFileSync(join(directory, "text"), "no keys in here\n");
    await refused("ISLET_UNSUPPORTED", /has no OpenPGP keys/, () => trustFor("x", [join(directory, "text")], null));
    await refused("ISLET_BAD_REQUEST", /not a whole fingerprint/, () => trustFor("x", [], "0xBAEFF88C22F6E216"));
  });
});
