import type { IdMapEntry } from "../spec/idmap.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { CreateOptions, ContainerId, FillOptions } from "./engine.js";

/** Containers as one file: what a front end says about them; part of the engine's list of requests (engine.ts). */

export const compressions = ["zstd", "gzip", "none"] as const;
export type Compression = (typeof compressions)[number];

/** A container's own text for an archive, and what goes with it. */
export interface PortableConfig {
  readonly text: string;
  /** Paths below the container's directory. */
  readonly files: readonly string[];
}

export interface ExportOptions extends FillOptions {
  /** An open descriptor, which stays the caller's; or a new file, which replaces one of that name when it is whole: its absolute path, by the extension that fits. */
  readonly to: { readonly descriptor: number } | { readonly path: (extension: string) => string };
  /** null: zstd, if this host has the program; else gzip. */
  readonly compress: Compression | null;
  /** A running container is frozen for the time. Otherwise: ISLET_RUNNING. */
  readonly allowRunning: boolean;
  readonly config: PortableConfig;
}

export interface Exported {
  /** null: it went to a descriptor. */
  readonly path: string | null;
}

/** An archive that has been opened: what its first entries say has been checked, the rest not yet. */
export interface ContainerArchive {
  /** What the container was called. */
  readonly name: string;
  /** Its machine, as uname(2) has it: x86_64. */
  readonly architecture: string;
  /** When it was made, milliseconds since 1970. */
  readonly made: number;
  /** As the front end gave it when it was exported. */
  readonly config: string;
  /**
   * Makes a container of it, once. ISLET_EXISTS; ISLET_UNTRUSTED: an entry that leads outside, a bomb, a wrong checksum; ISLET_IO: it is cut off;
   * ISLET_BAD_REQUEST: an owner that is in no id map.
   */
  create(id: ContainerId, options: ImportOptions): Promise<void>;
  /** Of who does not make a container of it; otherwise without effect. */
  close(): Promise<void>;
}

export interface ImportOptions extends Pick<CreateOptions, "storage" | "alternatives" | "storageDefaults"> {
  readonly config: (root: RootfsSource | null) => string;
  /** Looks at the new configuration, which is there by then with all its files, and throws if it cannot be used. Gives the id map of the files on the disk; [] none. */
  readonly check: () => readonly IdMapEntry[];
  /** What it calls itself, in etc/hostname and etc/hosts; null: as it did. */
  readonly hostname: string | null;
  /** The same instance to its guest: settings with their instance id. */
  readonly keepInstance: boolean;
}

export interface ArchiveOptions extends FillOptions {
  /** A file's absolute path; a descriptor stays the caller's, but must stay open until the container is made. */
  readonly from: { readonly descriptor: number } | { readonly path: string };
  /** Also what unpacks to more than 200 times its size. */
  readonly large: boolean;
}
