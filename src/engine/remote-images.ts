import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FetchContext, withHttp } from "../image/http.js";
import { openServer } from "../image/open-server.js";
import type { HostFacts } from "../spec/host.js";
import type { ImageServer, ImageSource, RemoteImage } from "../spec/image.js";
import type { FillOptions } from "./engine.js";

type OciSource = Extract<ImageSource, { readonly kind: "oci" }>;

function fetchContext(options: FillOptions): FetchContext {
  return {
    environment: options.caller.environment,
    progress: options.progress ?? ((): void => undefined),
    signal: options.signal ?? new AbortController().signal,
  };
}

/** Engine.pinImage. */
export async function pinOci(image: OciSource, options: FillOptions): Promise<ImageSource> {
  const { pinnedOci } = await import("../image/oci.js");
  return await withHttp(fetchContext(options), (http) => pinnedOci(image, http, options.caller.cwd));
}

/** Engine.remoteImages. */
export async function remoteImages(
  host: HostFacts,
  server: ImageServer,
  options: FillOptions,
): Promise<readonly RemoteImage[]> {
  const cache = await mkdtemp(join(tmpdir(), "islet-index-"));
  try {
    return await withHttp(fetchContext(options), async (http) => {
      const { images } = await openServer(server, http, { arch: host.arch, cache });
      return images.map(({ distribution, release, architecture, variant, build }) => ({
        distribution,
        release,
        architecture,
        variant,
        build,
      }));
    });
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}
