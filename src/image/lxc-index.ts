import { printable } from "../base/printable.js";
import type { CatalogImage } from "./catalog.js";

const mostLines = 100_000;

/**
 * LXC's own index: a line "dist;release;arch;variant;build;path" for each image, in whose directory are meta.tar.xz and rootfs.tar.xz. Lines
 * of another form are left out, as lxc-download does.
 */
export function parseLxcIndex(text: string): readonly CatalogImage[] {
  return text.split("\n", mostLines).flatMap((line) => {
    const fields = line.replace(/\r$/, "").split(";");
    const [distribution = "", release = "", architecture = "", variant = "", build = "", path = ""] = fields;
    if (
      fields.length < 6 ||
      fields.slice(0, 6).some((field) => field === "" || field !== printable(field) || field.length > 512)
    )
      return [];
    const directory = path.replace(/^\/+|\/+$/g, "");
    const files = [
      { role: "lxc-meta", path: `${directory}/meta.tar.xz`, sha256: null, size: null },
      { role: "root-tar", path: `${directory}/rootfs.tar.xz`, sha256: null, size: null },
    ] as const;
    return [{ distribution, release, architecture, variant, build, aliases: [], builds: [{ name: build, files }] }];
  });
}

/** The lines of a SHA256SUMS file: name to checksum in hexadecimal. */
export function parseSums(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split("\n", mostLines).flatMap((line) => {
      const [, sum, name] = /^([0-9a-fA-F]{64}) [ *](?:\.\/)?([^/\0]{1,255})$/.exec(line.trimEnd()) ?? [];
      return sum === undefined || name === undefined ? [] : [[name, sum.toLowerCase()] as const];
    }),
  );
}
