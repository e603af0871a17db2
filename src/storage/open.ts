import { constants, existsSync, openSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { closeFd, receiveMessage } from "../host/addon.js";
import { socketPair } from "../host/socket.js";
import { planOpenRoot, type RootRequest } from "../plan/open-root.js";
import type { Owner } from "../plan/mount.js";
import { helperOutcome, runHelper } from "../runtime/helper.js";
import type { HostFacts } from "../spec/host.js";
import type { MountOptions } from "../spec/mount.js";
import { noMountOptions } from "../spec/mount-options.js";
import { plainDirectory, type RootfsSource } from "../spec/rootfs.js";
import { MS_RDONLY, O_PATH } from "../sys/flags.js";
import { rootFacts } from "./root-facts.js";

/** The root directory of a container that does not run. */
export interface OpenRoot {
  readonly fd: number;
  /** The same for programs: /proc/PID/fd/N of this process, good for itself and its children while it is open. */
  readonly path: string;
  /** A file system that was mounted for it is gone with the last descriptor. */
  close(): void;
}

export interface OpenRootOptions {
  /** false: files are only looked at, and a file system that is mounted for it is mounted read-only. */
  readonly write: boolean;
  /** lxc.rootfs.options. */
  readonly options?: MountOptions;
  /** Whose an overlay's upper layer shall be on the host where there is none yet: the root of a container whose files are not mapped; absent: root's. */
  readonly owner?: Owner;
}

/** A journal may have to be replayed, on a slow disk. Milliseconds. */
const patience = 120_000;

/**
 * Opens the root file system behind a source, as its container would find it but for its id map. It is mounted where nobody sees it, by a small
 * process (`binary`: of islet), and stays for as long as the descriptor does: nothing is left when this process is killed. A file that a container
 * or another has in use is refused (ISLET_OPERATION_FAILED, EAGAIN).
 */
export async function openRoot(
  host: HostFacts,
  binary: string,
  source: RootfsSource,
  { write, options = noMountOptions, owner }: OpenRootOptions,
): Promise<OpenRoot> {
  const directory = plainDirectory(source) ?? onlyDirectory(source, write);
  if (directory !== null) return opened(openDirectory(directory));
  const mounted = write ? options : { ...options, flags: options.flags | MS_RDONLY };
  const request: RootRequest = {
    ...requestOf(source, mounted, write),
    owner: owner ?? null,
    writableDevice: false,
  };
  try {
    return opened(await mount(host, binary, request));
  } catch (error) {
    // What was not unmounted in order has a journal to be replayed before anything can be read.
    if (write || !(error instanceof IsletError) || error.errno !== "EROFS") throw error;
    return opened(await mount(host, binary, { ...request, writableDevice: true }));
  }
}

function opened(fd: number): OpenRoot {
  let isOpen = true;
  return {
    fd,
    path: `/proc/${process.pid}/fd/${fd}`,
    close() {
      if (isOpen) closeFd(fd);
      isOpen = false;
    },
  };
}

function openDirectory(path: string): number {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new IsletError("ISLET_IO", `cannot open the root file system ${path}: ${code}`, {
      errno: code,
      cause,
      hint: "see lxc.rootfs.path",
    });
  }
}

/** Of an overlay that is only looked at, whose upper layer was never made, and which has one other. */
function onlyDirectory(source: RootfsSource, write: boolean): string | null {
  if (source.kind !== "overlay" || write) return null;
  const [first, ...rest] = layersToRead(source);
  return rest.length === 0 ? (first ?? null) : null;
}

function layersToRead({ lowers, upper }: Extract<RootfsSource, { kind: "overlay" }>): readonly string[] {
  return upper !== null && existsSync(upper) ? [upper, ...lowers] : lowers;
}

function requestOf(
  source: RootfsSource,
  options: MountOptions,
  write: boolean,
): Omit<RootRequest, "owner" | "writableDevice"> {
  const facts = rootFacts(source);
  if (source.kind !== "overlay") return { source, options, facts, onlyLowers: false };
  if (!write)
    return { source: { kind: "overlay", lowers: layersToRead(source), upper: null }, options, facts, onlyLowers: true };
  if (source.upper === null)
    throw new IsletError("ISLET_UNSUPPORTED", "what is written to this root file system stays nowhere", {
      hint: "it begins anew at every start (islet.rootfs.upper = tmpfs)",
    });
  return { source, options, facts, onlyLowers: false };
}

async function mount(host: HostFacts, binary: string, request: RootRequest): Promise<number> {
  const program = planOpenRoot(request, host);
  const [ours, theirs] = socketPair(host.arch);
  try {
    const late = (): IsletError =>
      new IsletError("ISLET_TIMEOUT", `the root file system could not be mounted within ${patience / 1000} s`);
    helperOutcome(program, await runHelper(host.arch, binary, program, [theirs], patience), late);
    const [fd] = receiveMessage(ours, new Uint8Array(1), 1).fds;
    if (fd === undefined) throw new IsletError("ISLET_IO", "the root file system was mounted and not handed over");
    return fd;
  } finally {
    closeFd(ours);
    closeFd(theirs);
  }
}
