import { UsageError } from "./frame.js";

/** What lxc-copy -m adds to an ephemeral container. */

export interface CopyMount {
  readonly kind: "bind" | "overlay";
  readonly source: string;
  readonly target: string;
  /** Of a bind mount: rw, ro and the like. */
  readonly options: string;
}

/** `{bind,overlay}=/src[:/dst[:options]]`, several with commas between, as lxc-copy(1) has it. */
export function parseMounts(text: string): readonly CopyMount[] {
  const mounts: CopyMount[] = [];
  const items = text.split(",").filter((item) => item !== "");
  for (const item of items) {
    const match = /^(bind|overlay)=([^:]+)(?::([^:]*))?(?::([^:]*))?$/.exec(item);
    const [, kind, source = "", target = "", options = ""] = match ?? [];
    if (kind === undefined || !source.startsWith("/"))
      throw new UsageError(`-m takes bind=/SRC[:/DST[:OPTIONS]] and overlay=/SRC[:/DST], not "${item}"`);
    mounts.push({
      kind: kind === "bind" ? "bind" : "overlay",
      source,
      target: target === "" ? source : target,
      options: options === "" ? "rw" : options,
    });
  }
  if (mounts.length === 0) throw new UsageError("-m needs something to mount");
  return mounts;
}

/** Blanks and the like in a field of fstab(5). */
const field = (text: string): string =>
  text.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);

/**
 * Lines for lxc.mount.entry, as lxc-copy writes them, and the directories that overlays need beside the container's configuration. `directory`:
 * of the container; `isFile`: a bind mount's source is no directory.
 */
export function mountEntries(
  mounts: readonly CopyMount[],
  directory: string,
  isFile: (path: string) => boolean,
  random: () => string,
): { readonly entries: readonly string[]; readonly directories: readonly string[] } {
  const entries: string[] = [];
  const directories: string[] = [];
  for (const { kind, source, target, options } of mounts) {
    const inside = field(target.replace(/^\/+/, ""));
    if (kind === "bind") {
      const create = isFile(source) ? "create=file" : "create=dir";
      entries.push(`${field(source)} ${inside} none bind,optional,${options},${create} 0 0`);
      continue;
    }
    const [delta, work] = [`delta#${random()}`, `work#${random()}`];
    directories.push(delta, work);
    const layers = `lowerdir=${field(source)},upperdir=${field(`${directory}/${delta}`)},workdir=${field(`${directory}/${work}`)}`;
    entries.push(`${field(source)} ${inside} overlay ${layers},create=dir`);
  }
  return { entries, directories };
}
