import { mkdirSync, openSync, readdirSync } from "node:fs";
import { createHash } from "node:crypto";
import { IsletError } from "../base/errors.js";
import type { DevicePolicy } from "../plan/device-bpf.js";
import type { JoinedNic } from "../spec/nic.js";
import { type State, freezerStates, states } from "../spec/states.js";
import type { Arch } from "../sys/arch.js";
import { type Channel, openChannel } from "../host/channel.js";
import { closeFd, receiveMessage, sendMessage, spawn, syscall, watch } from "../host/addon.js";
import { removeFile } from "../host/fd.js";
import { errnoName } from "../sys/errno.js";
import { requireSyscall } from "../sys/syscalls.js";
import { reapWhenDone } from "../host/reap.js";
import { connectUnix, listenUnix, socketPair } from "../host/socket.js";
import {
  type MonitorInfo,
  type StartFrame,
  decodeInfo,
  decodeState,
  encodeStart,
  frameHead,
  monitorFrames,
  writer,
} from "../host/protocol.js";

const maxFrame = 8 * 1024 * 1024;

/** What a monitor carries for the daemons to come: which container it is, and what its front end wants kept. */
export interface MonitorMeta {
  readonly version: 1;
  readonly name: string;
  readonly storePath: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Absolute cgroup directories of the payload: for usage, freezing and attaching. */
  readonly cgroups: readonly { readonly controllers: readonly string[]; readonly path: string }[];
  readonly unified: string | null;
  /** Host names of the nics. */
  readonly links: readonly string[];
  /** What its nics bring to links of the host's, where that is known; monitors of releases before do not say. */
  readonly joined?: readonly JoinedNic[];
  /** Signals and confinement of the container, for stop and attach. */
  readonly attach: unknown;
  readonly signals: {
    readonly halt: number | null;
    readonly reboot: number;
    readonly stop: number;
    /** What the main process gets when its monitor is killed. */
    readonly death: number;
  };
  readonly environment: readonly string[];
  /** Commands that are run in it are not told that it is a container: only its init is. */
  readonly tellsInit?: true;
  readonly ephemeral: boolean;
  /** The device rules of its configuration where a program on the unified cgroup keeps them; null: v1 does. Monitors of releases before have none. */
  readonly devices?: DevicePolicy | null;
  /** Its console and ttys have ptys of the host's. */
  readonly outer?: true;
  /** It may have files of LXCFS. Monitors of releases before do not say. */
  readonly lxcfs?: boolean;
  /** The guest has an API of its own; monitors of releases before have none. */
  readonly api?: GuestApiMeta | null;
}

