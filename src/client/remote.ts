import { execFile } from "node:child_process";
import { IsletError } from "../base/errors.js";
import type { ContainerEvent, ContainerId } from "../engine/engine.js";
import type { FoundFile, LibraryCalls, Task, Work } from "../engine/library.js";
import { closeFd } from "../host/addon.js";
import type { Arch } from "../sys/arch.js";
import { type Channel, type Frame, openChannel } from "../host/channel.js";
import { clientFrames } from "../host/protocol.js";
import { connectUnix } from "../host/socket.js";
import { hostArch } from "../host/probe.js";
import { decodeAnswer, decodeCall, decodeEvent, encodeAnswer, encodeCall } from "../host/wire.js";
import { binary } from "./paths.js";

/** The engine's requests over the daemon's socket. A daemon that was killed is started again by the next request. */

/** The daemon is trusted; this only bounds what a confused one can make us hold. */
const maxFrame = 64 * 1024 * 1024;
/** Milliseconds that a daemon may take to start. */
const startTime = 15_000;

interface Answered {
  readonly value: unknown;
  readonly attachment: Uint8Array;
  readonly fds: readonly number[];
}

interface Waiting {
  readonly resolve: (answer: Answered) => void;
  readonly reject: (error: Error) => void;
  /** Of what takes time: runs a task when the daemon asks for it, and hears how far it is. */
  readonly work: Work | null;
}

interface Connection {
  readonly channel: Channel;
  readonly waiting: Map<number, Waiting>;
}

const gone = (): IsletError =>
  new IsletError("ISLET_DISCONNECTED", "the islet daemon went away before it answered", {
    hint: "ask again: what was asked may have been done",
  });

/** connectUnix, with words for those who may not. */
function reach(arch: Arch, path: string): number | null {
  try {
    return connectUnix(arch, path);
  } catch (error) {
    const denied = error instanceof IsletError && (error.errno === "EACCES" || error.errno === "EPERM");
    if (!denied) throw error;
    throw new IsletError("ISLET_PERMISSION", `the daemon at ${path} serves only root and its own user`, {
      cause: error,
    });
  }
}

/** Makes the daemon listen, as the commands do. */
function startDaemon(runtimeDirectory: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ISLET_RUNTIME_DIR: runtimeDirectory };
    execFile(binary, ["version"], { env: environment, timeout: startTime }, (error, _, stderr) => {
      if (error === null) resolve();
      else
        reject(
          new IsletError("ISLET_DISCONNECTED", stderr.trim().replace(/^islet: /, "") || "cannot start the daemon", {
            cause: error,
          }),
        );
    });
  });
}

