/** Mount options as mount(8) and fstab(5) write them, and back. */
import {
  MS_BIND,
  MS_DIRSYNC,
  MS_I_VERSION,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_MOVE,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SILENT,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
} from "../sys/flags.js";
import type { MountOptions } from "./mount.js";

type Effect = readonly [kind: "set" | "clear" | "propagation" | "ignore", flag: number];

/** Every word that is not data for the file system. The first word of a flag is the one that is written back. */
// prettier-ignore
const words: Readonly<Record<string, Effect>> = {
  ro: ["set", MS_RDONLY], rw: ["clear", MS_RDONLY],
  nosuid: ["set", MS_NOSUID], suid: ["clear", MS_NOSUID],
  nodev: ["set", MS_NODEV], dev: ["clear", MS_NODEV],
  noexec: ["set", MS_NOEXEC], exec: ["clear", MS_NOEXEC],
  sync: ["set", MS_SYNCHRONOUS], async: ["clear", MS_SYNCHRONOUS],
  dirsync: ["set", MS_DIRSYNC],
  remount: ["set", MS_REMOUNT],
  move: ["set", MS_MOVE],
  mand: ["set", MS_MANDLOCK], nomand: ["clear", MS_MANDLOCK],
  noatime: ["set", MS_NOATIME], atime: ["clear", MS_NOATIME],
  nodiratime: ["set", MS_NODIRATIME], diratime: ["clear", MS_NODIRATIME],
  relatime: ["set", MS_RELATIME], norelatime: ["clear", MS_RELATIME],
  strictatime: ["set", MS_STRICTATIME], nostrictatime: ["clear", MS_STRICTATIME],
  lazytime: ["set", MS_LAZYTIME], nolazytime: ["clear", MS_LAZYTIME],
  nosymfollow: ["set", MS_NOSYMFOLLOW], symfollow: ["clear", MS_NOSYMFOLLOW],
  iversion: ["set", MS_I_VERSION], noiversion: ["clear", MS_I_VERSION],
  silent: ["set", MS_SILENT], loud: ["clear", MS_SILENT],
  rbind: ["set", MS_BIND | MS_REC], bind: ["set", MS_BIND],
  private: ["propagation", MS_PRIVATE], rprivate: ["propagation", MS_PRIVATE | MS_REC],
  shared: ["propagation", MS_SHARED], rshared: ["propagation", MS_SHARED | MS_REC],
  slave: ["propagation", MS_SLAVE], rslave: ["propagation", MS_SLAVE | MS_REC],
  unbindable: ["propagation", MS_UNBINDABLE], runbindable: ["propagation", MS_UNBINDABLE | MS_REC],
  // Words of fstab(5) for mount(8) itself: no file system knows them.
  defaults: ["ignore", 0], auto: ["ignore", 0], noauto: ["ignore", 0], user: ["ignore", 0], nouser: ["ignore", 0], users: ["ignore", 0], _netdev: ["ignore", 0],
};

const effects: ReadonlyMap<string, Effect> = new Map(Object.entries(words));

/** Nothing asked for: the same as `defaults`. */
export const noMountOptions: MountOptions = { flags: 0, clear: 0, propagation: 0, data: "" };

/** Options in order; of words that contradict each other the last wins. Unknown words become data. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let flags = 0;
  let clear = 0;
  let propagation = 0;
  const data: string[] = [];
  for (const option of options) {
    if (option === "" || option.startsWith("x-") || option.startsWith("comment=")) continue;
    const effect = effects.get(option);
    if (effect === undefined) {
      data.push(option);
      continue;
    }
    const kind = effect[0];
    const flag = effect[1];
    if (kind === "set") {
      flags |= flag;
      clear &= ~flag;
    } else if (kind === "clear") {
      clear |= flag;
      flags &= ~flag;
    } else if (kind === "propagation") {
      propagation = flag;
    }
  }
  return { flags, clear, propagation, data: data.join(",") };
}

/** Words that parseMountOptions reads back as the same options; [] for none. Flags without a word are left out. */
export function showMountOptions(options: MountOptions): readonly string[] {
  const out: string[] = [];
  let flags = options.flags;
  for (const [word, [kind, flag]] of effects) {
    if (flag === 0) continue;
    if (kind === "set" && (flags & flag) === flag) {
      out.push(word);
      flags &= ~flag;
    } else if (
      (kind === "clear" && (options.clear & flag) === flag) ||
      (kind === "propagation" && options.propagation === flag)
    ) {
      out.push(word);
    }
  }
  if (options.data !== "") out.push(options.data);
  return out;
}
