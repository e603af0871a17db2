import {
  absolutePath,
  type Decoder,
  dictionary,
  flag,
  integer,
  list,
  oneOf,
  orNull,
  record,
  text,
} from "../base/decode.js";
import { IsletError } from "../base/errors.js";
import { type Caller, type Engine, states } from "../engine/engine.js";
import {
  copyRequest,
  createRequest,
  type Documents,
  exportRequest,
  importRequest,
  type LibraryCalls,
  nobodyWaits,
  serveLibrary,
  snapshotRequest,
  type Task,
  type Work,
} from "../engine/library.js";
import type { Channel, Frame } from "../host/channel.js";
import { closeFd } from "../host/addon.js";
import { clientFrames } from "../host/protocol.js";
import { decodeAnswer, decodeCall, encodeAnswer, encodeCall, encodeEvent } from "../host/wire.js";
import { attach, id, milliseconds, number, stop, target } from "./call-parameters.js";
import { latest } from "./latest.js";

/** The library's side of the daemon's socket: one connection of a program. */

/** Requests that a program may have under way at once. */
const maxPending = 4096;
/** Failures of tasks that can still be explained. */
const maxTasks = 4096;
/** Milliseconds between two texts of what is being done now. */
const progressInterval = 100;

/** What an answer carries beside its value. */
interface Answer {
  readonly value: unknown;
  readonly task?: Task;
  readonly fds?: readonly number[];
  readonly sent?: () => void;
}

/** Documents are a front end's: loaded when they are wanted. */
export type LoadDocuments = () => Promise<Documents>;

export interface CallConnection {
  frame(frame: Frame): void;
  closed(): void;
}

