import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import { hostname } from "node:os";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { GuestCaller, GuestDoor, GuestEvent, GuestView } from "../../../engine/engine.js";
import { hasApi } from "../../../spec/settings.js";
import { type Answer, answer, eventJson, type EventStream, failure } from "./answers.js";

/**
 * HTTP for guests. Bytes on the wire are LXD's (Go's): headers in its order, none of Node's own. Guests are not trusted: everything that one can
 * make this process hold or wait for has a limit.
 */

/** Bytes of a request's head; a longer one is refused with 431. */
const maxHead = 65_536;
/** Bytes of a request's body; a longer one is refused with 413. */
const maxBody = 65_536;
/** Bytes that may wait for a guest that does not read; then its connection ends. */
const maxWaiting = 256 * 1024;
/** Milliseconds for a whole request with its answer, and between two requests. */
const patience = 30_000;
const sweepEvery = 5000;
const pingEvery = 10_000;

const noHost: Answer = failure(400, "400 Bad Request: missing required Host header");

interface Connection {
  readonly stream: Duplex;
  readonly caller: GuestCaller;
  readonly guest: GuestView;
  /** performance.now() at which it ends; Infinity for events. */
  deadline: number;
}

export function createGuestDoor(): GuestDoor {
  const connections = new Map<Duplex, Connection>();
  const sockets = new WebSocketServer({ noServer: true, clientTracking: false, maxPayload: 4096, autoPong: false });
  const hostName = hostname();
  let sweeper: NodeJS.Timeout | null = null;

  const sweep = (): void => {
    const now = performance.now();
    for (const { stream, deadline } of connections.values()) if (deadline < now) stream.destroy();
    if (connections.size > 0 || sweeper === null) return;
    clearInterval(sweeper);
    sweeper = null;
  };

  const answerTo = (request: IncomingMessage, body: string, connection: Connection): Answer | EventStream => {
    if (request.httpVersion === "1.1" && request.headers.host === undefined) return noHost;
    return answer(
      { method: request.method ?? "", target: request.url ?? "", body },
      connection.caller,
      connection.guest,
      hostName,
    );
  };

  const serve = (request: IncomingMessage, response: ServerResponse, connection: Connection, body: string): void => {
    const result = answerTo(request, body, connection);
    if (result.kind === "events") streamEvents(response, connection, result);
    // After a 400 nobody knows what comes next.
    else send(response, result, request.headers.connection?.toLowerCase() === "close" || result === noHost);
  };

  const server: Server = createServer(
    { maxHeaderSize: maxHead, requireHostHeader: false, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 },
    (request, response) => {
      const connection = connections.get(request.socket);
      if (connection === undefined || connection.stream.writableLength > maxWaiting) {
        request.socket.destroy();
        return;
      }
      connection.deadline = performance.now() + patience;
      response.on("finish", () => {
        if (connection.deadline !== Infinity) connection.deadline = performance.now() + patience;
      });
      if (!hasBody(request)) {
        serve(request, response, connection, "");
        return;
      }
      const parts: Buffer[] = [];
      let size = 0;
      request.on("data", (part: Buffer) => {
        size += part.length;
        if (size <= maxBody) parts.push(part);
        else if (!response.headersSent) send(response, failure(413, "the request is too large"), true);
      });
      request.on("end", () => {
        if (size <= maxBody) serve(request, response, connection, Buffer.concat(parts).toString());
      });
    },
  );

  server.on("upgrade", (request, stream, head) => {
    const connection = connections.get(stream);
    if (connection === undefined) {
      stream.destroy();
      return;
    }
    const result = answerTo(request, "", connection);
    if (result.kind === "answer") {
      stream.end(rawAnswer(result));
      return;
    }
    if (request.headers.upgrade?.toLowerCase() !== "websocket") {
      stream.end(rawAnswer(failure(400, "400 Bad Request")));
      return;
    }
    connection.deadline = Infinity;
    // It refuses by itself what is no handshake.
    sockets.handleUpgrade(request, stream, head, (socket) => {
      sendEvents(socket, connection, result);
    });
  });

  server.on("clientError", (error: NodeJS.ErrnoException, stream) => {
    if (!stream.writable) {
      stream.destroy();
      return;
    }
    const isLong = error.code === "HPE_HEADER_OVERFLOW";
    const status = isLong ? 431 : 400;
    stream.end(rawAnswer(failure(status, `${status} ${STATUS_CODES[status] ?? ""}`)), () => stream.destroy());
  });

  return (stream, caller, guest) => {
    const connection: Connection = { stream, caller, guest, deadline: performance.now() + patience };
    connections.set(stream, connection);
    stream.once("close", () => connections.delete(stream));
    sweeper ??= setInterval(sweep, sweepEvery).unref();
    server.emit("connection", stream);
  };
}

