import { IsletError } from "../base/errors.js";
import {
  beginProgram,
  blob,
  call,
  cwdFd,
  end,
  finishProgram,
  imm,
  presetSlot,
  slot,
  store,
  within,
} from "../program/assembler.js";
import { newFilesystem, openat } from "../program/calls.js";
import type { LaunchProgram } from "../program/ops.js";
import type { HostFacts, RootfsFacts } from "../spec/host.js";
import type { MountOptions } from "../spec/mount.js";
import type { RootfsSource } from "../spec/rootfs.js";
import { MS_RDONLY, O_PATH, openFlags } from "../sys/flags.js";
import { sendMessage } from "../sys/structs.js";
import { mountDevice } from "./block.js";
import { type Owner, attributesOf, filesystemOptions } from "./mount.js";
import { mountOverlay } from "./overlay.js";

export interface RootRequest {
  readonly source: RootfsSource;
  readonly options: MountOptions;
  readonly facts: RootfsFacts | null;
  /** Of an overlay: the lower layers alone are mounted. */
  readonly onlyLowers: boolean;
  /** Whose an upper layer shall be that is not there yet; null: root's. */
  readonly owner: Owner | null;
  /** Of a file or a device that is mounted read-only: its journal may be replayed. */
  readonly writableDevice: boolean;
}

/** A helper's program: the root file system as a descriptor of its directory, sent to the other end of the preset socket. Nothing of it is seen on the host. */
export function planOpenRoot(
  { source, options, facts, onlyLowers, owner, writableDevice }: RootRequest,
  host: HostFacts,
): LaunchProgram {
  const block = beginProgram(host.arch, "helper");
  const { build } = block;
  const answer = presetSlot(build, "answer");
  const tree = slot(build, "root");
  const directory = (path: string): void => {
    openat(block, cwdFd, path, O_PATH | openFlags(build.arch).O_DIRECTORY, tree, {
      note: `open the root file system ${path}`,
      hints: { ENOENT: "the directory is missing; see lxc.rootfs.path" },
    });
  };
  switch (source.kind) {
    case "dir":
    case "btrfs":
      directory(source.path);
      break;
    case "loop":
    case "block": {
      const kind = source.kind === "loop" ? "loop" : source.driver;
      mountDevice(block, { kind, path: source.path, options, facts, at: null, writableDevice }, tree);
      break;
    }
    case "zfs":
      if (facts !== null && facts.mountedOn !== null) directory(facts.mountedOn);
      else
        newFilesystem(block, "zfs", filesystemOptions(source.dataset, options), attributesOf(options.flags), tree, {
          note: `mount the data set ${source.dataset}`,
        });
      break;
    case "overlay":
      mountOverlay(
        block,
        {
          source,
          options: onlyLowers ? { ...options, flags: options.flags | MS_RDONLY } : options,
          at: null,
          directory: null,
          owner,
          idmap: null,
          place: `${host.runtimeDir}/rootfs`,
          onlyLowers,
          userXattr: host.inUserNamespace,
        },
        tree,
      );
      break;
    case "host":
    case "other":
      throw new IsletError("ISLET_UNSUPPORTED", `a root file system of the kind ${source.kind} cannot be opened`);
    default:
      source satisfies never;
  }
  const message = sendMessage(new Uint8Array(1), 1);
  const sent = blob(build, message, "{root}");
  store(block, tree, within(sent, message.fdAt[0] ?? 0, 4), 4, "put it into the message");
  call(block, "sendmsg", [answer, sent, imm(0)], { note: "hand the root file system over" });
  end(block, 0, "it is open");
  return finishProgram(build);
}