export function connectRemote(runtimeDirectory: string): LibraryCalls {
  const arch = hostArch();
  let connection: Promise<Connection> | null = null;
  let closed = false;
  let nextId = 0;
  const listeners = new Set<(event: ContainerEvent | "lost") => void>();

  const join = async (): Promise<Connection> => {
    const path = `${runtimeDirectory}/socket`;
    let fd = reach(arch, path);
    if (fd === null) {
      await startDaemon(runtimeDirectory);
      fd = reach(arch, path);
    }
    if (fd === null) throw new IsletError("ISLET_DISCONNECTED", `no daemon listens on ${path}`);
    const waiting = new Map<number, Waiting>();
    const channel = openChannel(fd, maxFrame, {
      frame: (frame) => {
        take(frame, waiting, channel);
      },
      closed: () => {
        connection = null;
        for (const each of waiting.values()) each.reject(gone());
        waiting.clear();
        if (!closed && listeners.size > 0) listenAgain();
      },
    });
    const made = { channel, waiting };
    const hello = { version: 1, cwd: process.cwd(), environment: definedOnly(process.env) };
    await ask(made, "open", [hello]);
    if (listeners.size > 0) await ask(made, "subscribe", []);
    return made;
  };

  const current = (): Promise<Connection> => {
    if (closed) return Promise.reject(new IsletError("ISLET_DISCONNECTED", "this connection to islet was closed"));
    const wanted = connection ?? join();
    if (connection === null) {
      connection = wanted;
      wanted.catch(() => {
        if (connection === wanted) connection = null;
      });
    }
    return wanted;
  };

  const listenAgain = (): void => {
    const tell = (): void => {
      for (const listener of listeners) listener("lost");
    };
    // Whoever asks next hears why it failed.
    current().then(tell, tell);
  };

  const ask = (
    on: Connection,
    method: string,
    parameters: readonly unknown[],
    more: { readonly work?: Work; readonly aborted?: AbortSignal | undefined } = {},
  ): Promise<Answered> =>
    new Promise((resolve, reject) => {
      nextId = (nextId + 1) >>> 0;
      const id = nextId;
      const { aborted, work = null } = more;
      const cancel = (): void => {
        on.channel.send(clientFrames.call, encodeCall({ id, method: "cancel", parameters: [] }));
      };
      const abandon = (): void => {
        if (!on.waiting.delete(id)) return;
        cancel();
        reject(aborted?.reason instanceof Error ? aborted.reason : new Error("aborted"));
      };
      const settle = (): void => {
        aborted?.removeEventListener("abort", abandon);
        work?.signal.removeEventListener("abort", cancel);
      };
      on.waiting.set(id, {
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
        work,
      });
      on.channel.send(clientFrames.call, encodeCall({ id, method, parameters }));
      aborted?.addEventListener("abort", abandon);
      // Its answer is waited for: it comes when all is undone.
      work?.signal.addEventListener("abort", cancel);
    });

  const take = (frame: Frame, waiting: Map<number, Waiting>, channel: Channel): void => {
    switch (frame.type) {
      case clientFrames.answer: {
        const answer = decodeAnswer(frame.payload);
        const asked = waiting.get(answer.id);
        waiting.delete(answer.id);
        if (asked === undefined || !answer.outcome.ok) for (const fd of frame.fds) closeFd(fd);
        if (asked === undefined) return;
        if (answer.outcome.ok)
          asked.resolve({ value: answer.outcome.value, attachment: answer.attachment, fds: frame.fds });
        else asked.reject(answer.outcome.error);
        return;
      }
      case clientFrames.event: {
        const event = decodeEvent(frame.payload) as ContainerEvent;
        for (const listener of listeners) listener(event);
        return;
      }
      case clientFrames.call: {
        const { id, method, attachment, parameters } = decodeCall(frame.payload);
        if (method === "tell") {
          for (const fd of frame.fds) closeFd(fd);
          hear(parameters, waiting);
          return;
        }
        const run = waiting.get(Number(parameters))?.work?.run ?? null;
        runHere(channel, id, { image: attachment, fds: frame.fds }, run).catch(() => {
          channel.close();
        });
        return;
      }
      default:
        for (const fd of frame.fds) closeFd(fd);
        channel.close();
    }
  };

  const call = async (method: string, ...parameters: readonly unknown[]): Promise<unknown> =>
    (await ask(await current(), method, parameters)).value;

  const taskOf = (on: Connection, number: unknown, { attachment, fds }: Answered): Task => ({
    image: attachment,
    fds,
    explain: async (record) => {
      try {
        await ask(on, "explain", [number, Buffer.from(record).toString("hex")]);
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error));
      }
      return new IsletError("ISLET_PROTOCOL", "the daemon has no words for the failure");
    },
    release: () => {
      for (const fd of fds) closeFd(fd);
      ask(on, "forget", [number]).catch(() => undefined);
    },
  });

  const none = async (method: string, ...parameters: readonly unknown[]): Promise<void> => {
    await call(method, ...parameters);
  };
  /** The daemon's answers are what its own types say. */
  const typed = async <T>(method: string, ...parameters: readonly unknown[]): Promise<T> =>
    (await call(method, ...parameters)) as T;
  const working = async <T>(method: string, work: Work, ...parameters: readonly unknown[]): Promise<T> => {
    const on = await current();
    work.signal.throwIfAborted();
    return (await ask(on, method, parameters, { work })).value as T;
  };
  const plain = ({ storePath, name }: ContainerId): ContainerId => ({ storePath, name });

  return {
    defaultStore: () => typed("defaultStore"),
    list: (storePath) => typed("list", storePath),
    status: (id) => typed("status", plain(id)),
    async create(id, request, work) {
      await working("create", work, plain(id), request);
    },
    copy: (source, target, request, work) => working("copy", work, plain(source), target, request),
    snapshots: (id) => typed("snapshots", plain(id)),
    snapshot: (id, request, work) => working("snapshot", work, plain(id), request),
    async restore(id, name, work) {
      await working("restore", work, plain(id), name);
    },
    async copySnapshot(id, name, target, work) {
      await working("copySnapshot", work, plain(id), name, target);
    },
    destroySnapshot: (id, name) => none("destroySnapshot", plain(id), name),
    async export(id, request, work) {
      await working("export", work, plain(id), request);
    },
    import: (storePath, request, work) => working("import", work, storePath, request),
    start: (id) => typed("start", plain(id)),
    stop: (id, options) => typed("stop", plain(id), options),
    destroy: (id) => none("destroy", plain(id)),
    freeze: (id) => none("freeze", plain(id)),
    unfreeze: (id) => none("unfreeze", plain(id)),
    signal: (id, signal) => none("signal", plain(id), signal),
    async wait(id, wanted, timeout, aborted) {
      const answer = await ask(await current(), "wait", [plain(id), wanted, timeout], { aborted });
      return answer.value as Awaited<ReturnType<LibraryCalls["wait"]>>;
    },
    usage: (id) => typed("usage", plain(id)),
    addresses: (id) => typed("addresses", plain(id)),
    cgroupItem: (id, item) => typed("cgroupItem", plain(id), item),
    setCgroupItem: (id, item, value) => none("setCgroupItem", plain(id), item, value),
    readConfig: (id) => typed("readConfig", plain(id)),
    writeConfig: (id, text) => none("writeConfig", plain(id), text),
    settings: (id) => typed("settings", plain(id)),
    isReady: (id) => typed("isReady", plain(id)),
    async waitReady(id, timeout, aborted) {
      await ask(await current(), "waitReady", [plain(id), timeout], { aborted });
    },
    async changeSettings(id, changes) {
      const on = await current();
      const answer = await ask(on, "changeSettings", [plain(id), changes]);
      return answer.value === null ? null : taskOf(on, answer.value, answer);
    },
    async attach(id, options) {
      const on = await current();
      const answer = await ask(on, "attach", [plain(id), options]);
      return taskOf(on, answer.value, answer);
    },
    async lookUp(id, path, follow) {
      const on = await current();
      const answer = await ask(on, "lookUp", [plain(id), path, follow]);
      const { task, idmap } = answer.value as { readonly task: number; readonly idmap: FoundFile["idmap"] };
      return { task: taskOf(on, task, answer), idmap };
    },
    async console(id, replay) {
      const { fds } = await ask(await current(), "console", [plain(id), replay]);
      return onlyOne(fds);
    },
    resizeConsole: (id, rows, columns) => none("resizeConsole", plain(id), rows, columns),
    async terminal(id, number) {
      const { value, fds } = await ask(await current(), "terminal", [plain(id), number]);
      const taken = value as { readonly number: number; readonly isInUse: boolean | null };
      const [descriptor = -1, lease = null] = fds;
      return {
        ...taken,
        descriptor,
        lease,
        release: () => {
          for (const fd of fds) closeFd(fd);
        },
      };
    },
    async subscribe(listener) {
      listeners.add(listener);
      try {
        if (listeners.size === 1) await none("subscribe");
      } catch (error) {
        listeners.delete(listener);
        throw error;
      }
      return () => void listeners.delete(listener);
    },
    async close() {
      if (closed) return;
      closed = true;
      listeners.clear();
      const last = await connection?.catch(() => null);
      last?.channel.close();
    },
  };
}

