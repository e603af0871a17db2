import { IsletError, type ErrorCode } from "../base/errors.js";
import { errnoName, strerror } from "../sys/errno.js";
import { errShort, errStatus, opAt, type LaunchProgram, type Op, type Value, shown } from "./ops.js";

/** What the interpreter leaves of a failed operation (docs/protocol/program.md, Errors). */
export interface FailureRecord {
  readonly op: number;
  readonly error: number;
  /** 0 the first process, 1 its child. */
  readonly depth: number;
  readonly args: readonly bigint[];
}

const recordMagic = 0x46504c49;
export const recordSize = 72;

/** null when the bytes are not a record. */
export function decodeRecord(bytes: Uint8Array): FailureRecord | null {
  if (bytes.length < recordSize) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== recordMagic) return null;
  const args: bigint[] = [];
  for (let index = 0; index < 6; index += 1) args.push(view.getBigInt64(16 + index * 8, true));
  return { op: view.getUint32(4, true), error: view.getInt32(8, true), depth: view.getUint32(12, true), args };
}

/** The error that names itself: note, call with the values used, errno in words, source and what to do. */
export function failureError(program: LaunchProgram, record: FailureRecord, code: ErrorCode): IsletError {
  const found = opAt(program, record.op);
  if (found === null)
    return new IsletError("ISLET_INTERNAL", `operation ${record.op} failed: ${errorWords(record.error)}`);
  const { op } = found;
  const symbol = symbolicError(record.error);
  const hint = op.hints === null ? undefined : (op.hints[symbol] ?? op.hints["any"]);
  const message =
    op.code === "fail" ? op.note : `${failedStep(op)}: ${errorWords(record.error)}${calledAs(op, record)}`;
  return new IsletError(code, message, {
    at: op.at,
    errno: symbol,
    syscall: op.name,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Notes of system calls say what to do; what a program tells its runner, decides, computes or ends with is a statement. */
const statements: readonly Op["code"][] = ["tell", "end", "jump", "set"];

function failedStep(op: Op): string {
  return statements.includes(op.code) ? `cannot take note that "${op.note}"` : `cannot ${op.note}`;
}

function calledAs(op: Op, record: FailureRecord): string {
  if (op.code !== "call" && op.code !== "clone") return "";
  return ` [${op.name}(${op.args.map((value, index) => showUsed(value, record.args[index] ?? 0n)).join(", ")})]`;
}

function showUsed(value: Value, used: bigint): string {
  switch (value.kind) {
    case "imm":
      return value.show === null ? String(value.value) : shown(value.show);
    case "data":
      return shown(value.show);
    case "slot":
      return String(used);
    default: {
      const impossible: never = value;
      return String(impossible);
    }
  }
}

function symbolicError(error: number): string {
  if (error === errShort) return "SHORT";
  if (error >= errStatus) return "STATUS";
  return errnoName(error);
}

function errorWords(error: number): string {
  if (error === errShort) return "the other side ended early";
  if (error >= errStatus) {
    const status = error - errStatus;
    return status >= 128 ? `killed by signal ${status - 128}` : `exit status ${status}`;
  }
  return `${errnoName(error)} (${strerror(error)})`;
}
