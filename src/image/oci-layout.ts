import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { IsletError } from "../base/errors.js";
import { parseManifest } from "./oci-documents.js";
import { checkDigest, mostConfig, mostManifest, type OciStore } from "./oci-registry.js";
import { digestOf } from "./partial.js";

/** An OCI image layout: a directory with `oci-layout`, `index.json` and `blobs/sha256`. `tag` null: the only image in it. */
export function openLayout(directory: string, tag: string | null): OciStore {
  const blobPath = (digest: string): string => join(directory, "blobs", "sha256", digest.slice("sha256:".length));
  const blob = async (digest: string, limit: number, what: string): Promise<Uint8Array> => {
    const bytes = await readLimited(blobPath(digest), limit, `${what} of ${directory}`);
    checkDigest(bytes, digest, `${what} of ${directory}`);
    return bytes;
  };
  return {
    name: directory,
    manifest: async (reference) => {
      if (reference !== null) return { bytes: await blob(reference, mostManifest, "the manifest"), digest: reference };
      const bytes = await readLimited(join(directory, "index.json"), mostManifest, `the index of ${directory}`);
      const index = parseManifest(bytes, `the index of ${directory}`);
      if (index.kind !== "index") throw new IsletError("ISLET_UNTRUSTED", `${directory} has no index`);
      const names = index.manifests.flatMap(({ name }) => (name === null ? [] : [name]));
      const found =
        tag === null
          ? index.manifests.length === 1
            ? index.manifests[0]
            : undefined
          : index.manifests.find(({ name }) => name === tag);
      if (found === undefined)
        throw new IsletError(
          "ISLET_NOT_FOUND",
          tag === null ? `${directory} has several images` : `${directory} has no image ${tag}`,
          {
            hint:
              names.length === 0
                ? "none in it has a name"
                : `it has ${names.toSorted().join(", ")}: oci:${directory}:NAME`,
          },
        );
      return { bytes: await blob(found.digest, mostManifest, "the manifest"), digest: found.digest };
    },
    bytes: async ({ digest }, what) => await blob(digest, mostConfig, what),
    file: async ({ digest, size }, _path, what) => {
      const path = blobPath(digest);
      const found = await digestOf(path);
      if (found === null) throw new IsletError("ISLET_NOT_FOUND", `${directory} lacks ${what}: there is no ${path}`);
      if (`sha256:${found.sha256}` !== digest || found.bytes !== size)
        throw new IsletError(
          "ISLET_UNTRUSTED",
          `${what} of ${directory} is not what its digest says: wrong checksum (not ${digest})`,
        );
      return path;
    },
  };
}

async function readLimited(path: string, limit: number, what: string): Promise<Uint8Array> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new IsletError("ISLET_NOT_FOUND", `there is no ${what}: ${path}`, { cause });
  }
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size > limit)
      throw new IsletError("ISLET_UNTRUSTED", `${what} is refused: it is too large, or no file`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** Eight digits for whatever text. */
