import {
  beginProgram,
  buffer,
  call,
  end,
  fail,
  finishProgram,
  imm,
  jump,
  label,
  load,
  place,
  presetSlot,
  slot,
  tell,
  within,
} from "../program/assembler.js";
import { clientTells } from "./client-tells.js";
import { openat2 } from "../program/calls.js";
import type { LaunchProgram } from "../program/ops.js";
import { EOPNOTSUPP } from "../sys/errno.js";
import type { HostFacts } from "../spec/host.js";
import { O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openFlags } from "../sys/flags.js";

/** statfs(2) f_type of FUSE. */
const fuseMagic = 0x65735546;

/**
 * A descriptor of what a path of the container names, without opening it (O_PATH): nothing that a guest can put there is touched. A
 * program of its own, because a guest's file system (FUSE) may never answer. Preset: the container's root directory.
 */
export function planOpen(path: string, follow: boolean, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const root = presetSlot(client.build, "container.root");
  const found = slot(client.build, "found");
  const flags = O_PATH | (follow ? 0 : openFlags(host.arch).O_NOFOLLOW);
  openat2(client, root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, found, {
    note: `look up ${path} in the container`,
  });
  // Whoever reads must not be at the mercy of a process of the guest's.
  const statfs = buffer(client.build, 128, "{f_type}");
  const type = slot(client.build, "f_type");
  const good = label("no file system of the guest's");
  call(client, "fstatfs", [found, statfs], { note: "see what kind of file system it is on" });
  load(client, type, within(statfs, 0, 8), 8, "see what kind of file system it is on");
  jump(client, good, "it is none of a process's", "ne", type, imm(fuseMagic));
  fail(client, EOPNOTSUPP, {
    note: `${path} is on a FUSE file system, which a process of the container may serve; use exec`,
  });
  place(client, good);
  tell(client, clientTells.descriptor, "descriptor", found, "hand it over");
  end(client, 0, "it was found");
  return finishProgram(client.build);
}
