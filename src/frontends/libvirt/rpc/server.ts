import { closeReasons, type Connection, createConnection } from "./connection.js";
import type { Handlers } from "./handlers.js";
import type { KeepaliveTimes } from "./keepalive.js";
import type { Peer, Wire, WireHandlers } from "./wire.js";

/** All clients of the remote protocol. */
export interface RpcServer {
  /** `readOnly`: the socket is for those who only look. Gives back who handles what the wire receives. */
  connect(wire: Wire, peer: Peer, readOnly: boolean): WireHandlers;
  /** Ends all connections; clients that asked for it are told that it was the server's end. */
  close(): void;
}

export function createRpcServer(handlers: Handlers, keepalive?: KeepaliveTimes): RpcServer {
  const connections = new Set<Connection>();
  let lastId = 0;
  return {
    connect(wire, peer, readOnly) {
      lastId += 1;
      const options = keepalive === undefined ? { readOnly } : { readOnly, keepalive };
      const connection = createConnection(lastId, wire, peer, handlers, options);
      connections.add(connection);
      connection.client.onClose(() => {
        connections.delete(connection);
      });
      return connection;
    },
    close() {
      for (const connection of connections) connection.end(closeReasons.error);
    },
  };
}
