import { stat } from "node:fs/promises";
import { IsletError } from "../../base/errors.js";
import { isErrno } from "../../base/io-error.js";
import type { ImageSource } from "../../spec/image.js";
import { readLxdMetadata } from "../lxd-metadata.js";
import type { ImageMaker, MadeImage, MakeContext } from "../maker.js";
import { excluder } from "../simplestreams-maker.js";
import { unpack } from "../unpack.js";

type Source = Extract<ImageSource, { readonly kind: "local" }>;

/** Of the host's own files: nothing is kept of them. */
export const localMaker: ImageMaker<Source> = {
  name: () => null,
  async make(source, rootfs, context) {
    const files: Record<string, string> = {};
    const onFile = (name: string, text: string): void => {
      files[name] = text;
    };
    const { metadata } = source;
    if (metadata !== null) await mustBeFile(metadata);
    if (source.rootfs !== null) await mustBeFile(source.rootfs);
    const alone = metadata === null ? source.rootfs : source.rootfs === null ? metadata : null;
    if (alone !== null) {
      if (await isPlainRoot(alone, context)) {
        if (metadata !== null) throw noRoot(metadata);
        await unpack(alone, rootfs, {}, context);
        return { ...nothingKnown, made: await timeOf(alone), files };
      }
      const { entries } = await unpack(alone, rootfs, { below: "rootfs", onFile }, context);
      if (entries === 0) throw noRoot(alone);
      return await described(files, alone, context);
    }
    if (metadata === null || source.rootfs === null)
      throw new IsletError(
        "ISLET_BAD_REQUEST",
        "an image needs a file of the root file system, of the metadata, or both",
      );
    await unpack(metadata, null, { below: "rootfs", onFile }, context);
    // What is wrong with it is told before the long part.
    const made = await described(files, metadata, context);
    const isExcluded = excluder(files["excludes"] ?? "");
    await unpack(source.rootfs, rootfs, { skip: ({ name }) => isExcluded(name) }, context);
    return made;
  },
};

const nothingKnown: Omit<MadeImage, "made" | "files"> = {
  distribution: null,
  release: null,
  architecture: null,
  variant: null,
  fingerprint: null,
  run: null,
};

async function described(
  files: Readonly<Record<string, string>>,
  archive: string,
  context: MakeContext,
): Promise<MadeImage> {
  const text = files["metadata.yaml"];
  // LXC's metadata: lxc-local says itself what is missing in it.
  if (text === undefined && Object.keys(files).some((name) => name.startsWith("config")))
    return { ...nothingKnown, made: await timeOf(archive), files };
  if (text === undefined)
    throw new IsletError("ISLET_BAD_REQUEST", "Metadata tarball is missing metadata.yaml", {
      hint: `${archive} has neither that nor LXC's config`,
    });
  const { created, ...rest } = await readLxdMetadata(text, context.arch);
  return { ...nothingKnown, ...rest, made: created, files };
}

/** LXD's words for a tarball that should have both. */
const noRoot = (archive: string): IsletError =>
  new IsletError("ISLET_BAD_REQUEST", "Invalid instance type", { hint: `${archive} has no rootfs/` });

/** Ends the reading of an archive as soon as enough was seen. */
class Enough extends Error {}

/** The first name at the top says it: an image has metadata.yaml, templates and rootfs there, a root anything else. */
async function isPlainRoot(archive: string, context: MakeContext): Promise<boolean> {
  let first: string | null = null;
  try {
    await unpack(
      archive,
      null,
      {
        skip: ({ name }) => {
          if (name === "") return true;
          first = name;
          throw new Enough();
        },
      },
      { ...context, progress: () => undefined },
    );
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  // A squashfs, which has nothing but a root, shows no names.
  return first === null || !/^(metadata\.yaml$|templates(\/|$)|rootfs(\/|$)|config)/.test(first);
}

async function mustBeFile(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new IsletError("ISLET_BAD_REQUEST", `there is no file ${path}`, { cause: error });
  }
  throw new IsletError("ISLET_BAD_REQUEST", `${path} is not a file`);
}

const timeOf = async (path: string): Promise<number> => Math.round((await stat(path)).mtimeMs);
