import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { IsletError } from "../base/errors.js";
import { again, bodyOf, checkStatus, lengthOf, mib, passing, tooLarge, truncated } from "./answers.js";
import type { Http } from "./http.js";
import {
  digestOf,
  type Downloaded,
  dropPart,
  hashPart,
  remember,
  resumable,
  validatorOf,
  writeAll,
} from "./partial.js";

export interface Download {
  /** http:, https: or file:. */
  readonly url: URL;
  /** Where it goes; the directory is made. Until it is whole it is FILE.part, with FILE.part.from beside it. */
  readonly file: string;
  /** In words, for errors and progress: "the root file system of debian bookworm". */
  readonly what: string;
  /** In hexadecimal; null: whatever comes. */
  readonly sha256: string | null;
  readonly size: number | null;
  /** No more bytes than these, whatever the server says. */
  readonly limit: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const progressEvery = 200;
/** So much received makes up for a broken connection. */
const goodPiece = 1 << 20;

/**
 * Fetches a file, going on where an earlier try broke off, and puts it in its place when it is whole and what it should be. A file that
 * is there already and has the checksum is taken as it is. ISLET_NETWORK; ISLET_NOT_FOUND: the server has no such file;
 * ISLET_UNTRUSTED: wrong checksum or size; ISLET_IO.
 */
export async function download(wanted: Download, http: Http): Promise<Downloaded> {
  await mkdir(dirname(wanted.file), { recursive: true, mode: 0o700 });
  const present = wanted.sha256 === null ? null : await digestOf(wanted.file);
  if (present !== null && present.sha256 === wanted.sha256) return present;
  for (let isSecond = false; ; isSecond = true) {
    const { result, resumed } = await fetchPart(wanted, http);
    const fault = faultOf(wanted, result);
    if (fault === null) {
      await rename(`${wanted.file}.part`, wanted.file);
      await rm(`${wanted.file}.part.from`, { force: true });
      return result;
    }
    await dropPart(wanted.file);
    // Its first part was of another time: the whole once more.
    if (resumed && !isSecond) continue;
    throw fault;
  }
}

interface Fetched {
  readonly result: Downloaded;
  /** The first bytes come from an earlier try. */
  readonly resumed: boolean;
}

async function fetchPart(wanted: Download, http: Http): Promise<Fetched> {
  const { file, url } = wanted;
  const handle = await open(`${file}.part`, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    if (url.protocol === "file:") return { result: await copyLocal(wanted, handle, http), resumed: false };
    let resumed = false;
    let least = 0;
    const result = await again(
      http,
      async () => {
        const outcome = await fetchOnce(wanted, handle, http);
        resumed ||= outcome.resumed;
        return outcome.result;
      },
      async () => {
        const { size } = await handle.stat();
        const isGood = size >= least + goodPiece;
        least = Math.max(least, size);
        return isGood;
      },
    );
    await handle.sync();
    return { result, resumed };
  } finally {
    await handle.close();
  }
}

async function fetchOnce(wanted: Download, handle: FileHandle, http: Http): Promise<Fetched> {
  const { url, what, limit, file } = wanted;
  const hash = createHash("sha256");
  let have = await resumable(wanted, handle);
  const from = have > 0 ? await validatorOf(file) : null;
  const answer = await http.get(url, {
    ...wanted.headers,
    ...(have > 0 ? { range: `bytes=${have}-`, ...(from?.etag === undefined ? {} : { "if-range": from.etag }) } : {}),
  });
  if (answer.status === 416 && have > 0) {
    // It is whole already, or of another time; the checksum tells.
    answer.drop();
    if (wanted.sha256 !== null && (wanted.size === null || wanted.size === have))
      return { result: { bytes: await hashPart(handle, have, hash), sha256: hash.digest("hex") }, resumed: true };
    await handle.truncate(0);
    throw new IsletError("ISLET_NETWORK", `${url.host} gives no part of ${what}`, passing);
  }
  if (answer.status === 404 || answer.status === 410) {
    answer.drop();
    throw new IsletError("ISLET_NOT_FOUND", `${url.host} does not have ${what}: ${url.pathname}`);
  }
  checkStatus(answer, what);
  const isPart =
    answer.status === 206 && have > 0 && answer.headers["content-range"]?.startsWith(`bytes ${have}-`) === true;
  if (answer.status === 206 && !isPart) {
    answer.drop();
    await handle.truncate(0);
    throw new IsletError("ISLET_NETWORK", `${url.host} gives another part of ${what} than was asked for`, passing);
  }
  if (!isPart) {
    have = 0;
    await handle.truncate(0);
    await remember(file, url, answer);
  }
  const length = lengthOf(answer);
  const whole = length === null ? wanted.size : have + length;
  if (whole !== null && whole > limit) {
    answer.drop();
    throw tooLarge(what, limit);
  }
  let bytes = await hashPart(handle, have, hash);
  let shown = 0;
  for await (const chunk of bodyOf(answer)) {
    if (bytes + chunk.length > limit) throw tooLarge(what, limit);
    hash.update(chunk);
    await writeAll(handle, chunk, bytes);
    bytes += chunk.length;
    const now = performance.now();
    if (now - shown >= progressEvery) {
      shown = now;
      http.context.progress(`downloading ${mib(bytes)}${whole === null ? "" : ` of ${mib(whole)}`} MiB`);
    }
  }
  if (whole !== null && length !== null && bytes < whole) throw truncated(answer.url, what, bytes, whole);
  return { result: { bytes, sha256: hash.digest("hex") }, resumed: isPart };
}

async function copyLocal(wanted: Download, handle: FileHandle, http: Http): Promise<Downloaded> {
  const path = fileURLToPath(wanted.url);
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile()) throw new IsletError("ISLET_NOT_FOUND", `there is no ${wanted.what}: ${path}`);
  if (found.size > wanted.limit) throw tooLarge(wanted.what, wanted.limit);
  await handle.truncate(0);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path, {
    signal: http.context.signal,
    highWaterMark: 1 << 18,
  }) as AsyncIterable<Uint8Array>) {
    if (bytes + chunk.length > wanted.limit) throw tooLarge(wanted.what, wanted.limit);
    hash.update(chunk);
    await writeAll(handle, chunk, bytes);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

function faultOf({ what, url, size, sha256 }: Download, result: Downloaded): IsletError | null {
  const place = url.protocol === "file:" ? fileURLToPath(url) : url.host;
  if (size !== null && result.bytes !== size)
    return new IsletError(
      "ISLET_UNTRUSTED",
      `${what} of ${place} has ${result.bytes} bytes, not the ${size} of its index`,
    );
  if (sha256 === null || result.sha256 === sha256) return null;
  return new IsletError(
    "ISLET_UNTRUSTED",
    `${what} of ${place} is not what its index says: wrong checksum (SHA-256 ${result.sha256}, not ${sha256})`,
    { hint: "a mirror that is being updated or a proxy that changes things does that; nothing of it was kept" },
  );
}
