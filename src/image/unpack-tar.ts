import { closeFd } from "../host/addon.js";
import type { MakeContext } from "./maker.js";
import { runNeeded, saysFull, unpackingFailed } from "./programs.js";
import { makeLargePipe, writeAll } from "./pipes.js";

/**
 * GNU tar, fed with an archive that has been looked at. It is in a mount namespace where it can write to that directory alone: should an entry
 * lead outside all the same, the kernel says EROFS.
 */
export async function extractTar(
  archive: string,
  tar: AsyncIterable<Uint8Array>,
  into: string,
  context: MakeContext,
): Promise<void> {
  const pipe = makeLargePipe(context.arch);
  let isFull = false;
  const until = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of tar) {
      // tar would go on with the next file.
      if (isFull) return;
      yield chunk;
    }
  };
  let readerIsOpen = true;
  const closeReader = (): void => {
    if (readerIsOpen) closeFd(pipe.read);
    readerIsOpen = false;
  };
  const extracting = runNeeded(
    context,
    "tar",
    [
      "tar",
      "--extract",
      "--file=-",
      `--directory=${into}`,
      "--blocking-factor=512",
      "--numeric-owner",
      "--same-owner",
      "--preserve-permissions",
      "--xattrs",
      "--xattrs-include=*",
      "--acls",
      "--no-selinux",
      "--warning=no-timestamp",
      "--warning=no-unknown-keyword",
    ],
    {
      // TAR_OPTIONS of the caller would be obeyed.
      environment: { LC_ALL: "C", TAR_OPTIONS: "", TAPE: "" },
      input: pipe.read,
      started: closeReader,
      writable: into,
      line: (text) => {
        isFull ||= saysFull(text);
      },
    },
  ).finally(closeReader);
  extracting.catch(() => undefined);
  // The reason why an archive is refused comes before what tar says of one that ends early.
  try {
    await writeAll(pipe.write, until());
  } catch (error) {
    await extracting.catch(() => undefined);
    throw error;
  }
  const end = await extracting;
  if (end.status !== 0 || isFull) throw unpackingFailed(archive, end);
}
