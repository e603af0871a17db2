import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A throw-away OpenPGP key of a test's own. */
export interface SigningKey {
  readonly home: string;
  /** The public key, as text. */
  readonly file: string;
  /** `text`, clearsigned. */
  readonly clearSign: (text: string) => string;
}

/** `directory`: of the test's own; the key is made below it. */
export function signingKey(directory: string, name: string): SigningKey {
  // gpg's agent has its socket there, whose path may not be long.
  const home = join(directory, name);
  mkdirSync(home, { mode: 0o700 });
  const gpg = (words: readonly string[], input: string = ""): string =>
    execFileSync("gpg", ["--batch", "--quiet", "--homedir", home, ...words], {
      input,
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
    });
  gpg(["--passphrase", "", "--quick-generate-key", `${name} <${name}@islet.invalid>`, "rsa2048", "sign", "never"]);
  const file = join(directory, `${name}.asc`);
  writeFileSync(file, gpg(["--armor", "--export"]));
  return { home, file, clearSign: (text) => gpg(["--clearsign", "--digest-algo", "SHA256"], text) };
}

/** gpg leaves an agent behind. */
export function endAgent(key: SigningKey): void {
  execFileSync("gpgconf", ["--homedir", key.home, "--kill", "all"], { stdio: "ignore" });
}