/** What the daemon says of a call that is under way. */
function hear(parameters: unknown, waiting: ReadonlyMap<number, Waiting>): void {
  const [id, kind, said] = parameters as readonly unknown[];
  const work = waiting.get(Number(id))?.work;
  if (kind === "progress") work?.progress(String(said));
  else if (kind === "notice") work?.notice(String(said));
}

function onlyOne(fds: readonly number[]): number {
  const [fd] = fds;
  if (fd === undefined) throw new IsletError("ISLET_PROTOCOL", "the daemon sent no descriptor");
  return fd;
}

function definedOnly(environment: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** A template's task: run, and answered with its result, or with the record of its failure as attachment. */
async function runHere(
  channel: Channel,
  id: number,
  made: Pick<Task, "image" | "fds">,
  run: ((task: Task) => Promise<number>) | null,
): Promise<void> {
  const reply = (answer: Parameters<typeof encodeAnswer>[0]): void => {
    channel.send(clientFrames.answer, encodeAnswer(answer));
  };
  let record: Uint8Array | null = null;
  try {
    if (run === null) throw new IsletError("ISLET_PROTOCOL", "the daemon sent a program that nobody asked for");
    const result = await run({
      ...made,
      explain: (failure) => {
        record = failure;
        return Promise.resolve(new IsletError("ISLET_OPERATION_FAILED", "the template could not be run"));
      },
      release: () => undefined,
    });
    reply({ id, outcome: { ok: true, value: result } });
  } catch (error) {
    if (record === null)
      reply({ id, outcome: { ok: false, error: error instanceof Error ? error : new Error(String(error)) } });
    else reply({ id, outcome: { ok: true, value: 0 }, attachment: record });
  } finally {
    for (const fd of made.fds) closeFd(fd);
  }
}