const hasBody = (request: IncomingMessage): boolean =>
  request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;

/** Go's order: the headers, then Date, Content-Length, Connection. */
function headersOf({ headers, body }: Answer, closes: boolean): readonly (readonly [string, string])[] {
  return [
    ...headers,
    ["Date", new Date().toUTCString()],
    ["Content-Length", String(Buffer.byteLength(body))],
    ...(closes ? ([["Connection", "close"]] as const) : []),
  ];
}

function send(response: ServerResponse, result: Answer, closes: boolean): void {
  response.sendDate = false;
  // Not Node's own: it says keep-alive where nobody asked.
  if (!closes) response.removeHeader("Connection");
  response.writeHead(result.status, headersOf(result, closes).flat());
  response.end(result.body);
}

/** Where there is no response object any more. */
function rawAnswer(result: Answer): string {
  const lines = [
    `HTTP/1.1 ${result.status} ${STATUS_CODES[result.status] ?? ""}`,
    ...headersOf(result, true).map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${result.body}`;
}

/** One object a line, and no end. */
function streamEvents(response: ServerResponse, connection: Connection, { types }: EventStream): void {
  const { stream } = connection;
  connection.deadline = Infinity;
  response.sendDate = false;
  response.useChunkedEncodingByDefault = false;
  response.removeHeader("Transfer-Encoding");
  response.writeHead(200, [
    "Connection",
    "keep-alive",
    "Content-Type",
    "application/json",
    "X-Content-Type-Options",
    "nosniff",
  ]);
  response.flushHeaders();
  follow(stream, connection.guest, types, (text) => {
    response.write(`${text}\n`);
  });
}

/** Calls back with every event until the connection ends; one that takes them too slowly is ended. */
function follow(stream: Duplex, guest: GuestView, types: EventStream["types"], take: (text: string) => void): void {
  const stop = guest.subscribe((event: GuestEvent) => {
    if (!types.has(event.change.kind)) return;
    if (stream.writableLength > maxWaiting || !isOn(guest)) stream.destroy();
    else take(eventJson(event));
  });
  stream.once("close", stop);
  if (stream.destroyed) stop();
}

/** Switched off, it tells nothing any more; what cannot be read is off as well. */
function isOn(guest: GuestView): boolean {
  try {
    return hasApi(guest.settings());
  } catch {
    return false;
  }
}

function sendEvents(socket: WebSocket, connection: Connection, { types }: EventStream): void {
  const { stream, guest } = connection;
  let answered = true;
  const ping = (): void => {
    if (!answered || stream.writableLength > maxWaiting) {
      socket.terminate();
      return;
    }
    answered = false;
    socket.ping("keepalive");
  };
  const timer = setInterval(ping, pingEvery).unref();
  socket.on("pong", () => {
    answered = true;
  });
  // Not by itself: who pings and does not read what comes back would make us keep it.
  socket.on("ping", (data: Buffer) => {
    if (stream.writableLength > maxWaiting) socket.terminate();
    else socket.pong(data);
  });
  socket.on("error", () => {
    socket.terminate();
  });
  stream.once("close", () => {
    clearInterval(timer);
  });
  ping();
  follow(stream, guest, types, (text) => {
    socket.send(text);
  });
}
