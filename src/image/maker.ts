import { createHash } from "node:crypto";
import type { ImageFacts, ImageSource } from "../spec/image.js";
import type { Arch } from "../sys/arch.js";

/** What else matters, at the end of an image's name. */
export const shortHash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 8);

/** How one kind of image is made. */
export interface ImageMaker<S extends ImageSource> {
  /**
   * What it is called in the cache, and in lists: debian-bookworm-amd64-minbase-1a2b3c4d, of letters, digits, ".", "_", "+" and "-", at most 128
   * of them; the end are 8 hexadecimal digits of whatever else matters. null: it is made anew every time.
   */
  name(source: S): string | null;
  /** Fills `rootfs` (a directory that is there, empty, of root's), with ids as the container sees them; gives the facts but for the name. */
  make(source: S, rootfs: string, context: MakeContext): Promise<MadeImage>;
}

export type MadeImage = Omit<ImageFacts, "name">;

/** What a maker works with. */
export interface MakeContext {
  readonly arch: Arch;
  /** islet's static binary. */
  readonly binary: string;
  /** The caller's: proxies, mirrors. */
  readonly environment: Readonly<Record<string, string>>;
  /** Of the caller. */
  readonly cwd: string;
  /** A directory for downloads: after a failure the next try finds there what this one left; after a success it is removed. */
  readonly cache: string;
  /** What is being done now: "downloading 34 of 120 MiB". */
  readonly progress: (text: string) => void;
  /** What the user should know. */
  readonly notice: (text: string) => void;
  /** Nobody waits any more. */
  readonly signal: AbortSignal;
  /**
   * Runs a program of the host's in the caller's process tree, in a pid and a mount namespace of its own: it ends, with all that it started, as
   * soon as the client or the daemon does. One at a time. `argv[0]`: a path, or searched in the environment's PATH.
   * ISLET_UNSUPPORTED: there is no such program.
   */
  readonly run: (argv: readonly string[], options?: RunOptions) => Promise<RunEnd>;
}

export interface RunOptions {
  /** Beside the caller's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Gets each line that it prints, on stdout or stderr, without control characters. */
  readonly line?: (line: string) => void;
  /** A descriptor that becomes its standard input; it stays the caller's, but must not be closed before `started`. Otherwise /dev/null. */
  readonly input?: number;
  /** The program has its descriptors. */
  readonly started?: () => void;
  /** The one directory to which it can write: every other mount is read-only to it. */
  readonly writable?: string;
}

export interface RunEnd {
  /** Of its end; 128 + signal. */
  readonly status: number;
  /** At most 20. */
  readonly lastLines: readonly string[];
}