/** What must be known to serve a guest's API, which a daemon does that need not have started it. */
export interface GuestApiMeta {
  /** Where the guest finds the socket's directory. */
  readonly directory: string;
  /** Who the guest's root is on the host. */
  readonly rootUid: number;
  /** As the guest is told of them, by name. */
  readonly devices: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** A live container, as its monitor tells it. Changes in place as frames arrive. */
export interface Monitor {
  readonly meta: MonitorMeta;
  readonly channel: Channel;
  state: State;
  pid: number | null;
  pidfd: number | null;
  /** Wait status. */
  exit: number | null;
  startedNs: bigint;
  /** Output of hooks since the start. */
  log: string;
  ended: boolean;
  /** Its main process has said that it is ready (sd_notify(3)), since it began. */
  ready: boolean;
  /** It is being killed: nothing may freeze it any more. */
  doomed: boolean;
  /** Called when INFO arrives or the monitor ends. */
  readonly waiting: (() => void)[];
}

export interface MonitorEvents {
  readonly changed: (monitor: Monitor) => void;
  /** The monitor has ended; it has been forgotten. */
  readonly gone: (monitor: Monitor) => void;
}

/** A short, fixed name for a container's socket: paths of sockets are short (unix(7)). */
export function monitorId(storePath: string, name: string): string {
  return createHash("sha256").update(`${storePath}\0${name}`).digest("hex").slice(0, 24);
}

export function monitorDirectory(runtimeDir: string): string {
  return `${runtimeDir}/monitor`;
}

export function monitorSocketPath(runtimeDir: string, storePath: string, name: string): string {
  return `${monitorDirectory(runtimeDir)}/${monitorId(storePath, name)}`;
}

/** The host's side of a guest's API: what of it the guest finds is this directory, so that the socket in it can be replaced. */
export function guestApiDirectory(runtimeDir: string, storePath: string, name: string): string {
  return `${runtimeDir}/devlxd/${monitorId(storePath, name)}`;
}

/** Where a container's network namespace is held while interfaces of the host's are in it; beside it, with .json, what is written down of them. */
export function networkPin(runtimeDir: string, storePath: string, name: string): string {
  return `${runtimeDir}/phys/${monitorId(storePath, name)}`;
}

/** A monitor that has not been told anything yet. Whoever takes its socket has it. */
export interface FreshMonitor {
  readonly pid: number;
  take(): number;
  /** Ends it unless it was taken; resolves when it has ended. */
  discard(): Promise<void>;
}

export interface Launch {
  readonly meta: MonitorMeta;
  readonly title: string;
  readonly image: StartFrame["image"];
  /** Preset descriptors behind the listening socket; stay the caller's. */
  readonly fds: readonly number[];
  readonly failOperation: number | null;
  /** Joined with the console before anything runs; the monitor's from then on. null: nobody is. */
  readonly joined: number | null;
  /** The monitor that is to do it; null: whichever is there. */
  readonly fresh: FreshMonitor | null;
}

export type LaunchResult =
  | { readonly kind: "running"; readonly monitor: Monitor }
  | { readonly kind: "failed"; readonly record: Uint8Array; readonly log: string }
  | { readonly kind: "died"; readonly log: string };

/** Starts monitors, and keeps one in stock so that a start need not wait for a process to be made. */
export interface MonitorPool {
  launch(launch: Launch, events: MonitorEvents): Promise<LaunchResult>;
  /** Makes a monitor whose pid must be known before its launch. */
  make(): Promise<FreshMonitor>;
  /** Makes the spare if there is none. */
  prepare(): void;
  /** Resolves when the spare has ended. */
  close(): Promise<void>;
}

/** `groups`: the `cgroup.procs` files of groups that monitors are made in. */
export function createMonitorPool(
  arch: Arch,
  runtimeDir: string,
  binary: string,
  keepSpare: boolean,
  groups: () => readonly string[],
): MonitorPool {
  let nursery: { readonly fd: number; readonly ended: Promise<void> } | null = null;
  let spare: number | null = null;
  let closed = false;

  /** `islet nursery`, which makes monitors by fork(2): posix_spawn(3) of one would hold the event loop up for milliseconds at every start. */
  const open = (): { readonly fd: number; readonly ended: Promise<void> } => {
    const [ours, theirs] = socketPair(arch);
    const cgroupFds: number[] = [];
    try {
      for (const path of groups()) cgroupFds.push(openSync(path, "w"));
      const made = spawn(
        binary,
        ["islet", "nursery"],
        // Where the kernel cannot be told another place, a monitor's title is written over these.
        ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", `TITLE=${" ".repeat(200)}`],
        [[3, theirs]],
        { cwd: "/", setsid: true, cgroupFds },
      );
      const ended = new Promise<void>((resolve) => {
        reapWhenDone(made.pidfd, () => {
          resolve();
        });
      });
      return { fd: ours, ended };
    } catch (error) {
      closeFd(ours);
      throw error;
    } finally {
      closeFd(theirs);
      for (const fd of cgroupFds) closeFd(fd);
    }
  };

  /** `byte`: 0, or 1 to be told the pid. */
  const make = (byte: 0 | 1 = 0): number => {
    const [ours, theirs] = socketPair(arch);
    try {
      nursery ??= open();
      if (sendMessage(nursery.fd, new Uint8Array([byte]), [theirs]) !== 1) {
        // It was killed.
        closeFd(nursery.fd);
        nursery = null;
        nursery = open();
        const sent = sendMessage(nursery.fd, new Uint8Array([byte]), [theirs]);
        if (sent !== 1) throw new IsletError("ISLET_IO", `cannot make a monitor: ${errnoName(sent)}`);
      }
      return ours;
    } catch (error) {
      closeFd(ours);
      throw error;
    } finally {
      closeFd(theirs);
    }
  };

  return {
    prepare(): void {
      if (keepSpare && spare === null && !closed) spare = make();
    },
    async close(): Promise<void> {
      closed = true;
      const last = nursery;
      nursery = null;
      if (spare !== null) await endOf(arch, spare);
      spare = null;
      if (last === null) return;
      closeFd(last.fd);
      await last.ended;
    },
    async make(): Promise<FreshMonitor> {
      const made = make(1);
      const pid = await firstWord(made);
      if (pid === null) {
        closeFd(made);
        throw new IsletError("ISLET_IO", "cannot make a monitor");
      }
      let fd: number | null = made;
      const take = (): number => {
        if (fd === null) throw new IsletError("ISLET_IO", "the monitor was taken already");
        const taken = fd;
        fd = null;
        return taken;
      };
      return {
        pid,
        take,
        discard: async () => {
          if (fd !== null) await endOf(arch, take());
        },
      };
    },
    launch(launch, events): Promise<LaunchResult> {
      const frame = startFrame(launch);
      const fd = launch.fresh?.take() ?? spare ?? make();
      if (fd === spare) spare = null;
      const path = monitorSocketPath(runtimeDir, launch.meta.storePath, launch.meta.name);
      let listening: number;
      try {
        listening = listenUnix(arch, path, 64, null);
      } catch (error) {
        closeFd(fd);
        throw error;
      }
      const { monitor, result } = awaitStart(fd, launch.meta, events);
      monitor.channel.sendFrame(frame, [listening, ...launch.fds]);
      // It is read when the monitor serves for the first time; what was printed before is in the ring buffer.
      if (launch.joined !== null)
        monitor.channel.send(monitorFrames.console, writer().u32(1).finish(), [launch.joined], true);
      closeFd(listening);
      return result;
    },
  };
}

/**
 * The monitor of a start, and how that ends. A function of its own: what it hands out lives as long as the container, and with it everything
 * around it, which must not be the program.
 */
function awaitStart(
  fd: number,
  meta: MonitorMeta,
  events: MonitorEvents,
): { readonly monitor: Monitor; readonly result: Promise<LaunchResult> } {
  let settle: ((result: LaunchResult) => void) | null = null;
  let failure: Uint8Array | null = null;
  const result = new Promise<LaunchResult>((resolve) => {
    settle = resolve;
  });
  const end = (how: LaunchResult): void => {
    settle?.(how);
    settle = null;
  };
  const monitor = openMonitor(
    fd,
    meta,
    {
      changed: (changed) => {
        if (changed.state === "RUNNING") end({ kind: "running", monitor: changed });
        events.changed(changed);
      },
      gone: (ended) => {
        end(failure === null ? { kind: "died", log: ended.log } : { kind: "failed", record: failure, log: ended.log });
        events.gone(ended);
      },
    },
    (record) => {
      // It has undone everything and is about to end: whoever is told of the failure finds nothing left.
      failure = record;
    },
  );
  return { monitor, result };
}

/** The pid that the nursery says of a monitor; null: there is none. */
function firstWord(fd: number): Promise<number | null> {
  return new Promise((resolve) => {
    const watcher = watch(fd, "in", () => {
      watcher.close();
      const bytes = new Uint8Array(4);
      const { bytes: size } = receiveMessage(fd, bytes, 0);
      resolve(size === bytes.length ? new DataView(bytes.buffer).getInt32(0, true) : null);
    });
  });
}

/** Tells a spare that it will not be needed, and waits until it has ended; closes the socket. */
function endOf(arch: Arch, fd: number): Promise<void> {
  syscall(requireSyscall(arch, "shutdown"), [fd, shutWrite]);
  return new Promise((resolve) => {
    const watcher = watch(fd, "in", () => {
      watcher.close();
      closeFd(fd);
      resolve();
    });
    watcher.unref();
  });
}

/** shutdown(2) SHUT_WR. */
const shutWrite = 1;

/** What a monitor takes (FRAME_LIMIT in native/frames.h), bytes. */
const maxStart = 1024 * 1024;

function startFrame(launch: Launch): Uint8Array {
  const start: StartFrame = {
    flags: 0,
    failOperation: launch.failOperation,
    failErrno: 5,
    title: launch.title,
    meta: JSON.stringify(launch.meta),
    image: launch.image,
  };
  const frame = encodeStart(start);
  if (frame.length - frameHead > maxStart) {
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `the launch program of ${launch.meta.name} is too large: ${frame.length} bytes, at most ${maxStart} are possible`,
      { hint: "fewer or shorter entries, hooks or variables of the caller's environment" },
    );
  }
  return frame;
}

