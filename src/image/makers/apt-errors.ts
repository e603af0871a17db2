import { IsletError } from "../../base/errors.js";

/** What apt and debootstrap say when something is wrong, in one line each. */

export interface AptRun {
  readonly suite: string;
  /** What they printed: all lines that may matter, in order. */
  readonly lines: readonly string[];
  /** The program, and what it ended with. */
  readonly program: string;
  readonly status: number;
}

type Explanation = (run: AptRun) => IsletError | null;

/** The first match in any line. */
function find(lines: readonly string[], pattern: RegExp): RegExpExecArray | null {
  for (const line of lines) {
    const match = pattern.exec(line);
    if (match !== null) return match;
  }
  return null;
}

const proxyHint = "is the network up? does apt need a proxy (Acquire::http::Proxy, http_proxy)?";

const fullDisk: Explanation = ({ lines }) =>
  find(lines, /No space left on device|don't have enough free space/) === null
    ? null
    : new IsletError("ISLET_IO", "the disk that holds the image cache is full", {
        hint: "islet images prune takes images away that are not used",
      });

const noName: Explanation = ({ lines }) => {
  const match = find(lines, /(?:Could not resolve(?: host:)?|(?:failure|happened) resolving) '?([\w.-]+)/);
  if (match === null) return null;
  return new IsletError("ISLET_NETWORK", `cannot reach ${match[1] ?? ""}: its name cannot be resolved`, {
    hint: proxyHint,
  });
};

const noConnection: Explanation = ({ lines }) => {
  const match = find(lines, /(?:Could not|Unable to|Cannot) (?:connect to|initiate the connection to) ([^\s:]+):(\d+)/);
  if (match === null) return null;
  const reason = find(lines, /(?:connect|errno) \(\d+: ([^)]+)\)|(connection timed out)/i);
  const why = (reason?.[1] ?? reason?.[2] ?? "no connection").toLowerCase();
  const [, host = "", port = ""] = match;
  return new IsletError("ISLET_NETWORK", `cannot reach ${host}:${port}: ${why}`, { hint: proxyHint });
};

const noSuite: Explanation = ({ lines, suite }) => {
  const missing = find(lines, /The repository '(\S+) (\S+) (?:Release|InRelease)' does not have a Release file/);
  if (missing !== null)
    return new IsletError("ISLET_NOT_FOUND", `there is no release ${missing[2] ?? suite} at ${missing[1] ?? ""}`, {
      hint: "look at the release's name and the mirror",
    });
  if (find(lines, /^E: No such script: /) !== null)
    return new IsletError("ISLET_NOT_FOUND", `debootstrap knows no release ${suite}`, {
      hint: "mmdebstrap takes every release (Debian: package mmdebstrap)",
    });
  const release = find(lines, /^E: Failed getting release file (\S+)/);
  if (release === null) return null;
  return new IsletError("ISLET_NETWORK", `cannot get ${release[1] ?? ""}`, { hint: proxyHint });
};

const noKey: Explanation = ({ lines }) => {
  const repository =
    find(lines, /The repository '(\S+ \S+) (?:Release|InRelease)' is(?: not|n't| no longer) signed/) ??
    find(lines, /GPG error: (\S+ \S+)/);
  const name = repository === null ? "the archive" : (repository[1] ?? "");
  const untrusted = (text: string, hint: string): IsletError => new IsletError("ISLET_UNTRUSTED", text, { hint });
  const unknown = find(lines, /NO_PUBKEY ([0-9A-F]+)|Missing key ([0-9A-F]+)|unknown key \(key id ([0-9A-F]+)\)/);
  const other = "give the file with its key: --keyring FILE";
  if (unknown !== null)
    return untrusted(
      `${name} is signed with a key that is not known here: ${unknown[1] ?? unknown[2] ?? unknown[3] ?? ""}`,
      other,
    );
  if (find(lines, /EXPKEYSIG|expired key/i) !== null)
    return untrusted(`${name} is signed with a key that has expired`, other);
  if (find(lines, /BADSIG|signatures were invalid|Invalid signature/) !== null)
    return untrusted(`the signature of ${name} is wrong`, "the mirror, or somebody on the way, has changed it");
  return null;
};

const changed: Explanation = ({ lines }) => {
  const match = find(lines, /Failed to fetch (\S+)\s+(?:Hash Sum mismatch|File has unexpected size)/);
  if (match !== null)
    return new IsletError("ISLET_UNTRUSTED", `${match[1] ?? ""} is not what the signed index says`, {
      hint: "try again later: the mirror may be in the middle of an update",
    });
  const debs = find(lines, /Couldn't download (?:these )?packages: (.*)|was corrupt: (.*)/);
  return debs === null
    ? null
    : new IsletError("ISLET_NETWORK", `packages cannot be downloaded: ${debs[1] ?? debs[2] ?? ""}`);
};

const noPackage: Explanation = ({ lines, suite }) => {
  const names = lines.flatMap((line) => {
    const match =
      /Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate|Couldn't find these debs: (.*)/.exec(
        line,
      );
    return match === null ? [] : (match[1] ?? match[2] ?? match[3] ?? "").split(" ");
  });
  if (names.length === 0) return null;
  const unique = [...new Set(names)];
  return new IsletError("ISLET_NOT_FOUND", `there is no package ${unique.join(", ")} in ${suite}`, {
    hint: "look at its name and at the components of the archive",
  });
};

const notFetched: Explanation = ({ lines }) => {
  const match = find(lines, /^E: Failed to fetch (\S+)\s+(.*)/);
  if (match === null) return null;
  const [, url = "", why = ""] = match;
  return new IsletError(
    "ISLET_NETWORK",
    `cannot get ${url}: ${why.replace(/\s+\[IP: .*\]$/, "").replace(/\s+/g, " ")}`,
  );
};

const notSigned: Explanation = ({ lines }) => {
  const match = find(lines, /The repository '(\S+ \S+) (?:Release|InRelease)' is(?: not|n't| no longer) signed/);
  if (match === null) return null;
  return new IsletError("ISLET_UNTRUSTED", `${match[1] ?? ""} is not signed`, {
    hint: "nothing is installed that nobody answers for",
  });
};

/** The first that fits explains it; the order is from causes to their consequences. */
const explanations: readonly Explanation[] = [
  fullDisk,
  noName,
  noConnection,
  noKey,
  noSuite,
  changed,
  noPackage,
  notFetched,
  notSigned,
];

/** Why the program failed: ISLET_NETWORK, ISLET_UNTRUSTED, ISLET_NOT_FOUND, ISLET_IO; else ISLET_OPERATION_FAILED with its own last word. */
export function explainApt(run: AptRun): IsletError {
  for (const explain of explanations) {
    const error = explain(run);
    if (error !== null) return error;
  }
  const own = run.lines.filter((line) => /^(E: |dpkg: error)/.test(line) && !/ failed( to run)?$/.test(line));
  const last = own.at(0) ?? run.lines.at(-1) ?? `it ended with status ${run.status}`;
  return new IsletError("ISLET_OPERATION_FAILED", `${run.program} failed: ${last.replace(/^E: /, "")}`);
}
