import {
  absolutePath,
  bigInteger,
  type Decoder,
  flag,
  integer,
  list,
  oneOf,
  orNull,
  record,
  text,
} from "../base/decode.js";
import { IsletError } from "../base/errors.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { type StorageKind, type StorageRequest, storageRequest } from "../spec/storage.js";
import { type Compression, compressions } from "./archive-requests.js";

/**
 * What a program asks for through the library, as plain data; part of its list of calls (library.ts). The decoders are used on both sides of the
 * daemon's socket, so that nonsense is one clear error with and without a daemon.
 */

/** A ClientTask (RUN) whose failure may have to be explained elsewhere. */
export interface Task {
  readonly image: Uint8Array;
  readonly fds: readonly number[];
  explain(record: Uint8Array): Promise<Error>;
  /** To be called, once, when it has run or never will: closes the descriptors. */
  release(): void;
}

/** What the program does and hears while something is made. */
export interface Work {
  /** Runs a task in the program's own process tree; resolves with its result. */
  readonly run: (task: Task) => Promise<number>;
  /** What is being done now. */
  readonly progress: (text: string) => void;
  /** What its user should know. */
  readonly notice: (text: string) => void;
  /** Nobody wants it any more: it is undone, and then the call fails with the signal's reason. */
  readonly signal: AbortSignal;
}

/** The reason of such a signal. */
export const nobodyWaits = (): IsletError => new IsletError("ISLET_DISCONNECTED", "nobody waits for it any more");

export interface CreateRequest {
  /** A template of LXC's (busybox is built in), a path of a script, or null: the root file system is there already, or none is wanted. */
  readonly template: string | null;
  readonly templateArguments: readonly string[];
  /** Root file system elsewhere; null: STORE/NAME/rootfs. */
  readonly rootfs: string | null;
  /** How a new root file system is kept, the first of these that can be had; none: as the configuration says, or a directory. */
  readonly storage: readonly StorageRequest[];
  /** Lines `KEY = VALUE` instead of the system's default configuration; null: that. */
  readonly config: string | null;
}

export type RequestedMapEntry = Omit<IdMapEntry, "at">;

export interface CopyRequest {
  /** quickest: a snapshot if the original has such. tmpfs: changes are kept in memory, `size` bytes at most. */
  readonly how: "copy" | "snapshot" | "quickest" | "tmpfs";
  /** null: as the original. */
  readonly storage: Exclude<StorageKind, "block"> | null;
  readonly size: bigint | null;
  readonly fstype: string | null;
  readonly volumeGroup: string | null;
  readonly allowRunning: boolean;
  /** It is destroyed when it stops. */
  readonly ephemeral: boolean;
  /** Of the host, as the original calls itself. */
  readonly keepName: boolean;
  readonly keepMac: boolean;
  /** null: as the original's. */
  readonly idmap: readonly RequestedMapEntry[] | null;
  readonly hookArguments: readonly string[];
}

export interface SnapshotRequest {
  /** null: the next snapN. */
  readonly name: string | null;
  readonly comment: string | null;
}

export interface KeptSnapshot extends Omit<SnapshotRequest, "name"> {
  readonly name: string;
  /** Milliseconds since 1970; null: nobody knows. */
  readonly made: number | null;
}

export interface ExportRequest {
  /** Absolute. */
  readonly path: string;
  /** null: the best that this host has. */
  readonly compress: Compression | null;
  readonly allowRunning: boolean;
}

export interface ImportRequest {
  /** Absolute. */
  readonly path: string;
  /** null: as it was called. */
  readonly name: string | null;
  /** The same container to its guest and its network. */
  readonly keep: boolean;
  /** Also what unpacks to more than 200 times its size. */
  readonly large: boolean;
  /** The first of these that can be had. */
  readonly storage: readonly [StorageRequest, ...(readonly StorageRequest[])];
}

const number = integer(0, 0xffff_ffff);
const bytes = bigInteger(1n, (1n << 63n) - 1n);

/** No argument of a program and no line of a file has one in it. */
const plainText: Decoder<string> = (value, place) => {
  const given = text(value, place);
  if (given.includes("\0")) throw new IsletError("ISLET_BAD_REQUEST", `${place} has a NUL in it`);
  return given;
};

export const createRequest: Decoder<CreateRequest> = record<CreateRequest>({
  template: orNull(plainText),
  templateArguments: list(plainText),
  rootfs: orNull(absolutePath),
  storage: list(storageRequest),
  config: orNull(text),
});

const mapEntry = record<RequestedMapEntry>({
  type: oneOf("uid", "gid"),
  inside: number,
  outside: number,
  count: integer(1, 0xffff_ffff),
});

export const copyRequest: Decoder<CopyRequest> = record<CopyRequest>({
  how: oneOf("copy", "snapshot", "quickest", "tmpfs"),
  storage: orNull(oneOf("dir", "btrfs", "overlay", "loop", "lvm", "zfs")),
  size: orNull(bytes),
  fstype: orNull(text),
  volumeGroup: orNull(text),
  allowRunning: flag,
  ephemeral: flag,
  keepName: flag,
  keepMac: flag,
  idmap: orNull(list(mapEntry)),
  hookArguments: list(plainText),
});

/** Bytes; more is not read again. */
const mostComment = 1024 * 1024;

const comment: Decoder<string> = (value, place) => {
  const given = text(value, place);
  if (Buffer.byteLength(given) > mostComment)
    throw new IsletError("ISLET_BAD_REQUEST", `${place} is longer than 1 MiB`);
  return given;
};

export const snapshotRequest: Decoder<SnapshotRequest> = record<SnapshotRequest>({
  name: orNull(text),
  comment: orNull(comment),
});

export const exportRequest: Decoder<ExportRequest> = record<ExportRequest>({
  path: absolutePath,
  compress: orNull(oneOf(...compressions)),
  allowRunning: flag,
});

const someStorage: Decoder<ImportRequest["storage"]> = (value, place) => {
  const [first, ...more] = list(storageRequest)(value, place);
  if (first === undefined) throw new IsletError("ISLET_BAD_REQUEST", `${place} is empty`);
  return [first, ...more];
};

export const importRequest: Decoder<ImportRequest> = record<ImportRequest>({
  path: absolutePath,
  name: orNull(text),
  keep: flag,
  large: flag,
  storage: someStorage,
});