/** Speaks to a monitor over a connected descriptor. */
export function openMonitor(
  fd: number,
  meta: MonitorMeta,
  events: MonitorEvents,
  failed: (record: Uint8Array) => void,
): Monitor {
  const channel = openChannel(fd, maxFrame, {
    frame: (frame) => {
      switch (frame.type) {
        case monitorFrames.state: {
          const { state, exit } = decodeState(frame.payload);
          monitor.state = nextState(monitor.state, state);
          if (exit !== null) monitor.exit = exit;
          if (endings.has(monitor.state)) forgetMain(monitor);
          events.changed(monitor);
          // Monitors of releases before do not say by themselves who runs.
          if (monitor.state === "RUNNING" && monitor.pid === null)
            channel.send(monitorFrames.askInfo, new Uint8Array(0));
          break;
        }
        case monitorFrames.info:
          applyInfo(monitor, decodeInfo(frame.payload), frame.fds);
          for (const waiting of monitor.waiting.splice(0)) waiting();
          events.changed(monitor);
          return;
        case monitorFrames.ready:
          monitor.ready = true;
          events.changed(monitor);
          break;
        case monitorFrames.failed:
          failed(frame.payload);
          break;
        case monitorFrames.log:
          monitor.log = `${monitor.log}${new TextDecoder().decode(frame.payload)}`.slice(-65536);
          break;
        default:
          break;
      }
      for (const unwanted of frame.fds) closeFd(unwanted);
    },
    closed: () => {
      forgetMain(monitor);
      monitor.state = "STOPPED";
      monitor.ended = true;
      for (const waiting of monitor.waiting.splice(0)) waiting();
      events.gone(monitor);
    },
  });
  const monitor: Monitor = {
    meta,
    channel,
    state: "STOPPED",
    pid: null,
    pidfd: null,
    exit: null,
    startedNs: 0n,
    log: "",
    ended: false,
    ready: false,
    doomed: false,
    waiting: [],
  };
  return monitor;
}

