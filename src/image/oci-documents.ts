import { IsletError } from "../base/errors.js";
import type { ImageRun } from "../spec/image.js";
import { digestPattern } from "./oci-reference.js";
import { dpkgArchitecture } from "./server.js";

/** Manifests, indices and configurations of OCI images, and of Docker's, which are the same but for their names. */

export interface Descriptor {
  /** "sha256:" and hexadecimal digits. */
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

export interface ListedManifest extends Descriptor {
  /** As dpkg names it; null: not said. */
  readonly architecture: string | null;
  readonly os: string | null;
  /** org.opencontainers.image.ref.name: the tag, in layouts. */
  readonly name: string | null;
}

export type OciDocument =
  | { readonly kind: "index"; readonly manifests: readonly ListedManifest[] }
  | { readonly kind: "manifest"; readonly config: Descriptor; readonly layers: readonly Descriptor[] };

export interface OciConfig {
  readonly architecture: string | null;
  readonly created: number | null;
  readonly run: ImageRun;
}

export const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
] as const;

const mostLayers = 512;
const mostManifests = 1000;
const mostWords = 1000;

type Fields = Readonly<Record<string, unknown>>;

const broken = (what: string, why: string): IsletError =>
  new IsletError("ISLET_UNTRUSTED", `${what} is refused: ${why}`);

function parse(bytes: Uint8Array, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    throw broken(what, "it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw broken(what, "it is no JSON object");
  return value as Fields;
}

const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const textOf = (value: unknown): string | null => (typeof value === "string" && value.length <= 4096 ? value : null);

function descriptor(value: unknown, what: string): Descriptor {
  const fields = fieldsOf(value);
  const digest = textOf(fields["digest"]) ?? "";
  const { size } = fields as { readonly size?: unknown };
  if (!digestPattern.test(digest))
    throw /^sha(384|512):/.test(digest)
      ? new IsletError("ISLET_UNSUPPORTED", `${what} has digests other than SHA-256`)
      : broken(what, "it has a wrong digest");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw broken(what, "it has a wrong size");
  return { digest, size, mediaType: textOf(fields["mediaType"]) ?? "" };
}

export function parseManifest(bytes: Uint8Array, what: string): OciDocument {
  const fields = parse(bytes, what);
  const { manifests, layers } = fields as { readonly manifests?: unknown; readonly layers?: unknown };
  if (fields["schemaVersion"] !== 2)
    throw new IsletError("ISLET_UNSUPPORTED", `${what} is of a format that is too old`, {
      hint: "the image has to be pushed again by a tool of this decade",
    });
  if (Array.isArray(manifests)) {
    if (manifests.length > mostManifests) throw broken(what, "it lists too many manifests");
    return {
      kind: "index",
      manifests: manifests.map((entry: unknown) => {
        const platform = fieldsOf(fieldsOf(entry)["platform"]);
        const architecture = textOf(platform["architecture"]);
        return {
          ...descriptor(entry, what),
          architecture: architecture === null ? null : dpkgArchitecture(architecture),
          os: textOf(platform["os"]),
          name: textOf(fieldsOf(fieldsOf(entry)["annotations"])["org.opencontainers.image.ref.name"]),
        };
      }),
    };
  }
  if (!Array.isArray(layers)) throw broken(what, "it is neither a manifest nor a list of them");
  if (layers.length > mostLayers) throw broken(what, `it has more than ${mostLayers} layers`);
  return {
    kind: "manifest",
    config: descriptor(fields["config"], what),
    layers: layers.map((layer: unknown) => descriptor(layer, what)),
  };
}

/** The one for an architecture (dpkg's name); ISLET_NOT_FOUND names those that there are. */
export function chooseManifest(
  manifests: readonly ListedManifest[],
  architecture: string,
  what: string,
): ListedManifest {
  const linux = manifests.filter(({ os }) => os === null || os === "linux");
  const wanted = dpkgArchitecture(architecture);
  const found =
    linux.find((each) => each.architecture === wanted) ??
    // "arm" of OCI has its variant beside it.
    linux.find((each) => wanted === "armhf" && each.architecture === "arm") ??
    linux.find((each) => wanted === "i386" && each.architecture === "386") ??
    linux.find((each) => each.architecture === null);
  if (found !== undefined) return found;
  const there = [...new Set(linux.map((each) => each.architecture ?? ""))].filter((name) => name !== "unknown");
  throw new IsletError("ISLET_NOT_FOUND", `${what} has no image for ${architecture}`, {
    hint: there.length === 0 ? "it has none for Linux" : `it has them for ${there.toSorted().join(", ")}`,
  });
}

/** A list of words; null or missing is empty. */
function words(value: unknown, what: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > mostWords) throw broken(what, "a list of words in it is none");
  return value.map((word: unknown) => {
    if (typeof word !== "string" || word.length > 1 << 16 || word.includes("\0"))
      throw broken(what, "a word in it is none");
    return word;
  });
}

export function parseConfig(bytes: Uint8Array, what: string): OciConfig {
  const fields = parse(bytes, what);
  const config = fieldsOf(fields["config"]);
  const created = Date.parse(textOf(fields["created"]) ?? "");
  const directory = textOf(config["WorkingDir"]);
  const user = textOf(config["User"]);
  return {
    architecture: textOf(fields["architecture"]),
    created: Number.isNaN(created) ? null : created,
    run: {
      command: [...words(config["Entrypoint"], what), ...words(config["Cmd"], what)],
      environment: words(config["Env"], what),
      directory: directory === "" ? null : directory,
      user: user === "" ? null : user,
    },
  };
}
