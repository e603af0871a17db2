import type { Arch } from "../sys/arch.js";

/** What a root file system can be made of, besides the busybox that is built in. */
export type ImageSource =
  /** Packages of Debian or a derivative, put together by mmdebstrap (else debootstrap). */
  | {
      readonly kind: "debootstrap";
      readonly distribution: string;
      readonly suite: string;
      /** As dpkg names it: amd64, i386, arm64. */
      readonly architecture: string;
      /** Lines of sources.list, or URLs of mirrors; the first is the main one. */
      readonly mirrors: readonly string[];
      readonly components: readonly string[];
      readonly packages: readonly string[];
      readonly variant: string;
      /** Made and set as the default, "de_DE.UTF-8"; null: none is made. */
      readonly locale: string | null;
      /** Absolute paths of files with OpenPGP keys; none: those that the host's apt trusts. */
      readonly keyrings: readonly string[];
    }
  /** Packages of Fedora or a relative, put together by dnf. */
  | {
      readonly kind: "dnf";
      readonly distribution: string;
      readonly release: string;
      /** As rpm names it: x86_64, aarch64. */
      readonly architecture: string;
      /** URLs of repositories, or of metalinks. */
      readonly repositories: readonly string[];
      readonly packages: readonly string[];
      readonly keyrings: readonly string[];
    }
  /** Of a simplestreams server: images.linuxcontainers.org, cloud-images.ubuntu.com. */
  | {
      readonly kind: "simplestreams";
      readonly server: string;
      /**
       * Below the server: "streams/v1", "releases/streams/v1". "meta/1.0": LXC's own index, with images that bring a configuration; "streams/v1"
       * where the server has none.
       */
      readonly streams: string;
      readonly distribution: string;
      readonly release: string;
      /** As dpkg names it. */
      readonly architecture: string;
      readonly variant: string;
      /** Absolute paths of files with OpenPGP keys, one of which must have signed the index; none: the shipped one of that server. */
      readonly keyrings: readonly string[];
      /** Whole fingerprint of the key that must have signed the index, wherever on this host it is, in place of the one that is known of the server. */
      readonly keyId?: string;
      /** Refuse what is not signed. */
      readonly validate: boolean;
    }
  /** Of an OCI registry (docker://HOST/NAME:TAG) or an OCI image layout (oci:/PATH:TAG). */
  | { readonly kind: "oci"; readonly url: string; readonly architecture: string; readonly credentials: string | null }
  /** Files of the host's: an archive or squashfs of the root, with or without one of the metadata, or both in one. */
  | { readonly kind: "local"; readonly metadata: string | null; readonly rootfs: string | null };

/** A simplestreams server; see ImageSource. */
export type ImageServer = Pick<
  Extract<ImageSource, { readonly kind: "simplestreams" }>,
  "server" | "streams" | "keyrings" | "keyId" | "validate"
>;

/** An image that a server has, by the names that the server has for it. */
export interface RemoteImage {
  readonly distribution: string;
  readonly release: string;
  readonly architecture: string;
  readonly variant: string;
  /** "20231020_05:24". */
  readonly build: string;
}

/** What is known of an image once it is there. Everything in it comes from whoever made the image. */
export interface ImageFacts {
  /** What it is called in lists, and the directory it is cached in: debian-bookworm-amd64-minbase. */
  readonly name: string;
  readonly distribution: string | null;
  readonly release: string | null;
  readonly architecture: string | null;
  readonly variant: string | null;
  /** Milliseconds since 1970. */
  readonly made: number;
  /** SHA-256 of what was fetched, in hexadecimal; null: it was put together here. */
  readonly fingerprint: string | null;
  /** Files that came with the image beside its root, by name, as text: LXC's `config`, `config-user`, `create-message`, `templates`, LXD's `metadata.yaml`. */
  readonly files: Readonly<Record<string, string>>;
  /** What an OCI image is to run. */
  readonly run: ImageRun | null;
}

export interface ImageRun {
  readonly command: readonly string[];
  readonly environment: readonly string[];
  readonly directory: string | null;
  readonly user: string | null;
}

/** An image of the cache. */
export interface ImageStatus extends ImageFacts {
  readonly bytes: number;
  /** When a container was last made of it, milliseconds since 1970. */
  readonly used: number;
  /** Somebody makes it, or copies it, right now. */
  readonly isBusy: boolean;
}

/**
 * Changes within a root file system that is not trusted. Paths are as the container will see them; links are followed as within its root, never
 * out of it. Everything made belongs to the container's root (as its id map has it) unless said otherwise. ISLET_IO.
 */
export interface RootEditor {
  readonly arch: Arch;
  /** Text of a regular file of at most 16 MiB; null: there is none. */
  read(path: string): string | null;
  exists(path: string): boolean;
  /** Names in a directory, sorted; [] where there is none. */
  list(path: string): readonly string[];
  /** Directories on the way are made. Default mode 0644; a file that is there keeps its own. Whole or not at all. A link that leads to nothing is replaced. */
  write(path: string, text: string | Uint8Array, options?: EditOptions): void;
  append(path: string, text: string, options?: EditOptions): void;
  /** Changes a text file that is there; false: it is not. */
  change(path: string, edit: (text: string) => string): boolean;
  directory(path: string, options?: EditOptions): void;
  /** In place of whatever is there, unless that is a directory. */
  link(path: string, target: string): void;
  /** A file, link, or tree; what is not there is fine. */
  remove(path: string): void;
  chmod(path: string, mode: number): void;
  /** A device node. */
  node(path: string, type: "char" | "block", major: number, minor: number, mode: number): void;
  /** Copies a file or tree of the host's. */
  copyIn(hostPath: string, path: string, options?: EditOptions): Promise<void>;
}

export interface EditOptions {
  readonly mode?: number;
  /** Ids as the container sees them. */
  readonly uid?: number;
  readonly gid?: number;
}
