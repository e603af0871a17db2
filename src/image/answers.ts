import { readFile, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { IsletError } from "../base/errors.js";
import type { Answer, Http } from "./http.js";

/** Errors after which the next try may fare better. A refused connection or a bad certificate is the same a second later. */
const passes = [
  "EAGAIN",
  "ECONNRESET",
  "EPIPE",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
];
/** Details of an error of ours that is one of them. */
export const passing = { errno: "EAGAIN" };

export const mib = (bytes: number): string => (bytes / (1 << 20)).toFixed(bytes < 10 << 20 ? 1 : 0);

/** A text or a small document, in memory; null: the server has none there (404). */
export async function fetchBytes(
  url: URL,
  what: string,
  limit: number,
  http: Http,
  headers: Readonly<Record<string, string>> = {},
): Promise<Uint8Array | null> {
  if (url.protocol === "file:") return await readLocal(url, what, limit);
  return await again(http, async () => {
    const answer = await http.get(url, headers);
    if (answer.status === 404 || answer.status === 410) {
      answer.drop();
      return null;
    }
    checkStatus(answer, what);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const length = lengthOf(answer);
    if (length !== null && length > limit) {
      answer.drop();
      throw tooLarge(what, limit);
    }
    for await (const chunk of bodyOf(answer)) {
      bytes += chunk.length;
      if (bytes > limit) throw tooLarge(what, limit);
      chunks.push(chunk);
    }
    if (length !== null && bytes < length) throw truncated(answer.url, what, bytes, length);
    return Buffer.concat(chunks);
  });
}

async function readLocal(url: URL, what: string, limit: number): Promise<Uint8Array | null> {
  const path = fileURLToPath(url);
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile()) return null;
  if (found.size > limit) throw tooLarge(what, limit);
  return await readFile(path);
}

/** Tries it a few times more where the reason may pass; `gained`: so much has come meanwhile that the count begins anew. */
export async function again<T>(
  http: Http,
  once: () => Promise<T>,
  gained: () => Promise<boolean> = () => Promise.resolve(false),
): Promise<T> {
  for (let left = http.retries; ; left -= 1) {
    try {
      return await once();
    } catch (error) {
      if (http.context.signal.aborted) throw http.context.signal.reason;
      if (!(error instanceof IsletError && error.code === "ISLET_NETWORK" && passes.includes(error.errno ?? "")))
        throw error;
      if (await gained()) left = http.retries;
      if (left <= 0) throw error;
      await sleep(http.pause * 2 ** (http.retries - left), undefined, { signal: http.context.signal }).catch(
        () => undefined,
      );
    }
  }
}

export async function* bodyOf(answer: Answer): AsyncGenerator<Uint8Array, void> {
  try {
    yield* answer.body;
  } finally {
    // Left in the middle, it would keep its connection.
    answer.drop();
  }
}

export function lengthOf({ headers }: Answer): number | null {
  const text = headers["content-length"];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

export function checkStatus(answer: Answer, what: string): void {
  const { status, url } = answer;
  if (status === 200 || status === 206) return;
  answer.drop();
  throw new IsletError("ISLET_NETWORK", `${url.host} does not give ${what}: HTTP status ${status}`, {
    ...(status === 401 || status === 403 ? { hint: "it lets only some have it" } : {}),
    ...(status >= 500 || status === 429 ? passing : {}),
  });
}

export const truncated = (url: URL, what: string, bytes: number, whole: number): IsletError =>
  new IsletError(
    "ISLET_NETWORK",
    `${url.host} gave only ${bytes} of ${whole} bytes of ${what}: the connection ended too early`,
    { hint: "the next try goes on from there", ...passing },
  );

export const tooLarge = (what: string, limit: number): IsletError =>
  new IsletError("ISLET_UNTRUSTED", `${what} is larger than the ${mib(limit)} MiB that it may have`);
