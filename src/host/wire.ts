import { type ErrorCode, errorCodes, IsletError } from "../base/errors.js";
import type { Fault, Source } from "../base/source.js";
import { reader, writer } from "./protocol.js";

/** Payloads of CALL, ANSWER and EVENT (docs/protocol/control.md): requests of the library and what comes back. */

export interface CallFrame {
  /** Chosen by whoever calls; its answer carries it. */
  readonly id: number;
  readonly method: string;
  readonly parameters: unknown;
  /** Bytes that go along: a program's image. */
  readonly attachment: Uint8Array;
}

export interface AnswerFrame {
  readonly id: number;
  readonly outcome: { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Error };
  readonly attachment: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const nothing = new Uint8Array(0);

/** JSON with bigints, as { "bigint": "1" }. */
export function toJson(value: unknown): string {
  return JSON.stringify(value ?? null, (_, each: unknown) =>
    typeof each === "bigint" ? { bigint: each.toString() } : each,
  );
}

export function fromJson(text: string): unknown {
  return JSON.parse(text, (_, each: unknown) => {
    if (typeof each !== "object" || each === null || !("bigint" in each) || typeof each.bigint !== "string")
      return each;
    return /^-?\d{1,40}$/.test(each.bigint) ? BigInt(each.bigint) : each;
  });
}

export function encodeCall(call: Omit<CallFrame, "attachment"> & { readonly attachment?: Uint8Array }): Uint8Array {
  return writer()
    .u32(call.id)
    .text(call.method)
    .bytes(encoder.encode(toJson(call.parameters)))
    .raw(call.attachment ?? nothing)
    .finish();
}

export function decodeCall(payload: Uint8Array): CallFrame {
  const from = reader(payload);
  return { id: from.u32(), method: from.text(), parameters: fromJson(from.text()), attachment: from.rest().slice() };
}

export function encodeAnswer(
  answer: Omit<AnswerFrame, "attachment"> & { readonly attachment?: Uint8Array },
): Uint8Array {
  const { outcome } = answer;
  return writer()
    .u32(answer.id)
    .u32(outcome.ok ? 0 : 1)
    .bytes(encoder.encode(toJson(outcome.ok ? outcome.value : errorToJson(outcome.error))))
    .raw(answer.attachment ?? nothing)
    .finish();
}

export function decodeAnswer(payload: Uint8Array): AnswerFrame {
  const from = reader(payload);
  const id = from.u32();
  const ok = from.u32() === 0;
  const value = fromJson(from.text());
  const attachment = from.rest().slice();
  return { id, outcome: ok ? { ok, value } : { ok, error: errorFromJson(value) }, attachment };
}

export const encodeEvent = (event: unknown): Uint8Array => encoder.encode(toJson(event));
export const decodeEvent = (payload: Uint8Array): unknown => fromJson(decoder.decode(payload));

interface ErrorJson {
  readonly code: ErrorCode;
  readonly message: string;
  readonly at: Source | null;
  readonly hint?: string | undefined;
  readonly errno?: string | undefined;
  readonly syscall?: string | undefined;
  readonly faults: readonly Fault[];
}

function errorToJson(error: Error): ErrorJson {
  if (!(error instanceof IsletError))
    return { code: "ISLET_INTERNAL", message: `internal error: ${error.message}`, at: null, faults: [] };
  const { code, message, at, hint, errno, syscall, faults } = error;
  return { code, message, at, hint, errno, syscall, faults };
}

const isCode = (code: unknown): code is ErrorCode => typeof code === "string" && Object.hasOwn(errorCodes, code);

/** The error as it was thrown on the other side. */
function errorFromJson(value: unknown): IsletError {
  const given = (typeof value === "object" && value !== null ? value : {}) as Partial<ErrorJson>;
  const { hint, errno, syscall } = given;
  return new IsletError(isCode(given.code) ? given.code : "ISLET_INTERNAL", given.message ?? "unknown", {
    at: given.at ?? null,
    faults: given.faults ?? [],
    ...(hint === undefined ? {} : { hint }),
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
  });
}
