import { IsletError } from "../../base/errors.js";

/** Why dnf failed, in one line: ISLET_NETWORK, ISLET_UNTRUSTED, ISLET_NOT_FOUND, ISLET_IO; else ISLET_OPERATION_FAILED with its own words. */
export function explainDnf(release: string, lines: readonly string[], status: number): IsletError {
  const find = (pattern: RegExp): RegExpExecArray | null => {
    for (const line of lines) {
      const match = pattern.exec(line);
      if (match !== null) return match;
    }
    return null;
  };
  if (find(/No space left on device|Disk Requirements|At least \d+[KMG]B more space needed/) !== null)
    return new IsletError("ISLET_IO", "the disk that holds the image cache is full", {
      hint: "islet images prune takes images away that are not used",
    });
  const name = find(/Could not resolve host: ([^\s\]]+)/);
  if (name !== null)
    return new IsletError("ISLET_NETWORK", `cannot reach ${name[1] ?? ""}: its name cannot be resolved`, {
      hint: "is the network up? is a proxy needed (http_proxy)?",
    });
  const connection = find(/Failed to connect to (\S+) port (\d+)[^:]*: ([^\]]+)/);
  if (connection !== null) {
    const [, host = "", port = "", why = ""] = connection;
    return new IsletError("ISLET_NETWORK", `cannot reach ${host}:${port}: ${why.toLowerCase()}`, {
      hint: "is the network up? is a proxy needed (http_proxy)?",
    });
  }
  const unsigned = find(/Package (\S+) is not signed/);
  if (unsigned !== null) return new IsletError("ISLET_UNTRUSTED", `the package ${unsigned[1] ?? ""} is not signed`);
  const unknown = find(/Public key for (\S+) is not installed/);
  if (unknown !== null)
    return new IsletError(
      "ISLET_UNTRUSTED",
      `the package ${unknown[1] ?? ""} is signed with a key that is not known here`,
      { hint: "give the file with the release's key: --keyring FILE" },
    );
  if (find(/GPG check FAILED|digest SIGNATURES NOT OK|BAD, key ID|Checksum error/i) !== null)
    return new IsletError("ISLET_UNTRUSTED", "a package is not what was signed");
  const packages = find(/Unable to find a match: (.*)/);
  if (packages !== null)
    return new IsletError("ISLET_NOT_FOUND", `there is no package ${packages[1] ?? ""} in release ${release}`);
  const missing = find(/Status code: 404 for (\S+)/);
  if (missing !== null)
    return new IsletError("ISLET_NOT_FOUND", `there is no release ${release} at ${missing[1] ?? ""}`, {
      hint: "look at the release's number and the mirror",
    });
  const metadata = find(/Failed to download metadata for repo '[^']*': (.*)/) ?? find(/Curl error \(\d+\): (.*)/);
  if (metadata !== null) return new IsletError("ISLET_NETWORK", `packages cannot be had: ${metadata[1] ?? ""}`);
  const own =
    lines.find((line) => /^(Error|error): ?\S/.test(line)) ?? lines.at(-1) ?? `it ended with status ${status}`;
  return new IsletError("ISLET_OPERATION_FAILED", `dnf failed: ${own.replace(/^error: /i, "")}`);
}
