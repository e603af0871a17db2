import { isAbsolute, join } from "node:path";
import { IsletError } from "../base/errors.js";

/** Where an OCI image is: an image layout on disk, or a repository of a registry. */
export type OciReference =
  | { readonly kind: "layout"; readonly directory: string; readonly tag: string | null }
  | {
      readonly kind: "registry";
      /** With its port. */
      readonly host: string;
      readonly repository: string;
      /** A tag, or "sha256:...". */
      readonly reference: string;
    };

export const digestPattern: RegExp = /^sha256:[0-9a-f]{64}$/;

/** What docker.io means to every tool. */
const hubName = "docker.io";
const hubHost = "registry-1.docker.io";

/** `cwd`: what a relative path of a layout is below. ISLET_BAD_REQUEST. */
export function parseOciReference(text: string, cwd: string): OciReference {
  const bad = (why: string): IsletError =>
    new IsletError("ISLET_BAD_REQUEST", `${text} is no OCI image: ${why}`, {
      hint: "docker://HOST/NAME:TAG, docker://NAME@sha256:DIGEST, or oci:/PATH:TAG",
    });
  const [, scheme, rest = ""] = /^([a-z-]+):(.*)$/s.exec(text) ?? [];
  if (scheme === "oci") {
    // A colon in a directory's name would need a slash behind it.
    const [, path = "", tag = null] = /^(.+?)(?::([^/:]+))?$/.exec(rest.replace(/^\/\/(?=\/)/, "")) ?? [];
    if (path === "") throw bad("there is no path");
    return { kind: "layout", directory: isAbsolute(path) ? path : join(cwd, path), tag };
  }
  if (scheme !== "docker") throw bad(scheme === undefined ? "it has no scheme" : `${scheme}: is not known`);
  if (!rest.startsWith("//")) throw bad("there is no // before the name");
  const parts = /^(.+?)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(rest.slice(2));
  const [, whole = "", tag, digest] = parts ?? [];
  const slash = whole.indexOf("/");
  const first = slash < 0 ? "" : whole.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  const host = isHost ? first : hubName;
  const name = isHost ? whole.slice(slash + 1) : whole;
  if (!/^[a-z0-9]+([._-]+[a-z0-9]+)*(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*$/.test(name) || name.length > 255)
    throw bad(`${name === "" ? "the name" : name} is no name of a repository (small letters, digits, ".", "_", "-")`);
  if (!/^(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?$/.test(host)) throw bad(`${host} is no host`);
  const isHub = host === hubName || host === `index.${hubName}`;
  return {
    kind: "registry",
    host: isHub ? hubHost : host,
    repository: isHub && !name.includes("/") ? `library/${name}` : name,
    reference: digest ?? tag ?? "latest",
  };
}
