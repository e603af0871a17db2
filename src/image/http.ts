import { existsSync, readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import type { Agent, Dispatcher, ProxyAgent } from "undici";
import { IsletError } from "../base/errors.js";
import { proxyFor } from "./proxy.js";

/** What a download works with; a MakeContext has it all. */
export interface FetchContext {
  /** The caller's: proxies, certificates. */
  readonly environment: Readonly<Record<string, string>>;
  readonly progress: (text: string) => void;
  readonly signal: AbortSignal;
}

/** An answer whose body has to be read or dropped. Names of headers are in small letters. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** Where it came from in the end. */
  readonly url: URL;
  readonly drop: () => void;
}

export interface Http {
  /** GET, following redirects. Statuses are the caller's to judge. ISLET_NETWORK. */
  get(url: URL, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Milliseconds without a byte after which a server is given up. */
  readonly stall: number;
  /** How often a request that failed for a passing reason is made again, and how long the first pause is, milliseconds. */
  readonly retries: number;
  readonly pause: number;
  readonly context: FetchContext;
}

const mostRedirects = 5;
const userAgent = "islet/0.1.0 (lxc compat:7)";
const systemCertificates = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"] as const;

/** Test aid, of the daemon's environment: milliseconds. */
const stallTime = (): number => Number(process.env["ISLET_DOWNLOAD_STALL"] ?? 30_000);

/** What this host trusts, beside what Node does: an administrator's own authority is in the host's file. */
function certificates(environment: Readonly<Record<string, string>>): readonly string[] {
  const own = environment["SSL_CERT_FILE"];
  const files = own === undefined ? systemCertificates : [own];
  const file = files.find((each) => existsSync(each));
  return file === undefined ? rootCertificates : [...rootCertificates, readFileSync(file, "utf8")];
}

/** Runs `work` with connections that end with it. */
export async function withHttp<T>(context: FetchContext, work: (http: Http) => Promise<T>): Promise<T> {
  const undici = await import("undici");
  const stall = stallTime();
  const made = new Map<string, Agent | ProxyAgent>();
  let trusted: string[] | null = null;
  const agentFor = (url: URL): Dispatcher => {
    const proxy = proxyFor(url, context.environment);
    const key = proxy === null ? "" : `${url.protocol}${proxy.href}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    trusted ??= [...certificates(context.environment)];
    const tls = { ca: trusted, timeout: stall };
    // Many proxies let nobody through to port 80 by CONNECT: what is not secret is asked of the proxy itself.
    const agent =
      proxy === null
        ? new undici.Agent({ connect: tls })
        : new undici.ProxyAgent({
            uri: proxy.origin,
            ...(proxy.username === "" ? {} : { token: basicToken(proxy) }),
            proxyTunnel: url.protocol === "https:",
            connect: tls,
            requestTls: tls,
            proxyTls: tls,
          });
    made.set(key, agent);
    return agent;
  };

  const once = async (url: URL, headers: Readonly<Record<string, string>>): Promise<Dispatcher.ResponseData> => {
    try {
      return await agentFor(url).request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: "GET",
        headers: { ...headers, "user-agent": userAgent },
        signal: context.signal,
        headersTimeout: stall,
        bodyTimeout: stall,
      });
    } catch (error) {
      throw networkError(url, error, context);
    }
  };

  const get = async (first: URL, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => {
    let url = first;
    let sent = headers;
    for (let hops = 0; ; hops += 1) {
      const { statusCode, headers: raw, body } = await once(url, sent);
      const drop = (): void => {
        // An error that nobody waits for any more.
        body.on("error", () => undefined).destroy();
      };
      const received = Object.fromEntries(
        Object.entries(raw).flatMap(([name, value]) =>
          value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(", ") : value]],
        ),
      );
      const location = received["location"];
      if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined)
        return { status: statusCode, headers: received, body: readable(url, body, context), url, drop };
      drop();
      if (hops === mostRedirects)
        throw new IsletError("ISLET_NETWORK", `${first.host} redirects more than ${mostRedirects} times`);
      const next = redirected(url, location);
      // Secrets are for whom they were given to: registries redirect to the stores of others.
      if (next.origin !== url.origin)
        sent = Object.fromEntries(Object.entries(sent).filter(([name]) => name.toLowerCase() !== "authorization"));
      url = next;
    }
  };

  try {
    return await work({ get, stall, retries: 3, pause: Math.min(1000, stall / 10), context });
  } finally {
    await Promise.all([...made.values()].map((agent) => agent.destroy()));
  }
}

function basicToken(proxy: URL): string {
  const words = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return `Basic ${Buffer.from(words).toString("base64")}`;
}

function redirected(from: URL, location: string): URL {
  let to: URL;
  try {
    to = new URL(location, from);
  } catch {
    throw new IsletError("ISLET_NETWORK", `${from.host} redirects to nowhere`);
  }
  if (to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:")) return to;
  throw new IsletError(
    "ISLET_NETWORK",
    `${from.host} redirects from ${from.protocol.slice(0, -1)} to ${to.protocol.slice(0, -1)}: not followed`,
  );
}

async function* readable(
  url: URL,
  body: AsyncIterable<Uint8Array>,
  context: FetchContext,
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (error) {
    throw networkError(url, error, context);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: "its name cannot be resolved",
  EAI_AGAIN: "its name cannot be resolved now",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was broken off",
  EPIPE: "the connection was broken off",
  ETIMEDOUT: "no answer",
  UND_ERR_CONNECT_TIMEOUT: "no answer",
  EHOSTUNREACH: "no way to it",
  ENETUNREACH: "no way to its network",
  UND_ERR_HEADERS_TIMEOUT: "it does not answer any more",
  UND_ERR_BODY_TIMEOUT: "it stalls: nothing more comes",
  UND_ERR_SOCKET: "the connection ended too early",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the connection ended too early",
  CERT_HAS_EXPIRED: "its TLS certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its TLS certificate is for another name",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its TLS certificate is signed by itself alone",
  SELF_SIGNED_CERT_IN_CHAIN: "its TLS certificate comes from an authority that this host does not trust",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its TLS certificate comes from an authority that this host does not trust",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its TLS certificate comes from an authority that this host does not trust",
};

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** The innermost cause with a code that has words. */
function reasonOf(error: unknown): { readonly reason: string; readonly errno: string } {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; depth += 1) {
    const known = reasons[codeOf(at)];
    if (known !== undefined) return { reason: known, errno: codeOf(at) };
    const inner: unknown = at instanceof AggregateError ? (at.errors[0] as unknown) : null;
    if (at.cause === undefined && inner === null) break;
    at = inner ?? at.cause;
  }
  return {
    reason: error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error),
    errno: codeOf(error),
  };
}

/** ISLET_NETWORK that says in words why there is no answer. What was aborted keeps its own reason. */
function networkError(url: URL, error: unknown, context: FetchContext): unknown {
  if (context.signal.aborted) return context.signal.reason;
  if (error instanceof IsletError) return error;
  const { reason, errno } = reasonOf(error);
  const proxy = proxyFor(url, context.environment);
  const through = proxy === null ? "" : ` through the proxy ${proxy.host}`;
  return new IsletError("ISLET_NETWORK", `cannot reach ${url.host}${through}: ${reason}`, {
    errno,
    hint:
      proxy === null
        ? "is the network up? a proxy is taken from http_proxy and https_proxy, and --server names another server"
        : "the proxy comes from http_proxy, https_proxy and no_proxy of the environment",
    cause: error,
  });
}
