import { type ErrorDomain, errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { type Frame, statuses } from "./frame.js";
import type { Call, Handlers } from "./handlers.js";
import { apiName, qemuApiName } from "./names.js";
import { findProcedure, type Procedure, programs, programVersion } from "./procedures.js";
import { checkOpen, ownHandler, type Session } from "./session.js";
import { xdrReader } from "./xdr.js";

/** From a call's frame to what answers it. */

export type Task =
  | { readonly kind: "done"; readonly procedure: Procedure; readonly result: unknown }
  | { readonly kind: "handler"; readonly procedure: Procedure; readonly run: (call: Call) => unknown };

const wrongFrame = (message: string): LibvirtError => new LibvirtError(errorCodes.rpc, errorDomains.rpc, message);

const refusingDomains: readonly (readonly [RegExp, ErrorDomain])[] = [
  [/Snapshot/, errorDomains.domainSnapshot],
  [/Checkpoint/, errorDomains.domainCheckpoint],
  [/Qemu/, errorDomains.none],
];

/** What a driver has not. */
export function unsupported(api: string): LibvirtError {
  const [, domain] = refusingDomains.find(([names]) => names.test(api)) ?? [];
  return new LibvirtError(errorCodes.noSupport, domain ?? errorDomains.domain, api);
}

function unknown({ program, procedure }: Frame, session: Session): LibvirtError {
  const named = { [programs.remote]: apiName, [programs.qemu]: qemuApiName }[program];
  const api = named?.(procedure) ?? null;
  if (api === null) return wrongFrame(`unknown procedure: ${procedure | 0}`);
  checkOpen(session, null);
  return unsupported(api);
}

const known: ReadonlySet<number> = new Set([programs.remote, programs.lxc, programs.qemu]);

type Run = (args: Readonly<Record<string, unknown>>, call: Call) => unknown;

/** Throws a LibvirtError for a call that nobody may make, or that makes no sense. */
export function dispatch(frame: Frame, session: Session, handlers: Handlers): Task {
  const { program, version } = frame;
  if (!known.has(program) || version !== programVersion)
    throw wrongFrame(`Cannot find program ${program} version ${version}`);
  if (frame.status !== statuses.ok) throw wrongFrame(`Unexpected message status ${frame.status}`);
  const procedure = findProcedure(program, frame.procedure);
  if (procedure === null) throw unknown(frame, session);
  // What comes behind the arguments is ignored: a newer client's.
  const args = procedure.args.read(xdrReader(frame.payload));
  checkOpen(session, procedure.name);
  const own = ownHandler(procedure.name);
  if (own !== null) return { kind: "done", procedure, result: own(session, args) };
  if (procedure.changes && session.readOnly)
    throw new LibvirtError(
      errorCodes.operationDenied,
      errorDomains.domain,
      `read only access prevents ${procedure.api}`,
    );
  const handler = (handlers as Readonly<Record<string, Run>>)[procedure.name];
  if (handler === undefined) throw unsupported(procedure.api);
  return { kind: "handler", procedure, run: (call) => handler(args, call) };
}