/** Removes the socket of a monitor that has ended: killed, it could not do so itself. One that answers is somebody else's by now. */
export function removeDeadSocket(arch: Arch, path: string): void {
  const fd = connectUnix(arch, path);
  if (fd === null) {
    removeFile(arch, path);
    return;
  }
  closeFd(fd);
}

/** States in which the main process is gone: after a reboot there is another. */
const endings: ReadonlySet<State> = new Set<State>(["STOPPING", "STOPPED", "ABORTING", "STARTING"]);

function forgetMain(monitor: Monitor): void {
  if (monitor.pidfd !== null) closeFd(monitor.pidfd);
  monitor.pidfd = null;
  monitor.pid = null;
  monitor.ready = false;
}

/** The state after a monitor's word for it. */
function nextState(now: State, number: number): State {
  const told = states[number] ?? "STOPPED";
  return told === "RUNNING" && freezerStates.has(now) ? now : told;
}

function applyInfo(monitor: Monitor, info: MonitorInfo, fds: readonly number[]): void {
  if (monitor.pidfd !== null) closeFd(monitor.pidfd);
  monitor.state = nextState(monitor.state, info.state);
  monitor.pid = info.pid;
  monitor.pidfd = fds[0] ?? null;
  if (info.exit !== null) monitor.exit = info.exit;
  monitor.startedNs = info.startedNs;
  for (const unwanted of fds.slice(1)) closeFd(unwanted);
}

