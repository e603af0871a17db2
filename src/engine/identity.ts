import { fstatSync, readSync, writeSync } from "node:fs";
import { ioError } from "../base/io-error.js";
import { syscall } from "../host/addon.js";
import { ownFd } from "../host/fd.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../sys/flags.js";
import { openHow } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";

/** Names that a copy has in files of its root file system. The guest's links are followed within its root, never out of it. */

/** No such file is larger, bytes. */
const most = 1024 * 1024;

/** Changes a plain text file that is there. Nobody looks at the copy yet: it is written where it is, and keeps its owner and mode. */
function change(arch: Arch, root: number, path: string, edit: (text: string) => string): void {
  // First without opening it: it may be a device.
  const how = openHow({ flags: O_PATH | O_CLOEXEC, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
  const found = syscall(requireSyscall(arch, "openat2"), [root, cString(path), how, how.length]);
  if (found < 0) return;
  using place = ownFd(found);
  const { size } = fstatSync(place.number);
  if (!fstatSync(place.number).isFile() || size > most) return;
  const again = (flags: number): number =>
    syscall(requireSyscall(arch, "openat"), [
      AT_FDCWD,
      cString(`/proc/self/fd/${place.number}`),
      flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
      0,
    ]);
  const opened = again(O_RDONLY);
  if (opened < 0) return;
  using file = ownFd(opened);
  const bytes = Buffer.alloc(size);
  const length = readSync(file.number, bytes, 0, size, 0);
  // As it is, whatever its bytes mean.
  const before = bytes.subarray(0, length).toString("latin1");
  const after = edit(before);
  if (after === before) return;
  // Emptied as it is opened: an overlay copies nothing up then, and waits for no disk.
  const emptied = again(O_WRONLY | O_TRUNC);
  if (emptied < 0) return;
  using target = ownFd(emptied);
  try {
    writeSync(target.number, Buffer.from(after, "latin1"), 0, undefined, 0);
  } catch (error) {
    throw ioError(`write /${path} of the copy`, error);
  }
}

/** One word of a file of lines, wherever it stands alone or begins a domain name: `web` of `web.lan` too. */
export function replaceName(text: string, from: string, to: string): string {
  if (from === "" || from === to) return text;
  const literal = from.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return text
    .split("\n")
    .map((line) => {
      const hash = line.indexOf("#");
      const names = hash < 0 ? line : line.slice(0, hash);
      return names.replace(new RegExp(`(?<=[ \\t])${literal}(?=[.\\s]|$)`, "g"), () => to) + line.slice(names.length);
    })
    .join("\n");
}

/**
 * The copy calls itself `name`: in etc/hostname, where there is one, and in etc/hosts, where the original's name (the one it had in etc/hostname,
 * else `before`) stands beside an address.
 */
export function giveName(arch: Arch, root: number, name: string, before: string): void {
  let old = before;
  change(arch, root, "etc/hostname", (text) => {
    const own = text.split("\n", 1)[0]?.trim() ?? "";
    if (/^[\w.-]+$/.test(own)) old = own;
    return `${name}\n`;
  });
  if (old !== "localhost") change(arch, root, "etc/hosts", (text) => replaceName(text, old, name));
}
