import { readFile, writeFile } from "node:fs/promises";
import { IsletError } from "../../../base/errors.js";
import { printable } from "../../../base/printable.js";
import { matchesWildcard } from "../../../base/wildcard.js";
import type { IdMapEntry } from "../../../spec/idmap.js";
import type { ImageFacts, RootEditor } from "../../../spec/image.js";

/**
 * Images with LXC's metadata: what lxc-download and lxc-local (5.0.2) make of the files `config`, `fstab`, `templates`, `excludes` and
 * `create-message` that come with a root file system.
 */

/** The container that an image becomes. Paths are those that the configuration names. */
export interface ImageContainer {
  readonly name: string;
  readonly path: string;
  readonly rootfs: string;
  readonly idmap: readonly IdMapEntry[];
  /** What the template says it understands; default that of lxc-download. */
  readonly compatLevel?: string;
}

type Files = ImageFacts["files"];

/** The level that lxc-download says it has. */
const compatLevel = "7";
const templateConfig = "/usr/share/lxc/config";
const hookDirectory = "/usr/share/lxc/hooks";

/** Containers with an id map of their own have files of their own. */
const modeOf = ({ idmap }: ImageContainer): string => (idmap.length > 0 ? "user" : "system");

/** The text of a file, in the variant for this kind of container and this level; null: there is none. */
export function relevantFile(files: Files, name: string, container: ImageContainer): string | null {
  const forMode = `${name}-${modeOf(container)}`;
  const chosen = Object.hasOwn(files, forMode) ? forMode : name;
  return files[`${chosen}.${container.compatLevel ?? compatLevel}`] ?? files[chosen] ?? null;
}

/** In the order in which the scripts replace them. */
export function fillVariables(text: string, { name, path, rootfs }: ImageContainer): string {
  return text
    .replaceAll("LXC_NAME", name)
    .replaceAll("LXC_PATH", path)
    .replaceAll("LXC_ROOTFS", rootfs)
    .replaceAll("LXC_TEMPLATE_CONFIG", templateConfig)
    .replaceAll("LXC_HOOK_DIR", hookDirectory);
}

/**
 * The container's configuration, of what lxc-create has put there and what the image says: its own network last, its own lines behind those of
 * the distribution. ISLET_NOT_FOUND: the image has no configuration.
 */
export function imageConfig(given: string, files: Files, container: ImageContainer): string {
  const distribution = relevantFile(files, "config", container);
  if (distribution === null) throw new IsletError("ISLET_NOT_FOUND", "meta tarball is missing the configuration file");
  const lines = given.split("\n").map((line, index, all) => (index < all.length - 1 ? `${line}\n` : line));
  const isNetwork = (line: string): boolean => /lxc.net.0/.test(line);
  const isOurs = (line: string): boolean => !isNetwork(line) && /lxc./.test(line);
  const rest = lines.filter((line) => !isNetwork(line) && !isOurs(line));
  const text = [
    ...rest,
    "\n# Distribution configuration\n",
    distribution,
    "\n# Container specific configuration\n",
    ...lines.filter(isOurs),
    relevantFile(files, "fstab", container) === null ? "" : `lxc.mount.fstab = ${container.path}/fstab\n`,
    `lxc.uts.name = ${container.name}\n`,
    "\n# Network configuration\n",
    ...lines.filter(isNetwork),
  ].join("");
  return fillVariables(text, container);
}

/** Writes `config` and `fstab` into the container's directory. */
export async function writeImageConfig(files: Files, container: ImageContainer): Promise<void> {
  const config = `${container.path}/config`;
  await writeFile(config, imageConfig(await readFile(config, "utf8"), files, container));
  const fstab = relevantFile(files, "fstab", container);
  if (fstab !== null) await writeFile(`${container.path}/fstab`, fillVariables(fstab, container));
}

/** Of lists that an image brings: more would hold up everybody else. */
const mostLines = 100;
const mostNames = 8;
const mostMatches = 10_000;

const linesOf = (text: string | null): readonly string[] =>
  (text ?? "")
    .split("\n", mostLines)
    .map((line) => line.trim())
    .filter((line) => line !== "");

/** What the scripts do in the root itself. */
export function finishImageRoot(root: RootEditor, files: Files, container: ImageContainer): void {
  // What every container may have is left out when the image is unpacked, once for all.
  if (modeOf(container) === "user")
    for (const pattern of linesOf(files["excludes-user"] ?? null))
      for (const path of expand(root, pattern)) root.remove(path);
  root.directory("/dev/pts");
  for (const path of linesOf(relevantFile(files, "templates", container)))
    root.change(`/${path}`, (text) => fillVariables(text, container));
  // Its vhangup(2) fails in user namespaces.
  root.change("/etc/init/tty.conf", (text) => text.replaceAll("mingetty", "mingetty --nohangup"));
}

/** The paths that a pattern of tar's stands for. */
function expand(root: RootEditor, pattern: string): readonly string[] {
  const names = pattern.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..") || names.length > mostNames) return [];
  let found: readonly string[] = [""];
  for (const name of names) {
    found = found.flatMap((directory) => {
      if (!/[*?]/.test(name)) return [`${directory}/${name}`];
      return root
        .list(directory === "" ? "/" : directory)
        .filter((each) => matchesWildcard(name, each))
        .map((each) => `${directory}/${each}`);
    });
    if (found.length > mostMatches) return [];
  }
  return found.filter((path) => path !== "" && root.exists(path));
}

/** What the image has to say in the end, as the scripts print it; "" for nothing. Of a stranger: nothing in it moves the cursor. */
export function createMessage(files: Files, container: ImageContainer): string {
  const text = relevantFile(files, "create-message", container);
  if (text === null) return "";
  return `\n---\n${text.split("\n").map(printable).join("\n")}`;
}
