import { execFile } from "node:child_process";
import { IsletError } from "../../../base/errors.js";

/** Characters that a field of passwd(5) and the standard input of a program can take. */
export function checkPassword(password: string): string {
  if (password === "" || /[\n\r\0]/.test(password))
    throw new IsletError("ISLET_BAD_REQUEST", "this password cannot be used: it is empty, or has more than one line");
  return password;
}

/** A program that makes a hash of the first line that it reads. */
const programs = [
  ["openssl", "passwd", "-6", "-stdin"],
  ["mkpasswd", "-m", "sha-512", "-s"],
] as const;

/** The password goes in by standard input: no other process sees it. null: the program is missing. */
function ask([program, ...words]: readonly string[], password: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const env = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" };
    const child = execFile(program ?? "", words, { env, timeout: 10_000 }, (error, stdout) => {
      const hash = stdout.trim();
      if (error === null && /^\$6\$[\w./$=]+$/.test(hash)) resolve(hash);
      else if (error !== null && error.code === "ENOENT") resolve(null);
      else
        reject(
          new IsletError("ISLET_OPERATION_FAILED", `${program ?? ""} made no hash of a password`, { cause: error }),
        );
    });
    // A program that is not there reads nothing.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(`${password}\n`);
  });
}

/** SHA-512 of crypt(5), with a salt of its own. ISLET_UNSUPPORTED: no program that makes it. */
export async function hashPassword(password: string): Promise<string> {
  for (const program of programs) {
    const hash = await ask(program, checkPassword(password));
    if (hash !== null) return hash;
  }
  throw new IsletError("ISLET_UNSUPPORTED", "the program openssl is missing, which makes hashes of passwords", {
    hint: "Debian: package openssl (or whois, for mkpasswd)",
  });
}
