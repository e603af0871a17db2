import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { OwnProcedure } from "./handlers.js";
import type { ArgsOf, ProcedureName, RetOf } from "./procedures.js";

/** What a connection is asked about itself: who it is for, what it can do, that it is to close. */

/** Of a connection; changed by its own procedures alone. */
export interface Session {
  isOpen: boolean;
  readOnly: boolean;
  /** The client has an event loop and answers keepalive messages. */
  hasKeepalive: boolean;
  /** The client wants to be told why it loses its connection. */
  wantsClosed: boolean;
  /** The client has said that it is done. */
  isClosing: boolean;
}

const uri = "lxc:///system";
/** virConnectOpen's flag. */
const readOnlyFlag = 1;

/**
 * virDrvFeature: those that concern containers. FD passing, string parameters, keepalive, event callbacks, close callbacks, order of networkUpdate's
 * arguments.
 */
const features: ReadonlySet<number> = new Set([8, 9, 10, 14, 15, 16]);
const keepaliveFeature = 10;

const internal = (message: string): LibvirtError => new LibvirtError(errorCodes.internal, errorDomains.rpc, message);
export const notOpen = (): LibvirtError => internal("hypervisor connection not open");

/** Of this host: no server is named. Clients take away what they know of the query. */
const uriForm = /^lxc:(?:\/\/)?(\/(?:[^/?#][^?#]*)?)?(?:[?#].*)?$/;

function checkUri(name: string): void {
  const match = uriForm.exec(name);
  if (match === null)
    throw new LibvirtError(errorCodes.noConnect, errorDomains.none, `no connection driver available for ${name}`);
  const path = match[1] ?? "";
  if (!["", "/", "/system"].includes(path))
    throw new LibvirtError(
      errorCodes.internal,
      errorDomains.lxc,
      `Unexpected LXC URI path '${path}', try lxc:///system`,
    );
}

type OwnHandlers = {
  readonly [N in OwnProcedure]: (session: Session, args: ArgsOf<N>) => RetOf<N>;
};

const handlers: OwnHandlers = {
  AUTH_LIST: () => ({ types: [0] }),
  CONNECT_OPEN: (session, { name, flags }) => {
    if (session.isOpen) throw internal("connection already open");
    if (name !== null && name !== "") checkUri(name);
    session.isOpen = true;
    session.readOnly ||= (flags & readOnlyFlag) !== 0;
  },
  CONNECT_CLOSE: (session) => {
    session.isClosing = true;
  },
  CONNECT_GET_URI: () => ({ uri }),
  CONNECT_IS_SECURE: () => ({ secure: 1 }),
  CONNECT_SUPPORTS_FEATURE: (session, { feature }) => {
    session.hasKeepalive ||= feature === keepaliveFeature;
    return { supported: features.has(feature) ? 1 : 0 };
  },
  CONNECT_REGISTER_CLOSE_CALLBACK: (session) => {
    session.wantsClosed = true;
  },
  CONNECT_UNREGISTER_CLOSE_CALLBACK: (session) => {
    session.wantsClosed = false;
  },
};

/** What may be asked before CONNECT_OPEN. */
const early: ReadonlySet<ProcedureName> = new Set([
  "AUTH_LIST",
  "CONNECT_OPEN",
  "CONNECT_CLOSE",
  "CONNECT_SUPPORTS_FEATURE",
]);

/** Throws unless the connection may be asked that now. */
export function checkOpen(session: Session, name: ProcedureName | null): void {
  if (!session.isOpen && (name === null || !early.has(name))) throw notOpen();
}

type Untyped = (session: Session, args: Readonly<Record<string, unknown>>) => unknown;

/** What answers a procedure here; null: it is not the connection's own. */
export const ownHandler = (name: ProcedureName): Untyped | null =>
  (handlers as Partial<Record<ProcedureName, Untyped>>)[name] ?? null;
