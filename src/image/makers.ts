import type { ImageSource } from "../spec/image.js";
import type { ImageMaker } from "./maker.js";

type Kind = ImageSource["kind"];
type Makers = { readonly [K in Kind]?: () => Promise<ImageMaker<Extract<ImageSource, { readonly kind: K }>>> };

/** Who makes which kind of image; nothing of one is loaded before it is needed. */
const imageMakers: Makers = {
  oci: async () => (await import("./oci.js")).ociMaker,
  simplestreams: async () => (await import("./simplestreams-maker.js")).simplestreamsMaker,
  local: async () => (await import("./makers/local.js")).localMaker,
  debootstrap: async () => (await import("./makers/debootstrap.js")).debootstrapMaker,
  dnf: async () => (await import("./makers/dnf.js")).dnfMaker,
};

/** null: this kind cannot be made. */
export async function makerOf<S extends ImageSource>(source: S): Promise<ImageMaker<S> | null> {
  // The table pairs each kind with its own maker, which the compiler cannot follow through an index of a union.
  const load = imageMakers[source.kind] as (() => Promise<ImageMaker<S>>) | undefined;
  return load === undefined ? null : await load();
}
