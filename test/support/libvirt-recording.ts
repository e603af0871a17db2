import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createFramer, type Frame, frameTypes, maxFrame, statuses } from "../../src/frontends/libvirt/rpc/frame.js";
import { wireError } from "../../src/frontends/libvirt/rpc/messages.js";
import { type EventName, findEvent, findProcedure, programs } from "../../src/frontends/libvirt/rpc/procedures.js";
import { xdrReader } from "../../src/frontends/libvirt/rpc/xdr.js";
import { root } from "./paths.js";

/** What was recorded between Debian's libvirt 9.0 and its clients (README beside the files), and frames as what they say. */

export interface Recorded extends Omit<Frame, "fds"> {
  /** Place in its file. */
  readonly index: number;
  /** The command line that it belongs to. */
  readonly label: string;
  readonly fromClient: boolean;
  /** DOMAIN_CREATE; "1" in a program that is not known. */
  readonly name: string;
  /** What its descriptors are of. */
  readonly targets: readonly string[];
}

export interface Probe {
  readonly label: string;
  readonly request_hex?: string;
  readonly reply_hex?: string;
  /** "TIMEOUT": none came; "EOF": the connection was closed. */
  readonly reply?: unknown;
}

interface Line {
  readonly label: string;
  readonly direction: string;
  readonly name: string;
  readonly hex: string;
  readonly fd_targets?: readonly string[];
  readonly bytes_after_frame?: string;
}

const directory = join(root, "test/golden/libvirt/vectors");
const read = (session: string): unknown => JSON.parse(readFileSync(join(directory, `${session}.json`), "utf8"));

export const recordedProbes = (): readonly Probe[] => read("97-raw-probes") as readonly Probe[];

/** All of them but the probes. */
export const sessionNames = (): readonly string[] =>
  readdirSync(directory).flatMap((file) => (/^(?!97).*\.json$/.test(file) ? [file.slice(0, -5)] : []));

/** The frames of a session in their order. The recorder left out frames that repeat what it had. */
export function recorded(session: string): readonly Recorded[] {
  return (read(session) as readonly Line[]).map((line, index) => {
    const { label, name, hex, fd_targets: targets = [], bytes_after_frame: after = "" } = line;
    return {
      ...frameOf(hex + after, targets.length),
      index,
      label,
      fromClient: line.direction === "client->server",
      name: name.replace(/^(REMOTE_PROC_|(?=LXC_PROC_))/, "").replace("LXC_PROC_", "LXC_"),
      targets,
    };
  });
}

/** One frame of its bytes. */
export function frameOf(hex: string, fds = 0): Frame {
  const framer = createFramer(() => maxFrame);
  framer.push(
    Buffer.from(hex, "hex"),
    Array.from({ length: fds }, (_, fd) => fd),
  );
  const frame = framer.next();
  assert.ok(frame !== null && frame !== "broken", hex);
  return frame;
}

export type Payload = Readonly<Record<string, unknown>>;

/** `fds`: what the descriptors are of, without the numbers of namespaces. */
export type Answer =
  | { readonly status: "ok"; readonly value: Payload; readonly fds: readonly string[] }
  | {
      readonly status: "error";
      readonly code: number;
      readonly domain: number;
      readonly level: number;
      readonly message: string | null;
    };

/** An answer's payload is that of its procedure, to the last byte. */
export function answerOf(frame: Omit<Frame, "fds">, targets: readonly string[]): Answer {
  const reader = xdrReader(frame.payload);
  const whole = <T>(value: T): T => {
    assert.equal(reader.left, 0, `an answer of ${frame.procedure} is too long`);
    return value;
  };
  if (frame.status === statuses.error) {
    const { code, domain, level, message } = whole(wireError.read(reader));
    return { status: "error", code, domain, level, message };
  }
  const procedure = findProcedure(frame.program, frame.procedure);
  const value = whole(procedure?.ret?.read(reader) ?? {});
  return { status: "ok", value, fds: targets.map((target) => target.replace(/\d+/g, "N")) };
}

/** The arguments of a recorded call; null: of a program that is not ours. */
export function argsOf(frame: Recorded): Payload | null {
  return findProcedure(frame.program, frame.procedure)?.args.read(xdrReader(frame.payload)) ?? null;
}

/** What a message that was not asked for says. */
export function messageOf(frame: Omit<Frame, "fds">): { readonly name: string; readonly value: Payload } {
  if (frame.program === programs.keepalive) return { name: frame.procedure === 2 ? "PONG" : "PING", value: {} };
  const name = (["LIFECYCLE", "REBOOT", "METADATA_CHANGE"] as const)
    .map((each): EventName => `DOMAIN_EVENT_CALLBACK_${each}`)
    .find((each) => findEvent(each).number === frame.procedure);
  assert.ok(name !== undefined && frame.type === frameTypes.message, `a message ${frame.procedure}`);
  return { name, value: findEvent(name).message.read(xdrReader(frame.payload)) };
}