/** Takes over a connection to a monitor, and a pidfd of its main process. */
export type TakeMonitor = (fd: number, info: MonitorInfo, meta: MonitorMeta, pidfd: number | null) => void;

/**
 * Finds the monitors of earlier daemons: each says itself which container it has. Sockets without a monitor are removed, unless `dead`, which
 * gets their names, says that they are still of use.
 */
export async function findMonitors(
  arch: Arch,
  runtimeDir: string,
  dead: (socketName: string) => boolean,
  found: TakeMonitor,
): Promise<void> {
  const directory = monitorDirectory(runtimeDir);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await Promise.all(readdirSync(directory).map(async (entry) => findMonitor(arch, directory, entry, dead, found)));
}

/** Milliseconds a monitor may take to say who it is: it answers even while it starts a container. */
const answerTime = 5000;

/** One of them, by the name of its socket. */
export async function findMonitor(
  arch: Arch,
  directory: string,
  entry: string,
  dead: (socketName: string) => boolean,
  found: TakeMonitor,
): Promise<void> {
  const path = `${directory}/${entry}`;
  const fd = connectUnix(arch, path);
  if (fd === null) {
    if (!dead(entry)) removeFile(arch, path);
    return;
  }
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      probe.close();
    }, answerTime);
    const probe = openChannel(fd, maxFrame, {
      frame: (frame) => {
        if (frame.type !== monitorFrames.info) {
          for (const unwanted of frame.fds) closeFd(unwanted);
          return;
        }
        const info = decodeInfo(frame.payload);
        const meta = decodeMeta(info.meta);
        if (meta !== null) {
          const own = connectUnix(arch, path);
          if (own !== null) found(own, info, meta, frame.fds[0] ?? null);
          else for (const unwanted of frame.fds) closeFd(unwanted);
        } else for (const unwanted of frame.fds) closeFd(unwanted);
        probe.close();
      },
      closed: () => {
        clearTimeout(timer);
        resolve();
      },
    });
    probe.send(monitorFrames.askInfo, new Uint8Array(0));
  });
}

export function decodeMeta(text: string): MonitorMeta | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const meta = value as Partial<MonitorMeta>;
    return meta.version === 1 && typeof meta.name === "string" && typeof meta.storePath === "string"
      ? (meta as MonitorMeta)
      : null;
  } catch {
    return null;
  }
}

export function sendSignal(monitor: Monitor, signal: number): void {
  monitor.channel.send(monitorFrames.kill, writer().u32(signal).finish());
}

/** Resolves when the main process is known (its pid and pidfd), or the monitor has ended. */
export function whenKnown(monitor: Monitor): Promise<void> {
  if (monitor.pidfd !== null || monitor.ended) return Promise.resolve();
  return new Promise((resolve) => {
    monitor.waiting.push(resolve);
    monitor.channel.send(monitorFrames.askInfo, new Uint8Array(0));
  });
}

export function notRunning(name: string): IsletError {
  return new IsletError("ISLET_NOT_RUNNING", `${name} is not running`);
}
