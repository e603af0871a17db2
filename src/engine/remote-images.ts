import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withHttp } from "../image/http.js";
import { openServer } from "../image/open-server.js";
import type { HostFacts } from "../spec/host.js";
import type { ImageServer, RemoteImage } from "../spec/image.js";
import type { FillOptions } from "./engine.js";

/** Engine.remoteImages. */
export async function remoteImages(
  host: HostFacts,
  server: ImageServer,
  options: FillOptions,
): Promise<readonly RemoteImage[]> {
  const { environment } = options.caller;
  const progress = options.progress ?? ((): void => undefined);
  const signal = options.signal ?? new AbortController().signal;
  const cache = await mkdtemp(join(tmpdir(), "islet-index-"));
  try {
    return await withHttp({ environment, progress, signal }, async (http) => {
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
