import assert from "node:assert/strict";
import { type Frame, frameTypes, statuses } from "../../src/frontends/libvirt/rpc/frame.js";
import {
  type ArgsOf,
  findProcedure,
  type ProcedureName,
  programs,
  type RetOf,
} from "../../src/frontends/libvirt/rpc/procedures.js";
import type { DomainRef } from "../../src/frontends/libvirt/rpc/messages.js";
import { encode } from "../../src/frontends/libvirt/rpc/xdr.js";
import type { Cleaner } from "./cleanup.js";
import { type Excuses, ledger } from "./libvirt-differences.js";
import { endOfFile, type Line, openLine, plainStream, streamText } from "./libvirt-line.js";
import type { Names } from "./libvirt-names.js";
import {
  type Answer,
  answerOf,
  argsOf,
  messageOf,
  type Payload,
  type Recorded,
  recorded,
  sessionNames,
} from "./libvirt-recording.js";
import { libvirtClient } from "./libvirt-wire.js";
import type { VirshPlace } from "./virsh.js";
import { waitFor } from "./wait.js";

/** A recorded session, made again of a daemon: what its clients sent, in its order and on as many connections, and what comes back. */

export interface Stage {
  readonly place: VirshPlace;
  readonly names: Names;
  /** By a client beside the one that is replayed. */
  readonly call: <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<RetOf<N>>;
  /** By the replayed client: what the recording left out. */
  readonly also: <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<RetOf<N>>;
  /** The connection that is replayed. */
  readonly line: () => Line;
  /** The domain of that name, now. */
  readonly dom: (name: string) => DomainRef;
}

export interface Session extends Excuses {
  readonly name: string;
  /** What happens before a scene (its label), or before a frame (its index): the rest of the recorded command line, or what the recorded host had been through. */
  readonly before?: Readonly<Record<string, (stage: Stage) => Promise<unknown>>>;
  /** Calls that were not kept, by the index of their answer. */
  readonly leftOut?: Readonly<Record<string, readonly [name: ProcedureName, args: Payload]>>;
}

/** A domain among arguments, whatever its uuid and id are here. */
export const dom = (name: string): DomainRef => ({ name, uuid: "00000000-0000-0000-0000-000000000000", id: 0 });

interface Asked {
  readonly name: string;
  readonly serial: number;
  readonly answer: Answer;
  isCompared: boolean;
}

const eventIds: Readonly<Record<string, number>> = {
  DOMAIN_EVENT_CALLBACK_LIFECYCLE: 0,
  DOMAIN_EVENT_CALLBACK_REBOOT: 1,
  DOMAIN_EVENT_CALLBACK_METADATA_CHANGE: 23,
};

/** What two answers are compared by: all of it, or what kind they are of. */
export function views(theirs: Answer, ours: Answer): readonly [unknown, unknown] {
  const short = (answer: Answer): Payload =>
    answer.status === "ok" ? { status: "ok" } : { status: `${answer.code}, ${answer.message ?? ""}` };
  if (theirs.status !== ours.status) return [short(theirs), short(ours)];
  const long = (answer: Answer): Payload =>
    answer.status === "ok" ? { ...answer.value, ...(answer.fds.length > 0 ? { fds: answer.fds } : {}) } : answer;
  return [long(theirs), long(ours)];
}

/** Answers to keepalive come whenever they come. */
const sorted = <F extends Omit<Frame, "fds">>(
  messages: readonly F[],
): { readonly pongs: readonly F[]; readonly events: readonly F[] } => ({
  pongs: messages.filter(({ program }) => program === programs.keepalive),
  events: messages.filter(({ program }) => program !== programs.keepalive),
});

