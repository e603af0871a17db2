import { createHash } from "node:crypto";
import { type Decoder, integer, list, oneOf, record, text } from "../base/decode.js";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { nameProblem } from "../spec/name.js";

/**
 * What `islet export` writes, a tar archive:
 *
 *   islet.json           this
 *   config               the front end's text of it
 *   settings.json        if it has settings
 *   files/0, files/1, …  files beside the configuration
 *   rootfs/…             its root file system, with ids as its processes see them
 *   islet.sum            SHA-256 of all bytes before it
 */

export const manifestName = "islet.json";
export const configName = "config";
export const settingsName = "settings.json";
export const sumName = "islet.sum";
export const rootName = "rootfs";
export const isHeadName = (name: string): boolean =>
  [manifestName, configName, settingsName].includes(name) || /^files\/\d{1,4}$/.test(name);

/** Bytes that may come out of an archive of a size before it is taken for a decompression bomb. */
export const mostOf = (packed: number): number => (64 << 20) + 200 * packed;

interface Entry {
  /** In the archive. */
  readonly entry: string;
  /** Below the container's directory. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: "islet";
  readonly version: 1;
  readonly name: string;
  readonly architecture: string;
  /** Milliseconds since 1970. */
  readonly made: number;
  /** All before the root file system, but for this. */
  readonly files: readonly Entry[];
}

const decode: Decoder<Manifest> = record<Manifest>({
  format: oneOf("islet"),
  version: integer(1, 1) as Decoder<1>,
  name: text,
  architecture: text,
  made: integer(0, Number.MAX_SAFE_INTEGER),
  files: list(record<Entry>({ entry: text, path: text, size: integer(0, Number.MAX_SAFE_INTEGER), sha256: text })),
});

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export const entryOf = (entry: string, path: string, bytes: Uint8Array): Entry => ({
  entry,
  path,
  size: bytes.length,
  sha256: digest(bytes),
});

export const manifestText = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 2)}\n`;

/** It begins with something else. */
export const notOurs = (at: string): IsletError =>
  new IsletError("ISLET_BAD_REQUEST", `${at} is no container that islet has exported`, {
    hint: "images of LXC and LXD: lxc-create -n NAME -t local -- --help",
  });

/** What the head of an archive has, compared with what its manifest says. `at`: the archive's name. */
export function checkedManifest(head: ReadonlyMap<string, { readonly bytes: Uint8Array }>, at: string): Manifest {
  const found = head.get(manifestName);
  if (found === undefined) throw notOurs(at);
  const refuse = (why: string): never => {
    throw new IsletError("ISLET_UNTRUSTED", `${at} is refused: ${printable(why)}`);
  };
  let plain: unknown;
  try {
    plain = JSON.parse(Buffer.from(found.bytes).toString("utf8"));
  } catch {
    return refuse(`its ${manifestName} is no JSON`);
  }
  const version = typeof plain === "object" && plain !== null && "version" in plain ? plain.version : null;
  if (typeof version === "number" && version > 1)
    throw new IsletError("ISLET_UNSUPPORTED", `${at} was made by a newer islet (version ${version} of its format)`, {
      hint: "import it with that release",
    });
  let manifest: Manifest;
  try {
    manifest = decode(plain, manifestName);
  } catch (error) {
    return refuse(error instanceof Error ? error.message : `its ${manifestName} cannot be read`);
  }
  const problem = nameProblem(manifest.name);
  if (problem !== null) refuse(`its ${manifestName} has no good name`);
  const said = new Set([manifestName]);
  for (const { entry, path, size, sha256 } of manifest.files) {
    const bytes = head.get(entry)?.bytes;
    if (bytes === undefined || said.has(entry)) return refuse(`${entry} is not there as its ${manifestName} says`);
    said.add(entry);
    if (bytes.length !== size || digest(bytes) !== sha256)
      refuse(`its ${entry} is not what its ${manifestName} says (SHA-256 differs)`);
    const isOwn = entry === path && (entry === configName || entry === settingsName);
    if (!isOwn && !isGoodPath(path)) refuse(`${path} is no place for a file of a container`);
    if (!isOwn && !entry.startsWith("files/")) refuse(`${entry} would become ${path}`);
  }
  for (const name of head.keys()) if (!said.has(name)) refuse(`its ${manifestName} knows nothing of ${name}`);
  if (!said.has(configName)) refuse("it has no configuration");
  return manifest;
}

/** Names that islet and LXC have for themselves in a container's directory. */
const taken = new Set(
  "config settings.json partial rootfs rootdev snaps delta0 overlay olwork lxc_rdepends lxc_snapshots islet-journal ts comment unpacked".split(
    " ",
  ),
);

function isGoodPath(path: string): boolean {
  const parts = path.split("/");
  const isPlain = parts.every((part) => part !== "" && part !== "." && part !== ".." && part.length <= 255);
  return isPlain && !path.includes("\0") && path.length < 4000 && !taken.has(parts[0] ?? "");
}
