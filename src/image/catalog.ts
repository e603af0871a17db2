import { IsletError } from "../base/errors.js";
import { likelySlips, nearest } from "../base/nearest.js";
import type { RemoteImage } from "../spec/image.js";
import { dpkgArchitecture } from "./server.js";

/** What an index says of an image; the same of either kind of index. */
export interface CatalogImage extends RemoteImage {
  /** Other names of the release, or of the whole: "24.04", "noble", "default", "alpine/3.18/cloud". */
  readonly aliases: readonly string[];
  /** Newest first. */
  readonly builds: readonly CatalogBuild[];
}

export interface CatalogBuild {
  readonly name: string;
  readonly files: readonly CatalogFile[];
}

export interface CatalogFile {
  readonly role: "lxc-meta" | "lxd-meta" | "root-tar" | "root-squashfs" | "combined";
  /** Below the server. */
  readonly path: string;
  readonly sha256: string | null;
  readonly size: number | null;
}

export interface Wanted {
  readonly distribution: string;
  readonly release: string;
  readonly architecture: string;
  readonly variant: string;
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** ISLET_NOT_FOUND names what is not there and what is. `server`: in words. */
export function pickImage(images: readonly CatalogImage[], wanted: Wanted, server: string): CatalogImage {
  const { distribution, release, architecture, variant } = wanted;
  const ofDistribution = narrowed(
    images,
    (image) => image.distribution,
    distribution,
    (image) => same(image.distribution, distribution),
    `${server} has no images of`,
  );
  const named = `${distribution}/${release}`;
  const names = [release, named, `${named}/${variant}`];
  const ofRelease = narrowed(
    ofDistribution,
    (image) => image.release,
    release,
    (image) => same(image.release, release) || image.aliases.some((alias) => names.some((name) => same(alias, name))),
    `${server} has no images of ${distribution}`,
  );
  const ofArch = narrowed(
    ofRelease,
    (image) => image.architecture,
    architecture,
    (image) => dpkgArchitecture(image.architecture) === dpkgArchitecture(architecture),
    `${server} has no images of ${distribution} ${release} for`,
  );
  const [found] = narrowed(
    ofArch,
    (image) => image.variant,
    variant,
    (image) => same(image.variant, variant),
    `${server} has no images of ${distribution} ${release} for ${architecture} of the variant`,
  );
  if (found === undefined)
    throw new IsletError("ISLET_NOT_FOUND", `${server} has no image of ${distribution} ${release}`);
  return found;
}

/** Those that match; else an error with the nearest name or, where they are few, all of them. */
function narrowed(
  images: readonly CatalogImage[],
  nameOf: (image: CatalogImage) => string,
  word: string,
  matches: (image: CatalogImage) => boolean,
  complaint: string,
): readonly CatalogImage[] {
  const found = images.filter(matches);
  if (found.length > 0) return found;
  const names = [...new Set(images.map(nameOf))].toSorted();
  const near = nearest(word.toLowerCase(), names, likelySlips(word));
  const some =
    names.length === 0
      ? "it has none at all"
      : `there are ${names.slice(0, 40).join(", ")}${names.length > 40 ? ", ..." : ""}`;
  throw new IsletError("ISLET_NOT_FOUND", `${complaint} ${word}`, {
    hint: near === null ? some : `did you mean ${near}? ${some}`,
  });
}

/** What a root file system is made of. */
export interface Parts {
  readonly build: string;
  readonly meta: CatalogFile | null;
  /** null: both are in `meta`. */
  readonly root: CatalogFile | null;
}

/** The files of the newest build that has a root. A tarball goes before a squashfs, which needs one program more. ISLET_NOT_FOUND. */
export function pickParts(image: CatalogImage, server: string): Parts {
  for (const { name, files } of image.builds) {
    const of = (...roles: readonly CatalogFile["role"][]): CatalogFile | null =>
      roles.map((role) => files.find((file) => file.role === role)).find((file) => file !== undefined) ?? null;
    const root = of("root-tar", "root-squashfs");
    if (root !== null) return { build: name, meta: of("lxc-meta", "lxd-meta"), root };
    const combined = of("combined");
    if (combined !== null) return { build: name, meta: combined, root: null };
  }
  throw new IsletError(
    "ISLET_NOT_FOUND",
    `${server} has no root file system of ${image.distribution} ${image.release} ${image.architecture} for containers`,
    { hint: "it may have disk images for virtual machines only" },
  );
}