/** `place`: with the domains that the session finds. Fails with all differences that have no reason. */
export async function replay(t: Cleaner, place: VirshPlace, names: Names, session: Session): Promise<void> {
  const frames = recorded(session.name);
  const book = ledger(session);
  const control = await libvirtClient(t, place.socket);
  const used = new Set<string>();
  /** Of the scene. */
  let label = "";
  let line: Line | null = null;
  let asked: Asked[] = [];
  let told: Recorded[] = [];
  let said = new Map<number, string>();
  /** Events that the present connection has asked for. */
  let callbacks = new Map<unknown, unknown>();

  const look = async (): Promise<void> => {
    names.learn("ours", await control.call("CONNECT_LIST_ALL_DOMAINS", { need_results: 1, flags: 0 }));
  };
  const hang = async (): Promise<void> => {
    await line?.close();
    line = null;
    callbacks = new Map();
  };
  /** A handshake is done by its session; a serial that comes again is another client's. */
  const lineFor = async (name: string, serial: number): Promise<Line> => {
    if (line !== null && serial > line.last()) return line;
    await hang();
    const opened = openLine(t, place.socket);
    line = opened;
    if (name === "AUTH_LIST" || name === "CONNECT_OPEN") return opened;
    await opened.call("AUTH_LIST", {});
    await opened.call("CONNECT_OPEN", { name: "lxc:///system", flags: 0 });
    return opened;
  };
  const current = (): Line => {
    assert.ok(line !== null, `${label}: nobody is connected`);
    return line;
  };
  const note = (name: string, args: Payload | null, answer: Answer): void => {
    if (name === "CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY" && answer.status === "ok")
      callbacks.set(answer.value["callbackID"], args?.["eventID"]);
  };
  const stage: Stage = {
    place,
    names,
    async call(name, args) {
      const answer = await control.call(name, args, 20_000);
      await look();
      return answer;
    },
    async also(name, args) {
      const value = await (await lineFor(name, Infinity)).call(name, args);
      note(name, args, { status: "ok", value: value as Payload, fds: [] });
      return value;
    },
    line: current,
    dom(name) {
      const found = names.find(name);
      assert.ok(found !== null, `no domain ${name}`);
      return found;
    },
  };
  const hook = async (key: string): Promise<void> => {
    const happens = session.before?.[key];
    if (happens === undefined) return;
    used.add(key);
    await flush();
    await look();
    await happens(stage);
    await look();
  };

  /** A callback has another number here. */
  const withCallback = (args: Payload): Payload => {
    const theirs = args["callbackID"];
    if (theirs === undefined) return args;
    const heard = frames.map((each) =>
      each.label === label && each.type === frameTypes.message && each.program === programs.remote
        ? messageOf(each)
        : null,
    );
    const event = eventIds[heard.find((each) => each?.value["callbackID"] === theirs)?.name ?? ""];
    const [ours] = [...callbacks].find(([, each]) => each === event) ?? [theirs];
    return { ...args, callbackID: ours };
  };
  const ask = async (
    frame: Omit<Frame, "fds">,
    name: string,
    files: readonly string[],
    args: Payload | null,
  ): Promise<void> => {
    const procedure = findProcedure(frame.program, frame.procedure);
    const payload =
      args === null || procedure === null
        ? frame.payload
        : encode(procedure.args, names.toOurs(withCallback(args)) as Payload);
    const answer = await (await lineFor(name, frame.serial)).ask({ ...frame, payload }, files);
    note(name, args, answer);
    asked.push({ name, serial: frame.serial, answer, isCompared: false });
    await look();
  };
  const compare = (name: string, theirs: Answer, ours: Answer): void => {
    const [one, other] = views(theirs, ours);
    book.compare(label, name, names.plain("theirs", one), names.plain("ours", other));
  };

  /** What streams should have brought by now. */
  const flush = async (): Promise<void> => {
    for (const [serial, text] of said) {
      const on = current();
      const theirs = plainStream(text);
      const ours = (): string => plainStream(on.stream(serial));
      await waitFor("the stream", () => ours() === theirs || ours().endsWith(endOfFile), {
        timeout: 3000,
        every: 10,
      }).catch(() => undefined);
      book.compare(label, "stream", theirs, ours());
      on.forget(serial);
    }
    said = new Map();
  };
  const compareEvents = async (): Promise<void> => {
    if (told.length === 0) return;
    const on = current();
    const { pongs, events } = sorted(told);
    const ours = (): ReturnType<typeof sorted<Frame>> => sorted(on.messages());
    await waitFor("the messages", () => on.messages().length >= told.length, { timeout: 5000 }).catch(() => undefined);
    book.compare(label, "keepalive answers", pongs.length, ours().pongs.length);
    const shown = (side: "theirs" | "ours", messages: readonly Omit<Frame, "fds">[]): unknown =>
      messages.map((each) => {
        const { name, value } = messageOf(each);
        const { callbackID, ...rest } = value;
        const event = side === "ours" ? callbacks.get(callbackID) : eventIds[name];
        return names.plain(side, { name, ...(event === undefined ? {} : { event }), ...rest });
      });
    book.compare(label, "events", shown("theirs", events), shown("ours", ours().events));
  };
  /** The end of a scene. Answers that were not kept are like one that was, or say that it was done. */
  const settle = async (): Promise<void> => {
    await flush();
    await compareEvents();
    for (const { name, answer, isCompared } of asked) {
      if (isCompared) continue;
      const known = frames
        .filter((each) => !each.fromClient && each.name === name && each.type !== frameTypes.stream)
        .map((each) => answerOf(each, each.targets));
      const same = known.find(
        (each) => each.status === answer.status && (each.status === "ok" || differ(name, each, answer) === 0),
      );
      if (same === undefined) compare(name, known.at(-1) ?? { status: "ok", value: {}, fds: [] }, answer);
    }
    await hang();
    asked = [];
    told = [];
  };
  const differ = (name: string, theirs: Answer, ours: Answer): number =>
    book.differences(label, name, names.plain("theirs", theirs), names.plain("ours", ours)).length;

  for (const frame of sessionNames().flatMap(recorded)) {
    if (frame.type === frameTypes.stream) continue;
    names.learn(
      "theirs",
      frame.fromClient
        ? argsOf(frame)
        : frame.type === frameTypes.message
          ? messageOf(frame)
          : answerOf(frame, frame.targets),
    );
  }
  await look();
  for (const frame of frames) {
    const { name, serial, index } = frame;
    if (frame.label !== label) {
      await settle();
      label = frame.label;
      await hook(label);
    }
    await hook(String(index));
    if (!frame.fromClient) {
      if (frame.type === frameTypes.stream) said.set(serial, (said.get(serial) ?? "") + streamText(frame));
      else if (frame.type === frameTypes.message) told.push(frame);
      else {
        const left = session.leftOut?.[index];
        if (left !== undefined) {
          used.add(`call of ${index}`);
          await ask({ ...frame, type: frameTypes.call, status: statuses.ok }, name, [], left[1]);
          assert.equal(left[0], name);
        }
        const mine = asked.find((each) => each.name === name && each.serial === serial && !each.isCompared);
        assert.ok(mine !== undefined, `${index}: the call that this answers is in no table`);
        mine.isCompared = true;
        compare(name, answerOf(frame, frame.targets), mine.answer);
      }
    } else if (frame.type === frameTypes.call || frame.type === frameTypes.callWithFds) {
      await flush();
      await ask(frame, name, frame.targets, argsOf(frame));
    } else {
      await flush();
      await current().tell(frame);
      if (frame.type === frameTypes.stream && frame.status !== statuses.continue)
        await waitFor("the daemon's end of the stream", () => current().stream(serial).endsWith("<finished>"));
    }
  }
  await settle();
  const unused = [
    ...Object.keys(session.before ?? {}),
    ...Object.keys(session.leftOut ?? {}).map((index) => `call of ${index}`),
  ].filter((key) => !used.has(key));
  assert.deepEqual([...book.faults(), ...unused.map((key) => `never came: ${key}`)], []);
}
