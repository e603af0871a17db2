import { gzipSync } from "node:zlib";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ImageServer, sha256 } from "./image-server.js";

/** OCI images made by hand, as files of a layout or of a registry. */

export interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly bytes: Uint8Array;
}

export function blob(mediaType: string, content: string | Uint8Array): Blob {
  const bytes = Buffer.from(content);
  return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length, bytes };
}

const described = ({ mediaType, digest, size }: Blob): object => ({ mediaType, digest, size });

export const layerBlob = (tar: Uint8Array): Blob =>
  blob("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar, { level: 1 }));

export interface MadeOci {
  /** The index with one manifest for an architecture. */
  readonly index: Blob;
  readonly manifest: Blob;
  readonly blobs: readonly Blob[];
}

/** `config`: of the image's configuration, Entrypoint and the like. */
export function ociImage(layers: readonly Blob[], config: object, architecture: string = "amd64"): MadeOci {
  const settings = blob(
    "application/vnd.oci.image.config.v1+json",
    JSON.stringify({
      architecture,
      os: "linux",
      created: "2024-01-02T03:04:05Z",
      config,
      rootfs: { type: "layers", diff_ids: [] },
    }),
  );
  const manifest = blob(
    "application/vnd.oci.image.manifest.v1+json",
    JSON.stringify({ schemaVersion: 2, config: described(settings), layers: layers.map(described) }),
  );
  const other = { mediaType: manifest.mediaType, digest: `sha256:${"0".repeat(64)}`, size: 1 };
  const index = blob(
    "application/vnd.oci.image.index.v1+json",
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { ...other, platform: { architecture: "s390x", os: "linux" } },
        { ...described(manifest), platform: { architecture, os: "linux" } },
      ],
    }),
  );
  return { index, manifest, blobs: [settings, manifest, index, ...layers] };
}

/** An OCI image layout with images by their tags. */
export function writeLayout(directory: string, images: Readonly<Record<string, MadeOci>>): void {
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  for (const { blobs } of Object.values(images))
    for (const { digest, bytes } of blobs) writeFileSync(join(directory, "blobs/sha256", digest.slice(7)), bytes);
  const manifests = Object.entries(images).map(([tag, { manifest }]) => ({
    ...described(manifest),
    annotations: { "org.opencontainers.image.ref.name": tag },
  }));
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

export interface RegistryOptions {
  /** "user:password" that a token costs; null: anybody gets one. */
  readonly credentials?: string | null;
}

/** Makes a server a registry that wants tokens. */
export function serveRegistry(
  server: ImageServer,
  name: string,
  images: Readonly<Record<string, MadeOci>>,
  options: RegistryOptions = {},
): void {
  const { credentials = null } = options;
  for (const [tag, { index, blobs }] of Object.entries(images)) {
    server.files.set(`/v2/${name}/manifests/${tag}`, index.bytes);
    for (const { digest, bytes } of blobs) {
      server.files.set(`/v2/${name}/manifests/${digest}`, bytes);
      server.files.set(`/v2/${name}/blobs/${digest}`, bytes);
    }
  }
  const token = "a.token-for_us";
  server.handle = (request, response, path) => {
    if (path === "/token") {
      const basic = credentials === null ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`;
      const scope = new URL(request.url ?? "", server.url).searchParams.get("scope");
      if (request.headers.authorization !== basic || scope !== `repository:${name}:pull`)
        response.writeHead(401).end("{}");
      else response.end(JSON.stringify({ token }));
      return true;
    }
    if (!path.startsWith("/v2/") || request.headers.authorization === `Bearer ${token}`) return false;
    const challenge = `Bearer realm="${server.url}/token",service="test",scope="repository:${name}:pull"`;
    response.writeHead(401, { "www-authenticate": challenge }).end("{}");
    return true;
  };
}
