/** The configuration of a container that is copied, renamed, put aside or brought back: a pure change of its text. */
import { quoted } from "./document.js";
import { parseLine, splitLines, splitWords } from "./grammar.js";
import { defaultHwaddrTemplate, expandHwaddr, type Nibble } from "./hwaddr.js";

export interface CloneInput {
  /** The container's own text, keys of today (modernise.ts). */
  readonly text: string;
  /** The container's directory, and that of the new one: absolute, without a slash at the end. */
  readonly from: string;
  readonly to: string;
  /** lxc.rootfs.path; null: it stays as it is. */
  readonly root: string | null;
  /** islet.rootfs.upper; null: without. */
  readonly upper: string | null;
  /** The new root file system is the directory `to`/rootfs. */
  readonly isPlain: boolean;
  /** lxc.uts.name; null: it stays as it is. */
  readonly hostname: string | null;
  /** New MAC addresses; null: they stay. */
  readonly nibble: Nibble | null;
  /** move: the same container elsewhere; copy: another one; keep: the same one as it is now, put aside or brought back. */
  readonly purpose: "move" | "copy" | "keep";
  /** lxc.idmap values; null: they stay. */
  readonly idmap: readonly string[] | null;
  /** More lines at the end. */
  readonly added: readonly (readonly [key: string, value: string])[];
}

export interface Cloned {
  readonly text: string;
  /** Paths below `from` that are to be copied to the same place below `to`. */
  readonly files: readonly string[];
  readonly notices: readonly string[];
}

/** Keys whose value is a file that goes along if it lies in the container's directory. */
const fileKeys = new Set(["lxc.mount.fstab", "lxc.include", "lxc.seccomp.profile"]);
/** Keys whose value is a path that the new container has for itself. */
const ownPathKeys = new Set(["lxc.console.logfile", "lxc.log.file"]);

const below = (path: string, directory: string): boolean => path.startsWith(`${directory}/`);
/** A path that lies in a directory that is elsewhere now. */
export const moved = (path: string, from: string, to: string): string =>
  path === from || below(path, from) ? to + path.slice(from.length) : path;

interface State {
  readonly input: CloneInput;
  readonly files: Set<string>;
  readonly notices: string[];
}

/** The value a key has in the new container; null: the line goes. */
function valueNow(state: State, key: string, value: string): string | null {
  const { input } = state;
  const { from, to, purpose } = input;
  const along = (path: string): string => {
    if (!below(path, from)) return path;
    const name = path.slice(from.length + 1);
    // What lies in the root file system is copied with it.
    if (purpose !== "move" && !below(path, `${from}/rootfs`)) state.files.add(name);
    return moved(path, from, to);
  };
  if (key.startsWith("lxc.hook.") && key !== "lxc.hook.version") {
    const [program = ""] = splitWords(value);
    return along(program) + value.slice(program.length);
  }
  if (fileKeys.has(key)) return value === from || value.endsWith("/") ? moved(value, from, to) : along(value);
  if (ownPathKeys.has(key)) return moved(value, from, to);
  if (key === "lxc.mount.entry") return mountNow(state, value);
  if (key === "lxc.rootfs.path" || key === "islet.rootfs.upper") return input.root === null ? value : null;
  if (key === "lxc.uts.name") return input.hostname === null ? value : null;
  if (key === "lxc.idmap") return input.idmap === null ? value : null;
  if (purpose === "copy" && key === "islet.uuid") return null;
  if (purpose === "copy" && /^islet\.net\.[0-9]+\.reserve$/.test(key) && value !== "") {
    state.notices.push(`the address ${value} stays reserved for the original: ${key} is left out`);
    return null;
  }
  if (purpose === "copy" && /^lxc\.net\.[0-9]+\.ipv[46]\.address$/.test(key) && value !== "")
    state.notices.push(`${key} = ${value} is the original's address, too: change one of them before both run`);
  if (input.nibble !== null && value !== "" && /^lxc\.net\.[0-9]+\.hwaddr$/.test(key))
    return expandHwaddr(defaultHwaddrTemplate, input.nibble);
  return value;
}

/** A mount of what is in the old root file system is of the new one's; other directories beside it are shared, as in LXC. */
function mountNow(state: State, value: string): string {
  const { from, to, purpose, isPlain } = state.input;
  const [source = "", ...rest] = value.split(/([ \t]+)/);
  const upper = (options: string): string =>
    options.replace(
      /\b(upperdir|workdir)=([^, \t]+)/g,
      (_, name: string, path: string) => `${name}=${moved(path, from, to)}`,
    );
  const tail = rest.map((part) => (part.includes("upperdir=") ? upper(part) : part)).join("");
  if (purpose === "move") return moved(source, from, to) + tail;
  if (below(source, `${from}/rootfs`) && isPlain) return moved(source, from, to) + tail;
  if (purpose === "copy" && below(source, from))
    state.notices.push(`${source} is not copied: both containers have it (lxc.mount.entry)`);
  return source + tail;
}

/** The line with another value: blanks before and after the equals sign as they were. */
function lineWith(line: string, before: string, after: string): string {
  const equals = line.indexOf("=");
  const head = line.slice(0, equals + 1);
  const rest = line.slice(equals + 1);
  const at = rest.lastIndexOf(before);
  if (before === "" || at < 0) return `${head} ${quoted(after)}`;
  return head + rest.slice(0, at) + after + rest.slice(at + before.length);
}

/** Comments, blank lines, and keys that mean nothing to us stay as and where they are. */
export function cloneConfig(input: CloneInput): Cloned {
  const state: State = { input, files: new Set(), notices: [] };
  let out = "";
  let done = 0;
  const { text } = input;
  for (const line of splitLines(text)) {
    const parsed = parseLine(line.text);
    if (parsed.kind !== "setting") continue;
    const now = valueNow(state, parsed.key, parsed.value);
    if (now === parsed.value) continue;
    const end = line.start + line.text.length;
    out += text.slice(done, line.start) + (now === null ? "" : lineWith(line.text, parsed.value, now));
    done = now === null ? end + (/^(\r\n|\r|\n)?/.exec(text.slice(end, end + 2))?.[0].length ?? 0) : end;
  }
  out += text.slice(done);
  if (out !== "" && !/[\r\n]$/.test(out)) out += "\n";
  const add = (key: string, value: string): void => {
    out += `${key} = ${quoted(value)}\n`;
  };
  for (const value of input.idmap ?? []) add("lxc.idmap", value);
  if (input.root !== null && input.root !== "") add("lxc.rootfs.path", input.root);
  if (input.root !== null && input.upper !== null) add("islet.rootfs.upper", input.upper);
  if (input.hostname !== null) add("lxc.uts.name", input.hostname);
  for (const [key, value] of input.added) add(key, value);
  return { text: out, files: [...state.files].sort(), notices: state.notices };
}
