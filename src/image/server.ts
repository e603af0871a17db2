import { isAbsolute } from "node:path";
import { pathToFileURL } from "node:url";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";

/** Names and addresses of an image server. What it says is not trusted, signed or not: nothing of it may lead elsewhere. */

/** "images.example.org", "http://127.0.0.1:8080/mirror", "/srv/mirror" or "file:///srv/mirror" as a URL that ends in "/". ISLET_BAD_REQUEST. */
export function serverUrl(text: string): URL {
  const bad = (): IsletError =>
    new IsletError("ISLET_BAD_REQUEST", `${text} is no image server`, {
      hint: "a name, an http(s) URL or an absolute path of a mirror",
    });
  if (text === "" || text !== printable(text) || (!isAbsolute(text) && /[\s?#]/.test(text))) throw bad();
  let url: URL;
  try {
    url = isAbsolute(text) ? pathToFileURL(text) : new URL(text.includes("://") ? text : `https://${text}`);
  } catch {
    throw bad();
  }
  if (!["https:", "http:", "file:"].includes(url.protocol) || (url.protocol !== "file:" && url.host === ""))
    throw bad();
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** What it is called in messages. */
export const serverName = (url: URL): string =>
  url.protocol === "file:" ? decodeURIComponent(url.pathname) : url.host;

/** An address below another one. ISLET_UNTRUSTED: the path leads out of it. */
export function below(base: URL, path: string): URL {
  const parts = path.split("/");
  const isPlain = parts.every(
    (part) => part !== "" && part !== "." && part !== ".." && !part.includes("\\") && part === printable(part),
  );
  if (!isPlain || path.length > 1024)
    throw new IsletError(
      "ISLET_UNTRUSTED",
      `the index of ${serverName(base)} names a path that leads elsewhere: ${JSON.stringify(path.slice(0, 200))}`,
    );
  // Colons stay as they are: not every server takes %3A for one.
  return new URL(`./${parts.map((part) => encodeURIComponent(part).replaceAll("%3A", ":")).join("/")}`, base);
}

const architectures: ReadonlyMap<string, string> = new Map([
  ["x86_64", "amd64"],
  ["x64", "amd64"],
  ["aarch64", "arm64"],
  ["i686", "i386"],
  ["i586", "i386"],
  ["armv7l", "armhf"],
  ["armv7", "armhf"],
  ["armv7hl", "armhf"],
  ["ppc64le", "ppc64el"],
]);

/** The name that dpkg has for an architecture, whoever's name it is. */
export const dpkgArchitecture = (name: string): string => architectures.get(name) ?? name;
