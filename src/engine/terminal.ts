import { IsletError } from "../base/errors.js";
import { closeFd, syscall } from "../host/addon.js";
import { type Channel, type Frame, openChannel } from "../host/channel.js";
import { monitorFrames, reader, writer } from "../host/protocol.js";
import { connectUnix, socketPair } from "../host/socket.js";
import { type MonitorMeta, monitorSocketPath, notRunning } from "../runtime/monitors.js";
import type { HostFacts } from "../spec/host.js";
import { errnoName, strerror } from "../sys/errno.js";
import { TIOCGSID } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { TakenTerminal } from "./engine.js";

/** Milliseconds a monitor may take to answer. */
const answerTime = 5000;
/** Answers are a few bytes. */
const maxFrame = 4096;
const console = 0;
const consoleIfFree = 2;

/** Outer ptys of a monitor (MON_OUTERS in native/monitor.h). */
const mostPtys = 16;

interface Answer {
  /** What was taken, or -errno. */
  readonly number: number;
  readonly master: number | null;
  readonly channel: Channel;
}

/** Asks on a connection of its own. `read`: what an answer is; undefined: it is none. */
function ask<T>(
  host: HostFacts,
  meta: MonitorMeta,
  send: (channel: Channel) => void,
  read: (frame: Frame, channel: Channel) => T | undefined,
): Promise<T> {
  const fd = connectUnix(host.arch, monitorSocketPath(host.runtimeDir, meta.storePath, meta.name));
  if (fd === null) return Promise.reject(notRunning(meta.name));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new IsletError("ISLET_TIMEOUT", `the monitor of ${meta.name} did not answer within ${answerTime / 1000} s`),
      );
      channel.close();
    }, answerTime);
    const channel = openChannel(fd, maxFrame, {
      frame: (frame) => {
        const answer = read(frame, channel);
        if (answer === undefined) {
          for (const unwanted of frame.fds) closeFd(unwanted);
          return;
        }
        clearTimeout(timer);
        resolve(answer);
      },
      closed: () => {
        clearTimeout(timer);
        // After an answer this comes too late to change anything.
        reject(notRunning(meta.name));
      },
    });
    send(channel);
  });
}

/** A tty is taken as long as the connection is open, whoever holds it then. */
function readTty(frame: Frame, channel: Channel): Answer | undefined {
  if (frame.type !== monitorFrames.tty) return undefined;
  const [master = null, ...unwanted] = frame.fds;
  for (const one of unwanted) closeFd(one);
  return { number: reader(frame.payload).i32(), master, channel };
}

/** See Engine.outerTerminals. */
export async function outerTerminals(host: HostFacts, meta: MonitorMeta): Promise<readonly (string | null)[]> {
  const send = (channel: Channel): void => {
    channel.send(monitorFrames.askPtys, new Uint8Array(0));
  };
  const { numbers, asked } = await ask(host, meta, send, (frame, channel) => {
    if (frame.type !== monitorFrames.ptys) return undefined;
    for (const unwanted of frame.fds) closeFd(unwanted);
    const from = reader(frame.payload);
    const count = Math.min(frame.payload.length >> 2, mostPtys);
    return { numbers: Array.from({ length: count }, () => from.i32()), asked: channel };
  });
  asked.close();
  return numbers.map((number) => (number < 0 ? null : `/dev/pts/${number}`));
}

function refusal(meta: MonitorMeta, wanted: number | null, error: number): IsletError {
  const errno = errnoName(error);
  const what = wanted === null ? "a tty" : wanted === console ? "the console" : `tty ${wanted}`;
  switch (errno) {
    case "ENOENT":
      return new IsletError(
        "ISLET_BAD_REQUEST",
        wanted === null ? `${meta.name} has no ttys` : `${meta.name} has no ${what.replace("the ", "")}`,
        { errno, hint: wanted === console ? "see lxc.console.path" : "lxc.tty.max says how many there are" },
      );
    case "EBUSY":
      return new IsletError(
        "ISLET_BUSY",
        wanted === null ? `every tty of ${meta.name} is in use` : `${what} of ${meta.name} is in use`,
        { errno },
      );
    case "EUSERS":
      return new IsletError("ISLET_BUSY", `too many connections to ${meta.name} are open`, { errno });
    default:
      return new IsletError("ISLET_IO", `cannot take ${what} of ${meta.name}: ${strerror(error)}`, { errno });
  }
}

/** Has any session the pty as its controlling terminal (ioctl_tty(2))? */
function hasSession(host: HostFacts, master: number): boolean {
  return syscall(requireSyscall(host.arch, "ioctl"), [master, TIOCGSID, new Uint8Array(8)]) >= 0;
}

async function takeConsole(host: HostFacts, meta: MonitorMeta): Promise<TakenTerminal> {
  const [ours, theirs] = socketPair(host.arch);
  try {
    const answer = await ask(
      host,
      meta,
      (channel) => {
        channel.send(monitorFrames.console, writer().u32(consoleIfFree).finish(), [theirs], true);
      },
      readTty,
    );
    answer.channel.close();
    if (answer.number < 0) throw refusal(meta, console, answer.number);
  } catch (error) {
    closeFd(ours);
    throw error;
  }
  return { number: console, descriptor: ours, lease: null, isInUse: null, release: () => closeFd(ours) };
}

/** Of a running container: see Engine.takeTerminal. */
export async function takeTerminal(host: HostFacts, meta: MonitorMeta, wanted: number | null): Promise<TakenTerminal> {
  if (wanted === console) return await takeConsole(host, meta);
  // Beyond what a container can have, and -1 means any.
  if (wanted !== null && wanted > 0x7fffffff) throw refusal(meta, wanted, -2);
  const { number, master, channel } = await ask(
    host,
    meta,
    (to) => {
      to.send(
        monitorFrames.askTty,
        writer()
          .u32(wanted ?? -1)
          .finish(),
      );
    },
    readTty,
  );
  if (number <= 0 || master === null) {
    if (master !== null) closeFd(master);
    channel.close();
    throw refusal(meta, wanted, number < 0 ? number : -71);
  }
  return {
    number,
    descriptor: master,
    lease: channel.fd,
    isInUse: hasSession(host, master),
    release: () => {
      closeFd(master);
      channel.close();
    },
  };
}
