import { IsletError, errorLines } from "../base/errors.js";
import type { ClientTask, Command, CommandSession, Engine, ListenSockets } from "../engine/engine.js";
import { closeFd, peerCredentials } from "../host/addon.js";
import { type Channel, openChannel } from "../host/channel.js";
import { type Hello, clientFrames, decodeHello, reader, writer } from "../host/protocol.js";
import { type CallConnection, type LoadDocuments, serveCalls } from "./calls.js";
import { openScreen } from "./screen.js";

const maxFrame = 8 * 1024 * 1024;
const protocolVersion = 1;
/** Clients take frames of 1 MiB; output goes in parts that leave room for its head. */
const maxOut = 512 * 1024;

/** Of RUN: docs/protocol/control.md. */
/** In the head of a program's image: docs/protocol/program.md. */
const operationCountAt = 16;
const runFlags = { result: 2, fault: 16 } as const;

/** What stands before the program; for a test one of its operations fails with EIO (errno(3)). */
function runHead(task: ClientTask, fault: string | undefined): ReturnType<typeof writer> {
  if (fault === undefined) return writer().u32(runFlags.result);
  const count = new DataView(task.image.buffer, task.image.byteOffset).getUint32(operationCountAt, true);
  if (!(Number(fault) < count)) throw new IsletError("ISLET_BAD_REQUEST", `the program has only ${count} operations`);
  return writer()
    .u32(runFlags.result | runFlags.fault)
    .u32(Number(fault))
    .u32(5);
}

/** How a command is found by the name the client was called by; null: there is no such command. */
export type FindCommand = (name: string) => Promise<Command | null>;

export interface Sessions {
  /** Takes over a connection. */
  accept(fd: number): void;
  /** Connections that are open. */
  readonly count: number;
}

/** `isUnderTest`: callers may ask by ISLET_TEST_FAIL_OPERATION=N that the N-th operation of what their client runs fails. */
export function createSessions(
  engine: Engine,
  find: FindCommand,
  documents: LoadDocuments,
  isUnderTest: boolean,
  idle: () => void,
): Sessions {
  let count = 0;
  return {
    get count() {
      return count;
    },
    accept(fd): void {
      const peer = peerOf(fd);
      if (peer === null) {
        closeFd(fd);
        return;
      }
      count += 1;
      serve(fd, peer, engine, find, documents, isUnderTest, () => {
        count -= 1;
        if (count === 0) idle();
      });
    },
  };
}

/** One for all sessions: each of them ends with it, and a stack of its own would cost more than the rest of the end. */
const clientGone = new IsletError("ISLET_PROTOCOL", "the client has gone");

interface Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Only root, and whoever runs the daemon, may command it. */
function peerOf(fd: number): Peer | null {
  const peer = peerCredentials(fd);
  const own = process.getuid?.() ?? 0;
  return peer.uid === 0 || peer.uid === own ? peer : null;
}

interface Pending {
  readonly resolve: (result: number) => void;
  readonly reject: (error: Error) => void;
  readonly task: ClientTask;
}

interface Relay {
  readonly resolve: (how: "closed" | "escape") => void;
  readonly onResize: (rows: number, columns: number) => void;
  readonly onSignal: ((signal: number) => void) | null;
}

