import { type Decoder, dictionary, integer, list, oneOf, orNull, record, text } from "../base/decode.js";
import type { ImageFacts, ImageRun, ImageSource } from "../spec/image.js";

/** image.json: what the cache knows of an image. Written and read by root alone. */
export interface ImageRecord {
  /** Of this format. */
  readonly version: typeof recordVersion;
  readonly facts: ImageFacts;
  /** On the disk. */
  readonly bytes: number;
  /** How it was made, without secrets: for making it anew. JSON. */
  readonly source: string;
}

export const recordVersion = 1;
export const mostRecordBytes: number = 16 << 20;

const run: Decoder<ImageRun> = record<ImageRun>({
  command: list(text),
  environment: list(text),
  directory: orNull(text),
  user: orNull(text),
});

const facts: Decoder<ImageFacts> = record<ImageFacts>({
  name: text,
  distribution: orNull(text),
  release: orNull(text),
  architecture: orNull(text),
  variant: orNull(text),
  made: integer(0, Number.MAX_SAFE_INTEGER),
  fingerprint: orNull(text),
  files: dictionary(text),
  run: orNull(run),
});

const whole: Decoder<ImageRecord> = record<ImageRecord>({
  version: (value, place) => {
    integer(recordVersion, recordVersion)(value, place);
    return recordVersion;
  },
  facts,
  bytes: integer(0, Number.MAX_SAFE_INTEGER),
  source: text,
});

/** null: of another release, or broken; then the image is made anew. */
export function readRecord(bytes: string): ImageRecord | null {
  try {
    return whole(JSON.parse(bytes), "image.json");
  } catch {
    return null;
  }
}

/** JSON of an image's source. */
export function sourceText(source: ImageSource): string {
  return JSON.stringify(source.kind === "oci" ? { ...source, credentials: null } : source);
}

const kind = oneOf("debootstrap", "dnf", "simplestreams", "oci", "local");

/**
 * What `sourceText` made; null: something else. That its fields are those of this release is for the maker to find out: they give the same name in the
 * cache again, or not.
 */
export function readSource(source: string): ImageSource | null {
  try {
    const value = JSON.parse(source) as { readonly kind?: unknown };
    kind(value.kind, "kind");
    return value as ImageSource;
  } catch {
    return null;
  }
}
