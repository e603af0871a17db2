import { readFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { IsletError } from "../base/errors.js";
import { bodyOf, fetchBytes, tooLarge } from "./answers.js";
import { download } from "./download.js";
import type { Answer, Http } from "./http.js";
import { type Descriptor, manifestTypes } from "./oci-documents.js";
import { digestPattern, type OciReference } from "./oci-reference.js";

/** Where manifests and blobs come from; what they give has the digest that was asked for. */
export interface OciStore {
  /** In messages. */
  readonly name: string;
  /** By tag or digest; null: what the reference says. */
  manifest(reference: string | null): Promise<{ readonly bytes: Uint8Array; readonly digest: string }>;
  /** A small one. */
  bytes(blob: Descriptor, what: string): Promise<Uint8Array>;
  /** As a file of ours, or of the layout's that nobody must change meanwhile. */
  file(blob: Descriptor, path: string, what: string): Promise<string>;
}

type Registry = Extract<OciReference, { readonly kind: "registry" }>;

export const mostManifest: number = 4 << 20;
export const mostConfig: number = 8 << 20;
export const mostLayer: number = 64 * 2 ** 30;
const mostToken = 1 << 20;
/** Tokens live for five minutes at least, or one, as some say. */
const tokenTime = 50_000;

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** ISLET_UNTRUSTED. */
export function checkDigest(bytes: Uint8Array, digest: string, what: string): void {
  if (digest !== `sha256:${sha256(bytes)}`)
    throw new IsletError("ISLET_UNTRUSTED", `${what} is not what its digest says: wrong checksum (not ${digest})`);
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host);

/** `credentials`: "user:password", "docker-config:/path/of/config.json", or null. */
export async function openRegistry(registry: Registry, credentials: string | null, http: Http): Promise<OciStore> {
  const { host, repository, reference } = registry;
  const base = await baseOf(host, http);
  const basic = await basicOf(host, credentials);
  const at = (kind: "manifests" | "blobs", what: string): URL => new URL(`/v2/${repository}/${kind}/${what}`, base);
  let granted: { readonly header: string; readonly time: number } | null = null;

  /** The header with which the registry lets us in; asked for anew when it may have run out. */
  const authorization = async (answer: Answer | null): Promise<Readonly<Record<string, string>>> => {
    if (answer === null && granted !== null && performance.now() - granted.time < tokenTime)
      return { authorization: granted.header };
    const asked = answer ?? (await http.get(at("manifests", reference), { accept: manifestTypes.join(", ") }));
    if (answer === null) asked.drop();
    if (asked.status !== 401) return granted === null ? {} : { authorization: granted.header };
    const header = await grant(asked.headers["www-authenticate"] ?? "", repository, basic, base, http);
    granted = { header, time: performance.now() };
    return { authorization: header };
  };

  const read = async (
    url: URL,
    what: string,
    limit: number,
    headers: Readonly<Record<string, string>>,
  ): Promise<Uint8Array> => {
    let answer = await http.get(url, { ...headers, ...(granted === null ? {} : { authorization: granted.header }) });
    if (answer.status === 401) {
      answer.drop();
      answer = await http.get(url, { ...headers, ...(await authorization(answer)) });
    }
    if (answer.status === 401 || answer.status === 403) {
      answer.drop();
      throw new IsletError("ISLET_PERMISSION", `${host} does not let us have ${what}`, {
        hint:
          basic === null
            ? "there may be no such image, or it wants --username and --password"
            : "are user name and password right?",
      });
    }
    if (answer.status === 404) {
      answer.drop();
      throw new IsletError("ISLET_NOT_FOUND", `${host} has no ${what}`);
    }
    if (answer.status !== 200) {
      answer.drop();
      throw new IsletError("ISLET_NETWORK", `${host} does not give ${what}: HTTP status ${answer.status}`);
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of bodyOf(answer)) {
      size += chunk.length;
      if (size > limit) throw tooLarge(what, limit);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };

  const name = `${host}/${repository}`;
  return {
    name,
    manifest: async (wanted) => {
      const which = wanted ?? reference;
      const what = `image ${repository}${which.startsWith("sha256:") ? "@" : ":"}${which}`;
      const bytes = await read(at("manifests", which), what, mostManifest, { accept: manifestTypes.join(", ") });
      if (digestPattern.test(which)) checkDigest(bytes, which, `the manifest of ${name}`);
      return { bytes, digest: `sha256:${sha256(bytes)}` };
    },
    bytes: async (blob, what) => {
      const bytes = await read(at("blobs", blob.digest), what, mostConfig, {});
      checkDigest(bytes, blob.digest, `${what} of ${name}`);
      return bytes;
    },
    file: async (blob, path, what) => {
      const headers = await authorization(null);
      const sum = blob.digest.slice("sha256:".length);
      const url = at("blobs", blob.digest);
      await download({ url, file: path, what, sha256: sum, size: blob.size, limit: mostLayer, headers }, http);
      return path;
    },
  };
}

/** Registries on this very host may do without TLS, as every tool has it. */
async function baseOf(host: string, http: Http): Promise<URL> {
  const secure = new URL(`https://${host}/`);
  if (!isLoopback(host)) return secure;
  try {
    (await http.get(new URL("/v2/", secure))).drop();
    return secure;
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_NETWORK") return new URL(`http://${host}/`);
    throw error;
  }
}

async function basicOf(host: string, credentials: string | null): Promise<string | null> {
  const file = credentials?.startsWith("docker-config:/") === true ? credentials.slice("docker-config:".length) : null;
  if (file === null) return credentials === null ? null : Buffer.from(credentials).toString("base64");
  let auths: unknown;
  try {
    ({ auths } = JSON.parse(await readFile(file, "utf8")) as { readonly auths?: unknown });
  } catch (cause) {
    throw new IsletError("ISLET_BAD_REQUEST", `cannot read the credentials in ${file}`, { cause });
  }
  const names =
    host === "registry-1.docker.io" ? ["https://index.docker.io/v1/", "docker.io", host] : [host, `https://${host}`];
  for (const name of names) {
    const entry = (auths as Readonly<Record<string, { readonly auth?: unknown }>> | undefined)?.[name];
    if (typeof entry?.auth === "string") return entry.auth;
  }
  throw new IsletError("ISLET_BAD_REQUEST", `${file} has no credentials for ${host}`, {
    hint: "those of a credential helper cannot be used; give --username and --password",
  });
}

/** Answers a challenge (RFC 9110, 11.6.1; distribution's token authentication); gives back the header's value. */
async function grant(
  challenge: string,
  repository: string,
  basic: string | null,
  base: URL,
  http: Http,
): Promise<string> {
  const [, scheme = "", rest = ""] = /^\s*(\w+)\s*(.*)$/s.exec(challenge) ?? [];
  const denied = (): IsletError =>
    new IsletError("ISLET_PERMISSION", `${base.host} wants to know who asks`, {
      hint: "give --username and --password",
    });
  if (scheme.toLowerCase() === "basic") {
    if (basic === null) throw denied();
    return `Basic ${basic}`;
  }
  const fields = new Map(
    [...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name.toLowerCase(), value]),
  );
  const realm = fields.get("realm");
  if (scheme.toLowerCase() !== "bearer" || realm === undefined)
    throw new IsletError("ISLET_NETWORK", `${base.host} wants a way of logging in that is not known`);
  let url: URL;
  try {
    url = new URL(realm, base);
  } catch {
    throw new IsletError("ISLET_NETWORK", `${base.host} names no server that gives tokens`);
  }
  // Who does not trust the network with images does not trust it with passwords.
  if (url.protocol !== "https:" && !(url.protocol === "http:" && base.protocol === "http:"))
    throw new IsletError("ISLET_NETWORK", `${base.host} sends us to a server for tokens that has no TLS: not followed`);
  const service = fields.get("service");
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", `repository:${repository}:pull`);
  const headers = basic === null ? {} : { authorization: `Basic ${basic}` };
  let bytes: Uint8Array | null;
  try {
    bytes = await fetchBytes(url, "a token", mostToken, http, headers);
  } catch (error) {
    if (error instanceof IsletError && /HTTP status 40[13]/.test(error.message)) throw denied();
    throw error;
  }
  let token: unknown;
  try {
    const answer = JSON.parse(Buffer.from(bytes ?? []).toString("utf8")) as Readonly<Record<string, unknown>>;
    token = answer["token"] ?? answer["access_token"];
  } catch {
    token = null;
  }
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
    throw new IsletError("ISLET_NETWORK", `${url.host} gives no token`);
  return `Bearer ${token}`;
}
