import { constants, mkdirSync, openSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import { closeFd } from "../host/addon.js";
import { createImageCache, type HeldImage, type ImageCache } from "../image/cache.js";
import type { ImageMaker, MakeContext } from "../image/maker.js";
import { makerOf } from "../image/makers.js";
import { readSource } from "../image/record.js";
import { createRootEditor } from "../image/root-editor.js";
import type { HostFacts } from "../spec/host.js";
import type { ImageFacts, ImageSource, ImageStatus } from "../spec/image.js";
import { copyTree, shiftTree } from "../storage/tree.js";
import { runContained } from "./contained.js";
import type { FillOptions, ImageFill } from "./engine.js";

/** The images that containers are made of. */
export interface Images {
  fill(request: ImageFill, options: FillOptions): Promise<ImageFacts>;
  list(): Promise<readonly ImageStatus[]>;
  prune(wanted: (image: ImageStatus) => boolean): Promise<readonly string[]>;
  /** Makes an image of the cache anew. ISLET_NOT_FOUND; and what its making throws. */
  refresh(name: string, options: FillOptions): Promise<void>;
}

/** What others keep beside LXC's own caches of the same directory. */
const defaultCache = "/var/cache/lxc/islet";

export function createImages(host: HostFacts, binary: string): Images {
  const { arch } = host;
  const tree = { arch, binary };
  const directory = process.env["ISLET_IMAGE_CACHE"] ?? defaultCache;
  const cache = createImageCache({ arch, binary, directory });

  return {
    async fill(request, options) {
      const maker = await knownMaker(request.image);
      const signal = options.signal ?? new AbortController().signal;
      const context = makeContext(host, binary, options, signal);
      const root = openRoot(request.rootfs);
      try {
        const name = maker.name(request.image);
        const facts =
          name === null
            ? await fillAtOnce(cache, maker, request, root, context)
            : await fillFromCache(cache, maker, name, request, root, context);
        signal.throwIfAborted();
        options.progress?.("making a container of the image");
        await request.finish(createRootEditor(arch, root, request.idmap), facts);
        return facts;
      } finally {
        closeFd(root);
      }
    },
    list: () =>
      new Promise((resolve) => {
        resolve(cache.list());
      }),
    prune: async (wanted) => await cache.prune(wanted),
    async refresh(name, options) {
      const text = cache.sourceOf(name);
      if (text === null)
        throw new IsletError("ISLET_NOT_FOUND", `there is no image ${name}`, { hint: "islet images shows them" });
      const source = readSource(text);
      const maker = source === null ? null : await makerOf(source);
      if (source === null || maker?.name(source) !== name)
        throw new IsletError("ISLET_UNSUPPORTED", `this release of islet cannot make the image ${name} anew`, {
          hint: `islet images delete ${name}; the next lxc-create makes it`,
        });
      const signal = options.signal ?? new AbortController().signal;
      await makeImage(cache, maker, name, source, true, makeContext(host, binary, options, signal));
    },
  };

  /** Without a place in the cache: into the root itself, or, where others cannot reach that by a path, beside the cache. */
  async function fillAtOnce<S extends ImageSource>(
    images: ImageCache,
    maker: ImageMaker<S>,
    request: ImageFill & { readonly image: S },
    root: number,
    context: Omit<MakeContext, "cache">,
  ): Promise<ImageFacts> {
    const shift = { from: [], to: request.idmap };
    return await images.withScratch(async (scratch) => {
      const { signal } = context;
      if (!request.rootfs.startsWith("/proc/")) {
        const made = await maker.make(request.image, request.rootfs, { ...context, cache: scratch });
        if (request.idmap.length > 0) await shiftTree(tree, { ...shift, tree: root }, { signal });
        return { ...made, name: "" };
      }
      const between = `${scratch}/rootfs`;
      mkdirSync(between, { mode: 0o755 });
      const made = await maker.make(request.image, between, { ...context, cache: scratch });
      await copyTree(tree, { from: between, to: root, shift }, copyWatcher(context));
      return { ...made, name: "" };
    });
  }

  async function fillFromCache<S extends ImageSource>(
    images: ImageCache,
    maker: ImageMaker<S>,
    name: string,
    request: ImageFill & { readonly image: S },
    root: number,
    context: Omit<MakeContext, "cache">,
  ): Promise<ImageFacts> {
    let held = request.refresh ? null : images.hold(name);
    // Somebody may prune it just before it is held.
    for (let tries = 0; held === null && tries < 5; tries += 1) {
      await makeImage(images, maker, name, request.image, request.refresh && tries === 0, context);
      held = images.hold(name);
    }
    if (held === null) throw new IsletError("ISLET_BUSY", `the image ${name} is being removed all the time`);
    return await copyOut(held, request, root, context);
  }

  async function copyOut(
    held: HeldImage,
    request: ImageFill,
    root: number,
    context: Omit<MakeContext, "cache">,
  ): Promise<ImageFacts> {
    try {
      const from = openRoot(held.rootfs);
      try {
        const shift = { from: [], to: request.idmap };
        await copyTree(tree, { from, to: root, shift }, copyWatcher(context));
      } finally {
        closeFd(from);
      }
      held.touch();
      return held.facts;
    } finally {
      held.release();
    }
  }
}

async function makeImage<S extends ImageSource>(
  cache: ImageCache,
  maker: ImageMaker<S>,
  name: string,
  source: S,
  anew: boolean,
  context: Omit<MakeContext, "cache">,
): Promise<void> {
  const { signal, progress } = context;
  await cache.make(name, source, {
    anew,
    signal,
    progress,
    make: async (rootfs, downloads) => await maker.make(source, rootfs, { ...context, cache: downloads }),
  });
}

async function knownMaker<S extends ImageSource>(source: S): Promise<ImageMaker<S>> {
  const maker = await makerOf(source);
  if (maker === null)
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `a root file system cannot be made of an image of the kind ${source.kind}`,
    );
  return maker;
}

const copyWatcher = ({
  progress,
  signal,
}: Pick<MakeContext, "progress" | "signal">): NonNullable<Parameters<typeof copyTree>[2]> => ({
  signal,
  progress: ({ bytes }) => {
    progress(`copying the image, ${Math.floor(bytes / 1048576)} MiB`);
  },
});

/** A directory of ours; it may be reached by a descriptor of this process (/proc/PID/fd/N). */
function openRoot(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw ioError(`open ${path}`, error);
  }
}

function makeContext(
  host: HostFacts,
  binary: string,
  options: FillOptions,
  signal: AbortSignal,
): Omit<MakeContext, "cache"> {
  return {
    arch: host.arch,
    binary,
    environment: options.caller.environment,
    cwd: options.caller.cwd,
    progress: options.progress ?? ((): void => undefined),
    notice: options.notice ?? ((): void => undefined),
    signal,
    run: async (argv, wanted = {}) => await runContained(host, argv, wanted, options),
  };
}
