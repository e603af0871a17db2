import { join } from "node:path";
import { rm } from "node:fs/promises";
import { IsletError } from "../base/errors.js";
import type { ImageSource } from "../spec/image.js";
import { withHttp, type Http } from "./http.js";
import { type ImageMaker, type MadeImage, type MakeContext, shortHash } from "./maker.js";
import { chooseManifest, type Descriptor, parseConfig, parseManifest } from "./oci-documents.js";
import { openLayout } from "./oci-layout.js";
import { digestPattern, parseOciReference } from "./oci-reference.js";
import { openRegistry, type OciStore } from "./oci-registry.js";
import { dpkgArchitecture } from "./server.js";
import { unpack } from "./unpack.js";
import { isWhiteoutName, obeyWhiteouts, type Whiteout, whiteoutOf } from "./whiteouts.js";

type Source = Extract<ImageSource, { readonly kind: "oci" }>;

const mostWhiteouts = 200_000;
const plainWord = (text: string): string => text.replace(/[^A-Za-z0-9._+-]/g, "-").slice(-40);

export const ociMaker: ImageMaker<Source> = {
  name: ({ url, architecture }) => {
    const reference = parseOciReference(url, "/");
    // What is on the disk is at hand, and may change.
    if (reference.kind === "layout") return null;
    const { host, repository, reference: tag } = reference;
    const rest = JSON.stringify([host, repository, tag, architecture]);
    const words = [
      repository.replace(/^library\//, ""),
      tag.replace(/^sha256:(.{12}).*/, "$1"),
      dpkgArchitecture(architecture),
    ];
    return ["oci", ...words.map(plainWord), shortHash(rest)].join("-");
  },
  make: (source, rootfs, context) => withHttp(context, (http) => make(source, rootfs, http, context)),
};

/** Opens what the URL says. */
export async function openStore(source: Source, http: Http, cwd: string): Promise<OciStore> {
  const reference = parseOciReference(source.url, cwd);
  return reference.kind === "layout"
    ? openLayout(reference.directory, reference.tag)
    : await openRegistry(reference, source.credentials, http);
}

/** The same image by its digest; that of a layout by its absolute path, whatever is there when it is made. */
export async function pinnedOci(source: Source, http: Http, cwd: string): Promise<Source> {
  const reference = parseOciReference(source.url, cwd);
  if (reference.kind === "layout") {
    const { directory, tag } = reference;
    return { ...source, url: `oci:${directory}${tag === null ? "" : `:${tag}`}` };
  }
  const { host, repository } = reference;
  if (digestPattern.test(reference.reference)) return source;
  http.context.progress(`looking for ${source.url}`);
  const store = await openRegistry(reference, source.credentials, http);
  const { bytes, digest } = await store.manifest(null);
  // What is none is not asked for by its digest.
  parseManifest(bytes, `the manifest of ${store.name}`);
  return { ...source, url: `docker://${host}/${repository}@${digest}` };
}

/** The manifest for an architecture, through as many lists of manifests as there may sensibly be. */
export async function findManifest(
  store: OciStore,
  architecture: string,
): Promise<{ readonly digest: string; readonly config: Descriptor; readonly layers: readonly Descriptor[] }> {
  let wanted: string | null = null;
  for (let depth = 0; depth < 3; depth += 1) {
    const { bytes, digest } = await store.manifest(wanted);
    const document = parseManifest(bytes, `the manifest of ${store.name}`);
    if (document.kind === "manifest") return { digest, config: document.config, layers: document.layers };
    wanted = chooseManifest(document.manifests, architecture, store.name).digest;
  }
  throw new IsletError("ISLET_UNTRUSTED", `${store.name} is refused: lists of lists of manifests`);
}

async function make(source: Source, rootfs: string, http: Http, context: MakeContext): Promise<MadeImage> {
  const store = await openStore(source, http, context.cwd);
  context.progress(`looking for ${source.url}`);
  const { digest, config, layers } = await findManifest(store, source.architecture);
  const text = await store.bytes(config, "the configuration");
  const { architecture, created, run } = parseConfig(text, `the configuration of ${store.name}`);
  checkArchitecture(architecture, source);
  for (const [index, layer] of layers.entries()) {
    const what = `layer ${index + 1} of ${layers.length}`;
    if (!/\btar\b/.test(layer.mediaType) || /nondistributable|foreign/.test(layer.mediaType))
      throw new IsletError(
        "ISLET_UNSUPPORTED",
        `${store.name} has a layer of the type ${layer.mediaType}, which is no archive of files`,
      );
    const kept = join(context.cache, layer.digest.slice("sha256:".length));
    const file = await store.file(layer, kept, what);
    await applyLayer(file, rootfs, index > 0, what, context);
  }
  // Kept until now: had one layer failed, the next try would not fetch the others again.
  for (const { digest: sum } of layers) await rm(join(context.cache, sum.slice("sha256:".length)), { force: true });
  return {
    distribution: null,
    release: null,
    architecture: dpkgArchitecture(architecture ?? source.architecture),
    variant: null,
    made: created ?? Date.now(),
    fingerprint: digest.slice("sha256:".length),
    files: { origin: source.url },
    run,
  };
}

function checkArchitecture(architecture: string | null, source: Source): void {
  const names: Readonly<Record<string, string>> = { "386": "i386", arm: "armhf" };
  if (architecture === null || architecture === "") return;
  const found = names[architecture] ?? dpkgArchitecture(architecture);
  if (found !== dpkgArchitecture(source.architecture))
    throw new IsletError("ISLET_NOT_FOUND", `${source.url} is an image for ${found}, not for ${source.architecture}`);
}

/** One layer over those before it. `hasLower`: there are some. */
export async function applyLayer(
  file: string,
  rootfs: string,
  hasLower: boolean,
  what: string,
  context: MakeContext,
): Promise<void> {
  context.progress(`unpacking ${what}`);
  if (hasLower) {
    const whiteouts: Whiteout[] = [];
    const skip = ({ name }: { readonly name: string }): boolean => {
      const found = whiteoutOf(name);
      if (found !== null) whiteouts.push(found);
      if (whiteouts.length > mostWhiteouts)
        throw new IsletError("ISLET_UNTRUSTED", `${what} is refused: it has more than ${mostWhiteouts} whiteouts`);
      return false;
    };
    await unpack(file, null, { skip }, context);
    await obeyWhiteouts(context, rootfs, whiteouts, context.signal);
  }
  await unpack(file, rootfs, { skip: ({ name }) => isWhiteoutName(name) }, context);
}