/** The first call of a program must be `open`: who it is. `peer` is what the kernel says of it. */
export function serveCalls(
  channel: Channel,
  peer: Pick<Caller, "uid" | "gid" | "pid">,
  engine: Engine,
  documents: LoadDocuments,
): CallConnection {
  let calls: LibraryCalls | null = null;
  const aborts = new Map<number, AbortController>();
  const tasks = new Map<number, Task>();
  const asked = new Map<
    number,
    { resolve(answer: ReturnType<typeof decodeAnswer>): void; reject(error: Error): void }
  >();
  let next = 0;

  const open = record<Pick<Caller, "cwd" | "environment"> & { readonly version: number }>({
    version: integer(1, 1),
    cwd: absolutePath,
    environment: dictionary(text),
  });

  /** The program runs a task of a request that it made. */
  const runThere = async (task: Task, forCall: number): Promise<number> => {
    next += 1;
    const mine = next;
    const answer = await new Promise<ReturnType<typeof decodeAnswer>>((resolve, reject) => {
      asked.set(mine, { resolve, reject });
      channel.send(
        clientFrames.call,
        encodeCall({ id: mine, method: "run", parameters: forCall, attachment: task.image }),
        task.fds,
      );
    });
    task.release();
    if (!answer.outcome.ok) throw answer.outcome.error;
    if (answer.attachment.length > 0) throw await task.explain(answer.attachment);
    return integer(0, 0xffff_ffff)(answer.outcome.value, "the result");
  };

  const keepTask = (task: Task): Answer => {
    next += 1;
    tasks.set(next, task);
    const oldest = tasks.keys().next().value;
    if (tasks.size > maxTasks && oldest !== undefined) tasks.delete(oldest);
    return { value: next, task };
  };

  /** Parameters are taken in order; one too many or too few is an error of its decoder. */
  const perform = async (method: string, given: readonly unknown[], to: LibraryCalls, work: Work): Promise<Answer> => {
    const aborted = work.signal;
    const at = <T>(index: number, decoder: Decoder<T>): T => decoder(given[index], `parameter ${index + 1}`);
    switch (method) {
      case "defaultStore":
        return { value: await to.defaultStore() };
      case "list":
        return { value: await to.list(at(0, absolutePath)) };
      case "status":
        return { value: await to.status(at(0, id)) };
      case "create":
        await to.create(at(0, id), at(1, createRequest), work);
        return { value: null };
      case "copy":
        return { value: await to.copy(at(0, id), at(1, target), at(2, copyRequest), work) };
      case "snapshots":
        return { value: await to.snapshots(at(0, id)) };
      case "snapshot":
        return { value: await to.snapshot(at(0, id), at(1, snapshotRequest), work) };
      case "restore":
        await to.restore(at(0, id), at(1, text), work);
        return { value: null };
      case "copySnapshot":
        await to.copySnapshot(at(0, id), at(1, text), at(2, id), work);
        return { value: null };
      case "destroySnapshot":
        await to.destroySnapshot(at(0, id), at(1, text));
        return { value: null };
      case "export":
        await to.export(at(0, id), at(1, exportRequest), work);
        return { value: null };
      case "import":
        return { value: await to.import(at(0, absolutePath), at(1, importRequest), work) };
      case "start":
        return { value: await to.start(at(0, id)) };
      case "stop":
        return { value: await to.stop(at(0, id), at(1, stop)) };
      case "destroy":
        await to.destroy(at(0, id));
        return { value: null };
      case "freeze":
        await to.freeze(at(0, id));
        return { value: null };
      case "unfreeze":
        await to.unfreeze(at(0, id));
        return { value: null };
      case "signal":
        await to.signal(at(0, id), at(1, integer(1, 64)));
        return { value: null };
      case "wait":
        return { value: await to.wait(at(0, id), at(1, list(oneOf(...states))), at(2, milliseconds), aborted) };
      case "usage":
        return { value: await to.usage(at(0, id)) };
      case "addresses":
        return { value: await to.addresses(at(0, id)) };
      case "cgroupItem":
        return { value: await to.cgroupItem(at(0, id), at(1, text)) };
      case "setCgroupItem":
        await to.setCgroupItem(at(0, id), at(1, text), at(2, text));
        return { value: null };
      case "readConfig":
        return { value: await to.readConfig(at(0, id)) };
      case "writeConfig":
        await to.writeConfig(at(0, id), at(1, text));
        return { value: null };
      case "settings":
        return { value: await to.settings(at(0, id)) };
      case "isReady":
        return { value: await to.isReady(at(0, id)) };
      case "waitReady":
        await to.waitReady(at(0, id), at(1, milliseconds), aborted);
        return { value: null };
      case "changeSettings": {
        const task = await to.changeSettings(at(0, id), at(1, dictionary(orNull(text))));
        return task === null ? { value: null } : keepTask(task);
      }
      case "attach":
        return keepTask(await to.attach(at(0, id), at(1, attach)));
      case "lookUp": {
        const { task, idmap } = await to.lookUp(at(0, id), at(1, text), at(2, flag));
        const { value } = keepTask(task);
        return { value: { task: value, idmap }, task };
      }
      case "explain": {
        const task = tasks.get(at(0, number));
        const bytes = at(1, text);
        if (task === undefined || !/^([0-9a-f]{2}){1,256}$/.test(bytes))
          throw new IsletError("ISLET_BAD_REQUEST", "there is no such task");
        throw await task.explain(Buffer.from(bytes, "hex"));
      }
      case "forget":
        tasks.delete(at(0, number));
        return { value: null };
      case "console": {
        const fd = await to.console(at(0, id), at(1, flag));
        return { value: null, fds: [fd], sent: () => void closeFd(fd) };
      }
      case "resizeConsole":
        await to.resizeConsole(at(0, id), at(1, integer(0, 65535)), at(2, integer(0, 65535)));
        return { value: null };
      case "terminal": {
        const taken = await to.terminal(at(0, id), at(1, orNull(number)));
        const { descriptor, lease, isInUse } = taken;
        return {
          value: { number: taken.number, isInUse },
          fds: lease === null ? [descriptor] : [descriptor, lease],
          sent: () => {
            taken.release();
          },
        };
      }
      case "subscribe":
        await to.subscribe((event) => {
          channel.send(clientFrames.event, encodeEvent(event));
        });
        return { value: null };
      default:
        throw new IsletError("ISLET_BAD_REQUEST", `there is no call ${JSON.stringify(method.slice(0, 40))}`);
    }
  };

  const answer = async (callId: number, method: string, parameters: unknown): Promise<void> => {
    const abort = new AbortController();
    aborts.set(callId, abort);
    const tell = (kind: string) => (said: string) => {
      channel.send(clientFrames.call, encodeCall({ id: 0, method: "tell", parameters: [callId, kind, said] }));
    };
    const progress = latest(progressInterval, tell("progress"));
    const work: Work = {
      run: (task) => runThere(task, callId),
      progress: progress.put,
      notice: tell("notice"),
      signal: abort.signal,
    };
    try {
      const given = list((value) => value)(parameters, "the parameters");
      if (method === "open") {
        const hello = open(given[0], "");
        calls = serveLibrary(engine, await documents(), { ...peer, cwd: hello.cwd, environment: hello.environment });
        channel.send(clientFrames.answer, encodeAnswer({ id: callId, outcome: { ok: true, value: 1 } }));
        return;
      }
      if (calls === null) throw new IsletError("ISLET_PROTOCOL", "the first call must be open");
      const { value, task, fds, sent } = await perform(method, given, calls, work);
      channel.send(
        clientFrames.answer,
        encodeAnswer({
          id: callId,
          outcome: { ok: true, value },
          ...(task === undefined ? {} : { attachment: task.image }),
        }),
        fds ?? task?.fds ?? [],
      );
      task?.release();
      sent?.();
    } catch (error) {
      if (!(error instanceof IsletError)) console.error(error);
      const outcome = { ok: false, error: error instanceof Error ? error : new Error(String(error)) } as const;
      channel.send(clientFrames.answer, encodeAnswer({ id: callId, outcome }));
    } finally {
      progress.close();
      if (aborts.get(callId) === abort) aborts.delete(callId);
    }
  };

  return {
    frame(frame): void {
      for (const unwanted of frame.fds) closeFd(unwanted);
      switch (frame.type) {
        case clientFrames.call: {
          const call = decodeCall(frame.payload);
          if (call.method === "cancel") {
            aborts.get(call.id)?.abort(nobodyWaits());
            aborts.delete(call.id);
            return;
          }
          if (aborts.has(call.id) || aborts.size >= maxPending)
            throw new IsletError("ISLET_PROTOCOL", "too many calls at once, or two of one number");
          answer(call.id, call.method, call.parameters).catch((error: unknown) => {
            console.error(error);
            channel.close();
          });
          return;
        }
        case clientFrames.answer: {
          const answered = decodeAnswer(frame.payload);
          const waiting = asked.get(answered.id);
          asked.delete(answered.id);
          waiting?.resolve(answered);
          return;
        }
        default:
          throw new IsletError("ISLET_PROTOCOL", `a frame of the unknown type ${frame.type}`);
      }
    },
    closed(): void {
      const gone = new IsletError("ISLET_PROTOCOL", "the program has gone");
      for (const abort of aborts.values()) abort.abort(gone);
      for (const waiting of asked.values()) waiting.reject(gone);
      asked.clear();
      tasks.clear();
      calls?.close().catch((error: unknown) => {
        console.error(error);
      });
    },
  };
}