function serve(
  fd: number,
  peer: Peer,
  engine: Engine,
  find: FindCommand,
  documents: LoadDocuments,
  isUnderTest: boolean,
  ended: () => void,
): void {
  /** The other side is a program that uses the library, no command. */
  let program: CallConnection | null = null;
  let descriptors: readonly number[] = [];
  let running: Pending | null = null;
  let relay: Relay | null = null;
  let started = false;
  let leave: (error: Error) => void = () => undefined;
  const gone = new Promise<never>((_, reject) => {
    leave = reject;
  });
  gone.catch(() => undefined);

  const channel: Channel = openChannel(fd, maxFrame, {
    frame: (frame) => {
      try {
        if (!started && program === null && frame.type === clientFrames.call)
          program = serveCalls(channel, peer, engine, documents);
        if (program === null) handle(frame.type, frame.payload, frame.fds);
        else program.frame(frame);
      } catch {
        // A client that breaks the protocol is not served.
        channel.close();
      }
    },
    closed: () => {
      leave(clientGone);
      program?.closed();
      running?.reject(clientGone);
      relay?.resolve("closed");
      running = null;
      relay = null;
      for (const item of descriptors) closeFd(item);
      descriptors = [];
      ended();
    },
  });

  const handle = (type: number, payload: Uint8Array, fds: readonly number[]): void => {
    if (type !== clientFrames.hello) for (const unwanted of fds) closeFd(unwanted);
    if (!started && type !== clientFrames.hello)
      throw new IsletError("ISLET_PROTOCOL", "a client that has not said HELLO");
    switch (type) {
      case clientFrames.hello: {
        const hello = decodeHello(payload);
        if (started || hello.version !== protocolVersion || fds.length < 3) {
          for (const unwanted of fds) closeFd(unwanted);
          throw new IsletError("ISLET_PROTOCOL", "a client of another version");
        }
        started = true;
        descriptors = fds;
        perform(hello).catch((error: unknown) => {
          console.error(error);
          channel.close();
        });
        return;
      }
      case clientFrames.result: {
        const from = reader(payload);
        const kind = from.u32();
        const pending = running;
        running = null;
        if (pending === null) return;
        if (kind === 0) pending.resolve(from.u32());
        else pending.reject(pending.task.explainFailure(from.rest().slice()));
        return;
      }
      case clientFrames.winch: {
        const from = reader(payload);
        relay?.onResize(from.u16(), from.u16());
        return;
      }
      case clientFrames.signal:
        relay?.onSignal?.(reader(payload).u32());
        return;
      case clientFrames.hungup: {
        const over = relay;
        relay = null;
        over?.resolve(reader(payload).u32() === 1 ? "escape" : "closed");
        return;
      }
      default:
        throw new IsletError("ISLET_PROTOCOL", `a frame of the unknown type ${type}`);
    }
  };

  const perform = async (hello: Hello): Promise<void> => {
    const [stdin = -1, stdout = -1, stderr = -1, ...listening] = descriptors;
    const name = hello.argv[0] ?? "islet";
    let environment: Readonly<Record<string, string>> | null = null;
    const session: CommandSession = {
      argv: hello.argv,
      caller: {
        uid: peer.uid,
        gid: peer.gid,
        pid: peer.pid,
        get environment(): Readonly<Record<string, string>> {
          environment ??= environmentOf(hello.environment());
          return environment;
        },
        cwd: hello.cwd,
      },
      stdio: [stdin, stdout, stderr],
      get listen(): ListenSockets {
        return { fds: listening, names: session.caller.environment["LISTEN_FDNAMES"] ?? null };
      },
      terminals: hello.terminals,
      rows: hello.rows,
      columns: hello.columns,
      gone,
      write(descriptor, text): void {
        const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
        for (let at = 0; at < bytes.length; at += maxOut) {
          channel.send(
            clientFrames.out,
            writer()
              .u32(descriptor)
              .raw(bytes.subarray(at, at + maxOut))
              .finish(),
          );
        }
      },
      run(task): Promise<number> {
        return new Promise((resolve, reject) => {
          running = { resolve, reject, task };
          const fault = isUnderTest ? session.caller.environment["ISLET_TEST_FAIL_OPERATION"] : undefined;
          channel.send(clientFrames.run, runHead(task, fault).raw(task.image).finish(), task.fds);
        });
      },
      relay(descriptor, options): Promise<"closed" | "escape"> {
        return new Promise((resolve) => {
          relay = { resolve, onResize: options.onResize, onSignal: options.onSignal };
          const lease = options.lease ?? null;
          const flags =
            (options.escape === null ? 0 : 1) |
            (options.onSignal === null ? 0 : 2) |
            4 |
            (options.endsWithInput === true ? 8 : 0) |
            (lease === null ? 0 : 16) |
            (options.alternate === true ? 32 : 0);
          channel.send(
            clientFrames.relay,
            writer()
              .u32(flags)
              .u32(options.escape ?? 0)
              .finish(),
            lease === null ? [descriptor] : [descriptor, lease],
          );
        });
      },
      screen: (on) => openScreen((descriptor, options) => session.relay(descriptor, options), on),
    };
    let code = 1;
    try {
      const command = await find(name);
      if (command === null) session.write(2, `${name}: there is no such command; see islet help\n`);
      else code = await command(session, engine);
    } catch (error) {
      for (const line of errorLines(error)) session.write(2, `${name}: ${line}\n`);
      if (!(error instanceof IsletError)) console.error(error);
    }
    channel.send(clientFrames.exit, writer().u32(code).finish());
    channel.end();
  };

  // Whoever has just connected has mostly written already.
  channel.poke();
}

function environmentOf(entries: readonly string[]): Readonly<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const entry of entries) {
    const at = entry.indexOf("=");
    if (at > 0) out[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return out;
}
