import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile, rm, writeFile } from "node:fs/promises";
import { IsletError } from "../base/errors.js";
import type { Answer } from "./http.js";

/** A download that is not whole: FILE.part, and FILE.part.from that says of where it is. */

export interface Downloaded {
  readonly bytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

interface Wanted {
  readonly url: URL;
  readonly file: string;
  readonly sha256: string | null;
  readonly size: number | null;
  readonly limit: number;
}

/** How much of FILE.part may be gone on with: with a checksum all of it, otherwise only what the server can still tell apart. */
export async function resumable(wanted: Wanted, handle: FileHandle): Promise<number> {
  const { size } = await handle.stat();
  const from = size > 0 ? await validatorOf(wanted.file) : null;
  const isOurs = from !== null && from.url === wanted.url.href && (wanted.sha256 !== null || from.etag !== undefined);
  if (size > 0 && isOurs && size <= wanted.limit && (wanted.size === null || size <= wanted.size)) return size;
  if (size > 0) await handle.truncate(0);
  return 0;
}

export interface Validator {
  readonly url: string;
  readonly etag?: string;
}

/** Weak ones do not promise the same bytes (RFC 9110, 13.1.5). */
export async function remember(file: string, url: URL, answer: Answer): Promise<void> {
  const etag = answer.headers["etag"];
  const strong = etag === undefined || etag.startsWith("W/") || etag.includes("\n") ? "" : etag;
  await writeFile(`${file}.part.from`, `${url.href}\n${strong}\n`, { mode: 0o600 });
}

export async function validatorOf(file: string): Promise<Validator | null> {
  const text = await readFile(`${file}.part.from`, "utf8").catch(() => null);
  if (text === null) return null;
  const [url = "", etag = ""] = text.split("\n");
  return { url, ...(etag === "" ? {} : { etag }) };
}

export async function dropPart(file: string): Promise<void> {
  await rm(`${file}.part`, { force: true });
  await rm(`${file}.part.from`, { force: true });
}

export async function hashPart(handle: FileHandle, bytes: number, hash: Hash): Promise<number> {
  const buffer = new Uint8Array(1 << 18);
  let at = 0;
  while (at < bytes) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, bytes - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return at;
}

/** null: there is no such file. */
export async function digestOf(file: string): Promise<Downloaded | null> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => null);
  if (handle === null) return null;
  try {
    const hash = createHash("sha256");
    const bytes = await hashPart(handle, (await handle.stat()).size, hash);
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    await handle.close();
  }
}

export async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    try {
      done += (await handle.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
    } catch (error) {
      throw new IsletError(
        "ISLET_IO",
        `cannot keep a download: ${error instanceof Error ? error.message : String(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}
