import { readdir, readFile } from "node:fs/promises";
import { type AptSource, parseSourceLines, parseSourceStanzas } from "../../../spec/apt-source.js";

/** What the host's apt is told of where packages come from, and the releases that the package distro-info-data knows. */

const directory = "/etc/apt";

/** In apt's order: sources.list, then the files of sources.list.d by name. What cannot be read is passed over. */
export async function hostSources(): Promise<readonly AptSource[]> {
  const read = (file: string): Promise<string> => readFile(`${directory}/${file}`, "utf8").catch(() => "");
  const parts = (await readdir(`${directory}/sources.list.d`).catch((): string[] => [])).sort();
  const lists = await Promise.all(
    parts.map(async (name) => {
      const text = await read(`sources.list.d/${name}`);
      if (name.endsWith(".list")) return parseSourceLines(text);
      return name.endsWith(".sources") ? parseSourceStanzas(text) : [];
    }),
  );
  return [...parseSourceLines(await read("sources.list")), ...lists.flat()];
}

/** What the user has said of mirrors; null: as the host has it. */
export interface MirrorWish {
  readonly keyring: string | null;
  readonly components: readonly string[];
  /** What signs the distribution's archive where nobody says so. */
  readonly usualKeyring: string;
}

/** A URL that the user has given, what the host has, what the distribution has, and the suite. */
export type SourceWords = readonly [
  given: string | null,
  found: AptSource | undefined,
  otherwise: string,
  suite: string,
];

/** A source of packages: that of the URL given, else the host's own, else the distribution's. */
export function sourceOf(
  { keyring, components, usualKeyring }: MirrorWish,
  ...[given, found, otherwise, suite]: SourceWords
): AptSource {
  const own = found?.signedBy ?? [];
  return {
    uri: (given ?? found?.uri ?? otherwise).replace(/\/+$/, ""),
    suite,
    components,
    signedBy: keyring !== null ? [keyring] : own.length === 0 ? [usualKeyring] : own,
    isTrusted: given === null && keyring === null && found?.isTrusted === true,
  };
}

/** Programs that put a Debian together; each knows a mirror for those who name none. */
const bootstrapPrograms = ["/usr/bin/mmdebstrap", "/usr/sbin/debootstrap"];

/** That mirror; null: neither program is there. */
export async function bootstrapMirror(): Promise<string | null> {
  for (const file of bootstrapPrograms) {
    const text = await readFile(file, "utf8").catch(() => "");
    const [found] = /https?:\/\/[\w.-]+\/debian(?![\w/-])/.exec(text) ?? [];
    if (found !== undefined) return found;
  }
  return null;
}

export interface KnownRelease {
  /** As it is called in an archive: bookworm. */
  readonly series: string;
  /** "12"; "22.04 LTS". */
  readonly version: string;
  /** Day of its release, as 2023-06-10; "": none yet. */
  readonly released: string;
  /** The last day of its usual support; "": not known. */
  readonly end: string;
}

/** Rows of /usr/share/distro-info/NAME.csv, oldest first; [] where there is no such file. */
export function parseDistroInfo(text: string): readonly KnownRelease[] {
  const [head = "", ...rows] = text.split("\n").filter((line) => line !== "");
  const columns = head.split(",");
  return rows.map((row) => {
    const cells = row.split(",");
    const cell = (name: string): string => cells[columns.indexOf(name)] ?? "";
    return { series: cell("series"), version: cell("version"), released: cell("release"), end: cell("eol") };
  });
}

export const knownReleases = async (distribution: "debian" | "ubuntu"): Promise<readonly KnownRelease[]> =>
  parseDistroInfo(await readFile(`/usr/share/distro-info/${distribution}.csv`, "utf8").catch(() => ""));
