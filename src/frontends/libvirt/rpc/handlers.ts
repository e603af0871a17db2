import type { ArgsOf, EventName, MessageOf, ProcedureName, RetOf } from "./procedures.js";

/** Between the protocol and what is done for a client. */

/** What the connection answers by itself: nobody else has to. */
export type OwnProcedure =
  | "AUTH_LIST"
  | "CONNECT_OPEN"
  | "CONNECT_CLOSE"
  | "CONNECT_GET_URI"
  | "CONNECT_IS_SECURE"
  | "CONNECT_SUPPORTS_FEATURE"
  | "CONNECT_REGISTER_CLOSE_CALLBACK"
  | "CONNECT_UNREGISTER_CLOSE_CALLBACK";
export type DriverProcedure = Exclude<ProcedureName, OwnProcedure>;

/**
 * By name, what does a procedure's work. It throws LibvirtError, or an IsletError of the engine's. What is missing is answered as libvirt answers
 * what a driver has not (code 3). A procedure that `changes` is never called for a client that only reads; whether flags make another one such
 * (virDomainGetXMLDesc with SECURE) is the handler's to ask.
 */
export type Handlers = {
  readonly [N in DriverProcedure]?: (args: ArgsOf<N>, call: Call) => Promise<RetOf<N>> | RetOf<N>;
};

/** One call under way. */
export interface Call {
  readonly client: Client;
  /** That came with the call, in order. The connection closes them when the handler is done: what is to live longer is duplicated. */
  readonly fds: readonly number[];
  /** Goes along with the answer (REPLY_WITH_FDS), and belongs to the connection from now on, which closes it even when the handler fails. */
  replyWith(fd: number): void;
  /**
   * A stream socket or a pty's master that is joined with the client after the answer, until either side ends it (virStream). It belongs to the
   * connection from now on, which closes it even when the handler fails, and then calls back. At most once a call.
   */
  openStream(fd: number, closed?: () => void): void;
}

/** A program at the other end. */
export interface Client {
  /** Never given twice. */
  readonly id: number;
  readonly readOnly: boolean;
  /** Of the process that connected, as the kernel says (SO_PEERCRED). */
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Sends an event; a client that has left too many of them unread loses its connection. Nothing happens when it is gone already. */
  push<E extends EventName>(event: E, message: MessageOf<E>): void;
  /** Calls back once, when the client has gone; at once, if it has already. */
  onClose(callback: () => void): void;
}
