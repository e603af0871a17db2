import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import type { CatalogBuild, CatalogFile, CatalogImage } from "./catalog.js";

/**
 * The two documents of simplestreams, "index:1.0" and "products:1.0", as https://images.linuxcontainers.org and
 * https://cloud-images.ubuntu.com have them. What is not understood is left out; what is no such document at all is ISLET_NETWORK.
 */

const mostProducts = 20_000;
const mostBuilds = 200;
const mostItems = 100;
const mostText = 1024;

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const textOf = (value: unknown): string =>
  typeof value === "string" && value.length <= mostText && value === printable(value) ? value : "";
const entriesOf = (value: unknown, most: number): readonly (readonly [string, Fields])[] =>
  Object.entries(fieldsOf(value))
    .slice(0, most)
    .map(([name, each]) => [name, fieldsOf(each)]);

function document(bytes: Uint8Array, format: string, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new IsletError("ISLET_NETWORK", `${what} is not JSON`, { cause, hint: "is this a simplestreams server?" });
  }
  const fields = fieldsOf(value);
  if (fields["format"] !== format)
    throw new IsletError("ISLET_NETWORK", `${what} is not of the format ${format}`, {
      hint: "is this a simplestreams server?",
    });
  return fields;
}

/** Paths of the documents with images to download, below the server. */
export function parseStreamsIndex(bytes: Uint8Array, what: string): readonly string[] {
  const { index } = document(bytes, "index:1.0", what) as { readonly index?: unknown };
  return entriesOf(index, mostProducts).flatMap(([, entry]) => {
    const path = textOf(entry["path"]);
    const isImages = entry["datatype"] === "image-downloads" && entry["format"] !== "index:1.0";
    return isImages && path !== "" ? [path] : [];
  });
}

/** Images for containers, in the document's order. */
export function parseProducts(bytes: Uint8Array, what: string): readonly CatalogImage[] {
  const fields = document(bytes, "products:1.0", what);
  return entriesOf(fields["products"], mostProducts).flatMap(([name, product]) => {
    const own = (key: string): string => textOf(product[key]) || textOf(fields[key]);
    const architecture = own("arch");
    const distribution = (own("os") || (name.split(":")[0] ?? "")).toLowerCase();
    const release = own("release") || own("version");
    const builds = buildsOf(product["versions"]);
    const [newest] = builds;
    if (architecture === "" || release === "" || newest === undefined) return [];
    const aliases = [...own("aliases").split(","), own("version"), own("release_codename"), own("release_title")]
      .map((alias) => alias.trim())
      .filter((alias) => alias !== "");
    return [
      {
        distribution,
        release,
        architecture,
        variant: own("variant") || "default",
        build: newest.name,
        aliases,
        builds,
      },
    ];
  });
}

/** Newest first; their names are times, or times with a number behind. */
function buildsOf(versions: unknown): readonly CatalogBuild[] {
  return Object.entries(fieldsOf(versions))
    .toSorted(([a], [b]) => b.localeCompare(a, "en", { numeric: true }))
    .slice(0, mostBuilds)
    .flatMap(([name, version]) => {
      if (textOf(name) === "") return [];
      const files = entriesOf(fieldsOf(version)["items"], mostItems).flatMap(([, item]) => fileOf(item));
      return files.length === 0 ? [] : [{ name, files }];
    });
}

const roles = new Map<string, CatalogFile["role"]>([
  ["lxd.tar.xz", "lxd-meta"],
  ["incus.tar.xz", "lxd-meta"],
  ["root.tar.xz", "root-tar"],
  ["squashfs", "root-squashfs"],
  ["lxd_combined.tar.gz", "combined"],
  ["incus_combined.tar.gz", "combined"],
]);

function fileOf(item: Fields): readonly CatalogFile[] {
  const role = roles.get(textOf(item["ftype"]));
  const path = textOf(item["path"]);
  const sha256 = textOf(item["sha256"]).toLowerCase();
  const size = item["size"];
  if (role === undefined || path === "") return [];
  const isSize = typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  return [{ role, path, sha256: /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null, size: isSize ? size : null }];
}
