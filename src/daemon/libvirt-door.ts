import { fstatSync } from "node:fs";
import type { Duplex } from "node:stream";
import { closeFd, peerCredentials, type PeerCredentials } from "../host/addon.js";
import { type ByteSocket, type ByteSocketHandlers, openByteSocket } from "../host/byte-socket.js";
import { ptyStream } from "../host/pty-stream.js";
import { acceptAll } from "../host/socket.js";
import { createShare, unixStream } from "../host/unix-stream.js";
import type { HostFacts } from "../spec/host.js";

/** The sockets of libvirt's clients: their descriptors here, what they say elsewhere. */
export interface LibvirtDoor {
  /** Clients have been here: they cannot start another daemon, so this one stays for them. */
  readonly wasUsed: boolean;
  /** Takes the connections of a listening socket, which stays the caller's. `readOnly`: they only look. Gives back what ends that. */
  readonly listen: (listener: number, readOnly: boolean) => () => void;
}

/** What the protocol needs of a client's socket. */
export interface LibvirtSocket extends ByteSocket {
  readonly join: (fd: number) => Duplex;
  readonly closeFd: (fd: number) => void;
}

export type LibvirtConnect = (socket: LibvirtSocket, peer: PeerCredentials, readOnly: boolean) => ByteSocketHandlers;

/** Clients at a time (max_clients of libvirtd.conf has 5000); those beyond it are turned away. */
const mostClients = 1000;
/** Milliseconds of a turn of the event loop that one console may have. */
const share = 2;

/** `load`: whoever speaks the protocol, which is not loaded before there is a client. `changed`: clients have come or gone. */
export function createLibvirtDoor(
  { arch }: Pick<HostFacts, "arch">,
  load: () => Promise<LibvirtConnect>,
  changed: () => void,
): LibvirtDoor {
  let count = 0;
  let wasUsed = false;
  const gone = (): void => {
    count -= 1;
    changed();
  };

  const serve = (connection: number, connect: LibvirtConnect, readOnly: boolean): void => {
    const peer = peerCredentials(connection);
    openByteSocket(connection, (socket) => {
      // A console is a socket of its monitor's; another tty is the master of a pty.
      const join = (fd: number): Duplex =>
        fstatSync(fd).isCharacterDevice() ? ptyStream(arch, fd) : unixStream(arch, fd, createShare(share));
      const wire = Object.assign(socket, { join, closeFd });
      const handlers = connect(wire, peer, readOnly);
      return {
        ...handlers,
        closed: () => {
          handlers.closed();
          gone();
        },
      };
    });
  };

  return {
    get wasUsed() {
      return wasUsed;
    },
    listen(listener, readOnly) {
      const watching = acceptAll(arch, listener, (connection) => {
        if (count >= mostClients) {
          closeFd(connection);
          return;
        }
        count += 1;
        wasUsed = true;
        changed();
        load()
          .then((connect) => {
            serve(connection, connect, readOnly);
          })
          .catch((error: unknown) => {
            console.error(error);
            closeFd(connection);
            gone();
          });
      });
      return () => {
        watching.close();
      };
    },
  };
}
