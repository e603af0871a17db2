import { basename, dirname, join } from "node:path";
import { IsletError } from "../base/errors.js";
import { matchesWildcard } from "../base/wildcard.js";
import type { ImageSource } from "../spec/image.js";
import { fetchBytes } from "./answers.js";
import { type CatalogFile, pickImage, pickParts } from "./catalog.js";
import { download } from "./download.js";
import { type Http, withHttp } from "./http.js";
import { parseSums } from "./lxc-index.js";
import { type ImageMaker, type MadeImage, type MakeContext, shortHash } from "./maker.js";
import { type Catalog, openServer } from "./open-server.js";
import { below, dpkgArchitecture, serverUrl } from "./server.js";
import { unpack } from "./unpack.js";
import { verifyDetached } from "./verify.js";

type Source = Extract<ImageSource, { readonly kind: "simplestreams" }>;

const mostMeta = 64 << 20;
const mostRoot = 64 * 2 ** 30;
const mostSums = 1 << 20;

const plainWord = (text: string): string => text.replace(/[^A-Za-z0-9._+-]/g, "-").slice(0, 24);

export const simplestreamsMaker: ImageMaker<Source> = {
  name: (source) => {
    const { distribution, release, architecture, variant, server, streams, keyrings, keyId, validate } = source;
    const words = [distribution, release, dpkgArchitecture(architecture), variant].map(plainWord);
    const rest = JSON.stringify([
      serverUrl(server).href,
      streams,
      keyrings,
      keyId ?? null,
      validate,
      words,
      distribution,
      release,
      variant,
    ]);
    return [...words, shortHash(rest)].join("-");
  },
  make: (source, rootfs, context) => withHttp(context, (http) => make(source, rootfs, http, context)),
};

async function make(source: Source, rootfs: string, http: Http, context: MakeContext): Promise<MadeImage> {
  if (!source.validate)
    context.notice(`images of ${source.server} are taken without a signature: whoever answers in its name is believed`);
  const catalog = await openServer(source, http, context);
  const image = pickImage(catalog.images, source, catalog.name);
  const { build, meta, root } = pickParts(image, catalog.name);
  const what = `${image.distribution} ${image.release} ${image.architecture}`;
  const parts = [...(meta === null ? [] : [meta]), ...(root === null ? [] : [root])];
  const sums = catalog.isSigned ? null : await sumsOf(catalog, parts, http, context);
  const fetched = new Map<CatalogFile, { readonly file: string; readonly sha256: string }>();
  for (const part of parts) {
    const name = basename(part.path);
    const isRoot = part === root || root === null;
    const words = `${isRoot ? "the root file system" : "the metadata"} of ${what}`;
    const expected = checksum(part, sums, catalog, words);
    const file = join(context.cache, name);
    const limit = isRoot ? mostRoot : mostMeta;
    const url = below(catalog.base, part.path);
    fetched.set(part, {
      file,
      ...(await download({ url, file, what: words, sha256: expected, size: part.size, limit }, http)),
    });
  }

  const files: Record<string, string> = {};
  const onFile = (name: string, text: string): void => {
    files[name] = text;
  };
  const fileOf = (part: CatalogFile): string => fetched.get(part)?.file ?? "";
  // Nothing of it becomes a file: what lies beside a root that it does not have.
  if (meta !== null && root !== null) await unpack(fileOf(meta), null, { below: "rootfs", onFile }, context);
  if (meta?.role === "lxc-meta" && !Object.keys(files).some((name) => /^config(-system|-user)?(\.\d+)?$/.test(name)))
    throw new IsletError("ISLET_NOT_FOUND", `the metadata of ${what} have no configuration file`);
  context.progress(`unpacking ${what}`);
  const isExcluded = excluder(files["excludes"] ?? "");
  const whole = root ?? meta;
  if (whole === null) throw new IsletError("ISLET_INTERNAL", "an image without files was picked");
  if (root === null) await unpack(fileOf(whole), rootfs, { below: "rootfs", onFile }, context);
  else await unpack(fileOf(root), rootfs, { skip: ({ name }) => isExcluded(name) }, context);
  return {
    distribution: image.distribution,
    release: image.release,
    architecture: dpkgArchitecture(image.architecture),
    variant: image.variant,
    made: buildTime(build),
    fingerprint: fetched.get(whole)?.sha256 ?? null,
    files: { ...files, origin: catalog.base.href },
    run: null,
  };
}

/**
 * The checksums in the directory of an image whose index is not signed, and their signature. null: the user does without signatures, and there
 * are none. ISLET_UNTRUSTED.
 */
async function sumsOf(
  catalog: Catalog,
  parts: readonly CatalogFile[],
  http: Http,
  context: MakeContext,
): Promise<ReadonlyMap<string, string> | null> {
  const [first] = parts;
  const directory = dirname(first?.path ?? "");
  const path = `${directory}/SHA256SUMS`;
  const what = `SHA256SUMS of ${catalog.name}`;
  const unsigned = (): IsletError =>
    new IsletError(
      "ISLET_UNTRUSTED",
      `neither the index of ${catalog.name} nor the checksums of the image are signed`,
      {
        hint: "--no-validate does without signatures",
      },
    );
  if (parts.some((part) => dirname(part.path) !== directory)) {
    if (catalog.trust === null) return null;
    throw unsigned();
  }
  const bytes = await fetchBytes(below(catalog.base, path), what, mostSums, http);
  if (catalog.trust !== null) {
    const signature =
      bytes === null
        ? null
        : await fetchBytes(below(catalog.base, `${path}.asc`), `the signature of ${what}`, mostSums, http);
    if (bytes === null || signature === null) throw unsigned();
    await verifyDetached(bytes, signature, catalog.trust, what, context);
  }
  return bytes === null ? null : parseSums(Buffer.from(bytes).toString("utf8"));
}

/** What the file must have; null: nobody says, and the user does without. */
function checksum(
  part: CatalogFile,
  sums: ReadonlyMap<string, string> | null,
  catalog: Catalog,
  what: string,
): string | null {
  if (catalog.isSigned || sums === null) {
    if (part.sha256 === null && catalog.trust !== null)
      throw new IsletError("ISLET_UNTRUSTED", `the index of ${catalog.name} has no checksum of ${what}`);
    return part.sha256;
  }
  const signed = sums.get(basename(part.path)) ?? null;
  if (signed === null && catalog.trust !== null)
    throw new IsletError("ISLET_UNTRUSTED", `the checksums of ${catalog.name} say nothing of ${what}`);
  return signed ?? part.sha256;
}

/** "20231020_05:24", "20240423", "20240423.1"; what is no time was made now. */
function buildTime(build: string): number {
  const [, year, month, day, hour = "00", minute = "00"] =
    /^(\d{4})(\d{2})(\d{2})(?:_(\d{2}):(\d{2}))?/.exec(build) ?? [];
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
  return Number.isNaN(time) ? Date.now() : time;
}

/** Lines of patterns as `tar --anchored --exclude` reads them: what is below a match goes with it. */
export function excluder(patterns: string): (name: string) => boolean {
  const wanted = patterns
    .split("\n", 100)
    .map((line) => line.trim().replace(/^\.?\/+/, ""))
    .filter((line) => line !== "" && line.length <= 512);
  return (name) => wanted.some((pattern) => pathAndParents(name).some((path) => matchesWildcard(pattern, path)));
}

/** "a/b/c", "a/b", "a". */
function pathAndParents(path: string): readonly string[] {
  const names = path.split("/");
  return names.map((_, index) => names.slice(0, names.length - index).join("/"));
}
