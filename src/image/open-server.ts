import { IsletError } from "../base/errors.js";
import type { ImageServer } from "../spec/image.js";
import { fetchBytes } from "./answers.js";
import type { CatalogImage } from "./catalog.js";
import type { Http } from "./http.js";
import { type Trust, trustFor } from "./keys.js";
import { parseLxcIndex } from "./lxc-index.js";
import { below, serverName, serverUrl } from "./server.js";
import { parseProducts, parseStreamsIndex } from "./simplestreams.js";
import { type VerifyContext, verifyDetached, verifyInline } from "./verify.js";

/** What a server says that it has. */
export interface Catalog {
  /** What the paths in it are below. */
  readonly base: URL;
  /** In messages. */
  readonly name: string;
  readonly images: readonly CatalogImage[];
  /** The checksums in it are signed. Otherwise those in the directory of an image must be. */
  readonly isSigned: boolean;
  /** null: the user does without signatures. */
  readonly trust: Trust | null;
}

/** How LXC's own index is asked for. */
export const lxcStreams = "meta/1.0";

const mostIndex = 32 << 20;
const mostSignature = 1 << 20;
/** Of how many documents an index may consist. */
const mostDocuments = 64;

/** The key is looked for before anything is asked of the network: without it nothing could be used. */
export async function openServer(wanted: ImageServer, http: Http, context: VerifyContext): Promise<Catalog> {
  const base = serverUrl(wanted.server);
  const name = serverName(base);
  const trust = wanted.validate ? await trustFor(base.hostname, wanted.keyrings, wanted.keyId ?? null) : null;
  http.context.progress(`reading the image index of ${name}`);
  if (wanted.streams === lxcStreams) {
    const images = await lxcImages(base, name, http);
    if (images !== null) return { base, name, images, isSigned: false, trust };
  }
  const streams = wanted.streams === lxcStreams ? "streams/v1" : wanted.streams;
  return await openStreams(base, name, streams, trust, http, context);
}

/** null: the server has no such index. It is signed nowhere; the checksums of its images are. */
async function lxcImages(base: URL, name: string, http: Http): Promise<readonly CatalogImage[] | null> {
  for (const file of ["index-system.7", "index-system"]) {
    const bytes = await fetchBytes(below(base, `${lxcStreams}/${file}`), `the index of ${name}`, mostIndex, http);
    if (bytes === null) continue;
    const images = parseLxcIndex(Buffer.from(bytes).toString("utf8"));
    // Servers that have a page for everything.
    if (images.length > 0 || bytes.length === 0) return images;
  }
  return null;
}

async function openStreams(
  server: URL,
  name: string,
  streams: string,
  trust: Trust | null,
  http: Http,
  context: VerifyContext,
): Promise<Catalog> {
  // Paths in the documents are below what "streams/v1" is below.
  const above = streams.replace(/(^|\/)streams\/v1\/?$/, "");
  const base = above === "" ? server : below(server, above);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  let isSigned = trust !== null;
  const read = async (path: string): Promise<Uint8Array | null> => {
    const found = await readSigned(base, path, `${path} of ${name}`, isSigned ? trust : null, http, context);
    isSigned &&= found?.isSigned ?? true;
    return found?.bytes ?? null;
  };
  const index = await read("streams/v1/index.json");
  if (index === null)
    throw new IsletError(
      "ISLET_NOT_FOUND",
      `${name} is no image server: it has no ${below(base, "streams/v1/index.json").pathname}`,
      {
        hint: "--server names another one",
      },
    );
  const images: CatalogImage[] = [];
  for (const path of parseStreamsIndex(index, `the index of ${name}`).slice(0, mostDocuments)) {
    const bytes = await read(path);
    if (bytes === null) throw new IsletError("ISLET_NETWORK", `${name} does not have ${path}, which its index names`);
    images.push(...parseProducts(bytes, `${path} of ${name}`));
  }
  return { base, name, images, isSigned, trust };
}

/**
 * A document with its signature within (.sjson) or beside it (.json.gpg); null: there is none. A server that has neither signature gives it
 * without. A false one is an error, not as good as none.
 */
async function readSigned(
  base: URL,
  path: string,
  what: string,
  trust: Trust | null,
  http: Http,
  context: VerifyContext,
): Promise<{ readonly bytes: Uint8Array; readonly isSigned: boolean } | null> {
  const plain = path.replace(/\.sjson$/, ".json");
  if (trust !== null) {
    const inline = await fetchBytes(below(base, plain.replace(/\.json$/, ".sjson")), what, mostIndex, http);
    if (inline !== null) return { bytes: await verifyInline(inline, trust, what, context), isSigned: true };
  }
  const bytes = await fetchBytes(below(base, plain), what, mostIndex, http);
  if (bytes === null || trust === null) return bytes === null ? null : { bytes, isSigned: false };
  const signature = await fetchBytes(below(base, `${plain}.gpg`), `the signature of ${what}`, mostSignature, http);
  if (signature === null) return { bytes, isSigned: false };
  await verifyDetached(bytes, signature, trust, what, context);
  return { bytes, isSigned: true };
}
