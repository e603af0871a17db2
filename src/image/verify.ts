import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IsletError } from "../base/errors.js";
import { findProgram, programReport } from "../host/run-program.js";
import type { Arch } from "../sys/arch.js";
import type { Trust } from "./keys.js";
import { splitClearsigned } from "./openpgp.js";

/** Signatures are checked by a program that does nothing else, with just the keys that it is given: offline, without anybody's ~/.gnupg. */

export interface VerifyContext {
  readonly arch: Arch;
  /** A directory of nobody else's. */
  readonly cache: string;
}

/** Takes minutes on no machine. */
const mostTime = 60_000;

/**
 * Checks a detached signature (armored or not). `what`: in words, with the server's name: "SHA256SUMS of images.example.org".
 * ISLET_UNTRUSTED: none of the keys has signed this, or it has expired; ISLET_UNSUPPORTED: there is no program that checks.
 */
export async function verifyDetached(
  data: Uint8Array,
  signature: Uint8Array,
  trust: Trust,
  what: string,
  context: VerifyContext,
): Promise<void> {
  const program = ["gpgv", "gpgv-sq", "sqv"].map(findProgram).find((found) => found !== null) ?? null;
  if (program === null)
    throw new IsletError("ISLET_UNSUPPORTED", "signatures cannot be checked: there is no gpgv", {
      hint: "apt-get install gpgv",
    });
  await mkdir(context.cache, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(join(context.cache, "verify-"));
  try {
    const [keyring, file, signed] = ["keyring.gpg", "signature", "data"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    await Promise.all([writeFile(keyring, trust.keyring), writeFile(file, signature), writeFile(signed, data)]);
    const isSequoia = program.endsWith("/sqv");
    const words = isSequoia
      ? ["--keyring", keyring, file, signed]
      : ["--homedir", directory, "--status-fd", "1", "--keyring", keyring, file, signed];
    const { kind, output } = await programReport(context.arch, program, words, mostTime);
    if (kind === "late") throw new IsletError("ISLET_TIMEOUT", `${program} did not end checking ${what}`);
    const verdict = isSequoia ? sequoiaVerdict(kind === "done", output) : gnupgVerdict(output);
    if (verdict !== "good") throw refusal(verdict, what, trust, output);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Checks a text that carries its own signature, and gives back what was signed and nothing else. */
export async function verifyInline(
  text: Uint8Array,
  trust: Trust,
  what: string,
  context: VerifyContext,
): Promise<Uint8Array> {
  const parts = splitClearsigned(text);
  if (parts === null) throw refusal({ kind: "none" }, what, trust, "");
  await verifyDetached(parts.signed, parts.signature, trust, what, context);
  return parts.signed;
}

type Verdict =
  | "good"
  | { readonly kind: "none" | "bad" | "expired key" | "expired" | "revoked" }
  | { readonly kind: "unknown key"; readonly key: string };

/** Lines of --status-fd (doc/DETAILS of GnuPG). One good signature is enough, as long as none is false. */
export function gnupgVerdict(output: string): Verdict {
  const status = output.split("\n").flatMap((line) => (line.startsWith("[GNUPG:] ") ? [line.slice(9).split(" ")] : []));
  const has = (word: string): boolean => status.some(([first]) => first === word);
  if (has("BADSIG")) return { kind: "bad" };
  if (has("GOODSIG") && has("VALIDSIG")) return "good";
  if (has("REVKEYSIG")) return { kind: "revoked" };
  if (has("EXPKEYSIG")) return { kind: "expired key" };
  if (has("EXPSIG")) return { kind: "expired" };
  const unknown = status.find(([first]) => first === "NO_PUBKEY")?.[1];
  if (unknown !== undefined) return { kind: "unknown key", key: unknown };
  return { kind: has("ERRSIG") ? "bad" : "none" };
}

export function sequoiaVerdict(isDone: boolean, output: string): Verdict {
  if (isDone) return "good";
  const unknown = /missing key ([0-9A-F]{16,})|No key to check signature from ([0-9A-F ]{16,})/i.exec(output);
  if (unknown !== null) return { kind: "unknown key", key: (unknown[1] ?? unknown[2] ?? "").replaceAll(" ", "") };
  if (/missing key|no key/i.test(output)) return { kind: "unknown key", key: "" };
  if (/revoked/i.test(output)) return { kind: "revoked" };
  if (/expired/i.test(output)) return { kind: "expired key" };
  if (/manipulated|bad signature|mismatch/i.test(output)) return { kind: "bad" };
  return { kind: "none" };
}

function refusal(verdict: Exclude<Verdict, "good">, what: string, trust: Trust, output: string): IsletError {
  const line = output.split("\n").find((each) => /^(gpgv|sqv)?:? ?\S/.test(each) && !each.startsWith("[GNUPG:]")) ?? "";
  const refuse = (text: string, hint: string): IsletError =>
    new IsletError("ISLET_UNTRUSTED", text, { hint, ...(line === "" ? {} : { cause: new Error(line) }) });
  switch (verdict.kind) {
    case "none":
      return refuse(`the signature of ${what} is none`, "nothing of it is used");
    case "bad":
      return refuse(
        `the signature of ${what} is wrong: this is not what was signed`,
        "nothing of it is used; another mirror may be better",
      );
    case "unknown key":
      return refuse(
        `${what} is signed with the key ${verdict.key}, which is not in ${trust.from}`,
        "if that is the right key, --keyring FILE names a file with it",
      );
    case "expired key":
      return refuse(
        `the key with which ${what} is signed has expired (${trust.from})`,
        "a newer copy of the key may say otherwise",
      );
    case "expired":
      return refuse(
        `the signature of ${what} has expired`,
        "another mirror may have a newer one; is this host's clock right?",
      );
    case "revoked":
      return refuse(`the key with which ${what} is signed was revoked (${trust.from})`, "nothing of it is used");
    default: {
      const impossible: never = verdict;
      throw new TypeError(String(impossible));
    }
  }
}
