import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cleaner } from "./cleanup.js";
import { cleanup } from "./cleanup.js";
import { testDir } from "./paths.js";

/** A key of the test's own, in a GNUPGHOME of the test's own. */
export interface Signer {
  /** Its GNUPGHOME. */
  readonly home: string;
  readonly fingerprint: string;
  /** A file with the public key, and one with it in armor. */
  readonly keyring: string;
  readonly armored: string;
  readonly detached: (data: string | Uint8Array, options?: readonly string[]) => Uint8Array;
  readonly inline: (text: string, options?: readonly string[]) => Uint8Array;
}

/** `made` and `expires`: as --faked-system-time and --quick-generate-key have them. */
export function signer(
  t: Cleaner,
  name: string,
  times: { readonly made?: string; readonly expires?: string } = {},
): Signer {
  const home = mkdtempSync(join(testDir, "gpg-"));
  mkdirSync(join(home, "out"));
  const gpg = (args: readonly string[], input: string | Uint8Array = ""): Buffer =>
    execFileSync("gpg", ["--homedir", home, "--batch", "--quiet", "--passphrase", "", ...args], {
      input,
      stdio: ["pipe", "pipe", "pipe"],
      timeout: 60_000,
    });
  cleanup(t)(() => {
    execFileSync("gpgconf", ["--homedir", home, "--kill", "all"], { stdio: "ignore" });
    rmSync(home, { recursive: true, force: true });
  });
  const clock = times.made === undefined ? [] : ["--faked-system-time", `${times.made}!`];
  gpg([...clock, "--quick-generate-key", `${name} <${name}@example.org>`, "ed25519", "sign", times.expires ?? "never"]);
  const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(gpg(["--with-colons", "--list-keys"]).toString())?.[1] ?? "";
  const keyring = join(home, "out", "key.gpg");
  const armored = join(home, "out", "key.asc");
  writeFileSync(keyring, gpg(["--export"]));
  writeFileSync(armored, gpg(["--armor", "--export"]));
  const sign = (options: readonly string[], data: string | Uint8Array): Uint8Array => {
    writeFileSync(join(home, "data"), data);
    rmSync(join(home, "signature"), { force: true });
    gpg([...clock, ...options, "--output", join(home, "signature"), join(home, "data")]);
    return readFileSync(join(home, "signature"));
  };
  return {
    home,
    fingerprint,
    keyring,
    armored,
    detached: (data, options = ["--armor"]) => sign([...options, "--detach-sign"], data),
    inline: (text, options = []) => sign([...options, "--clearsign"], text),
  };
}
