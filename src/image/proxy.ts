/** Which proxy the caller's environment names for an address, as curl(1) and wget(1) read it. */

type Environment = Readonly<Record<string, string>>;

const given = (environment: Environment, ...names: readonly string[]): string | null =>
  names.map((name) => environment[name]).find((value) => value !== undefined && value !== "") ?? null;

/**
 * The proxy's URL, or null for none. `http_proxy` counts in small letters only, since a CGI program gets HTTP_PROXY from whoever asks it.
 * A proxy without a scheme is one that speaks plain HTTP.
 */
export function proxyFor(url: URL, environment: Environment): URL | null {
  if (isExempt(url, given(environment, "no_proxy", "NO_PROXY") ?? "")) return null;
  const value =
    (url.protocol === "https:" ? given(environment, "https_proxy", "HTTPS_PROXY") : given(environment, "http_proxy")) ??
    given(environment, "all_proxy", "ALL_PROXY");
  if (value === null) return null;
  try {
    const proxy = new URL(value.includes("://") ? value : `http://${value}`);
    return ["http:", "https:"].includes(proxy.protocol) ? proxy : null;
  } catch {
    return null;
  }
}

/** `list`: names with their subdomains, addresses, either with a port, or "*"; separated by commas or blanks. */
function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.toLowerCase();
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === "*") return true;
      const parts = /^\*?\.?(\[[^\]]*\]|[^:]+?)(?::(\d+))?$/.exec(entry);
      const name = parts?.[1];
      if (name === undefined) return entry !== "" && `[${entry}]` === host;
      if (parts?.[2] !== undefined && parts[2] !== port) return false;
      return host === name || host.endsWith(`.${name}`);
    });
}
