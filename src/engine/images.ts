import { IsletError } from "../base/errors.js";
import type { HostFacts } from "../spec/host.js";
import type { ImageFacts, ImageStatus } from "../spec/image.js";
import type { FillOptions, ImageFill } from "./engine.js";

/** The images that containers are made of. */
export interface Images {
  fill(request: ImageFill, options: FillOptions): Promise<ImageFacts>;
  list(): Promise<readonly ImageStatus[]>;
  prune(wanted: (image: ImageStatus) => boolean): Promise<readonly string[]>;
}

export function createImages(_host: HostFacts, _binary: string): Images {
  return {
    fill: (request) =>
      Promise.reject(
        new IsletError(
          "ISLET_UNSUPPORTED",
          `a root file system cannot be made of an image of the kind ${request.image.kind}`,
        ),
      ),
    list: () => Promise.resolve([]),
    prune: () => Promise.resolve([]),
  };
}
