/** The configuration of a container on its way from one host to another: pure changes of its text. */
import { printable } from "../../../base/printable.js";
import { cloneConfig, type Cloned } from "./clone.js";
import { parseLine, splitLines, splitWords } from "./grammar.js";
import type { Nibble } from "./hwaddr.js";

/** In an archive the container's directory is called so. */
export const elsewhere = "/@container@";

/** How a root file system is kept is a matter of the host that it is on. */
const kept = new Set(["lxc.rootfs.managed", "lxc.rootfs.backend", "islet.rootfs.size"]);

/** `directory`: the container's, absolute. Paths in it are named by `elsewhere`; where its root file system was is left out. */
export function portableConfig(text: string, directory: string): Cloned {
  const cloned = cloneConfig({
    text,
    from: directory,
    to: elsewhere,
    root: "",
    upper: null,
    isPlain: true,
    hostname: null,
    nibble: null,
    purpose: "keep",
    idmap: null,
    added: [],
  });
  const notices = [...cloned.notices];
  let out = "";
  let done = 0;
  for (const line of splitLines(cloned.text)) {
    const parsed = parseLine(line.text);
    if (parsed.kind !== "setting" || !kept.has(parsed.key)) continue;
    if (parsed.key === "islet.rootfs.size" && parsed.value !== "")
      notices.push(`${parsed.key} = ${parsed.value} is left out: islet import --fssize limits the new one`);
    const end = line.start + line.text.length;
    out += cloned.text.slice(done, line.start);
    done = end + (/^(\r\n|\r|\n)?/.exec(cloned.text.slice(end, end + 2))?.[0].length ?? 0);
  }
  return { text: out + cloned.text.slice(done), files: cloned.files, notices };
}

export interface ImportedInput {
  /** As portableConfig gave it, or somebody who pretends so. */
  readonly text: string;
  /** The new container's directory. */
  readonly directory: string;
  /** lxc.rootfs.path. */
  readonly root: string;
  /** That is the directory `directory`/rootfs. */
  readonly isPlain: boolean;
  /** lxc.uts.name; null: it stays as it is. */
  readonly hostname: string | null;
  /** New MAC addresses; null: they stay. */
  readonly nibble: Nibble | null;
  /** The same container, elsewhere: it keeps what is its own alone. */
  readonly keep: boolean;
  readonly added: readonly (readonly [key: string, value: string])[];
}

/** With a line for all that is of the host, which is another one now. */
export function importedConfig(input: ImportedInput): Pick<Cloned, "text" | "notices"> {
  const { directory, root, isPlain, hostname, nibble, keep, added } = input;
  const cloned = cloneConfig({
    text: input.text,
    from: elsewhere,
    to: directory,
    root,
    upper: null,
    isPlain,
    hostname,
    nibble,
    purpose: keep ? "keep" : "copy",
    idmap: null,
    added,
  });
  return { text: cloned.text, notices: [...cloned.notices, ...ofHost(cloned.text, directory)].map(printable) };
}

/** What the configuration wants of this host. */
function ofHost(text: string, directory: string): readonly string[] {
  const isOwn = (path: string): boolean => path.startsWith(`${directory}/`);
  const mounts: string[] = [];
  const lines: string[] = [];
  for (const line of splitLines(text)) {
    const parsed = parseLine(line.text);
    if (parsed.kind !== "setting" || parsed.value === "") continue;
    const { key, value } = parsed;
    const [source = ""] = splitWords(value);
    if (key.startsWith("lxc.hook.") && key !== "lxc.hook.version") lines.push(`${key} runs ${value} on this host`);
    else if (key === "lxc.mount.entry" && source.startsWith("/") && !isOwn(source)) mounts.push(source);
    else if (["lxc.include", "lxc.mount.fstab", "lxc.seccomp.profile"].includes(key) && !isOwn(value))
      lines.push(`${key} reads ${value} of this host`);
  }
  if (mounts.length > 0) lines.push(`lxc.mount.entry mounts ${[...new Set(mounts)].join(", ")} of this host`);
  return lines;
}
