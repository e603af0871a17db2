import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createLibvirtDoor } from "../../src/daemon/libvirt-door.js";
import { LibvirtError } from "../../src/frontends/libvirt/errors.js";
import type { Handlers } from "../../src/frontends/libvirt/rpc/handlers.js";
import type { DomainRef } from "../../src/frontends/libvirt/rpc/messages.js";
import { createRpcServer } from "../../src/frontends/libvirt/rpc/server.js";
import { closeFd } from "../../src/host/addon.js";
import { listenUnix, socketPair } from "../../src/host/socket.js";
import { createShare, unixStream } from "../../src/host/unix-stream.js";
import { type Cleaner, cleanup } from "./cleanup.js";
import { command, type CommandResult } from "./command.js";
import { currentArch } from "./image.js";
import { testDir } from "./paths.js";

/** The remote protocol without an engine: clients find one domain, which is this test. */

export const dom: DomainRef = { name: "t1", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: process.pid };

/** Open ones of this process. */
export const descriptors = (): number => readdirSync("/proc/self/fd").length;

export interface LibvirtServer {
  readonly uri: string;
  readonly path: string;
  readonly virsh: (...words: readonly string[]) => Promise<CommandResult>;
  /** Ends all connections. */
  readonly close: () => void;
  /** Comings and goings of clients. */
  readonly changes: () => number;
  /** The guest's ends of the consoles that were opened. */
  readonly guests: readonly Duplex[];
}

/** `more`: what the server does beside finding the domain and its consoles. */
export function serveLibvirt(t: Cleaner, more: Handlers = {}): LibvirtServer {
  const undo = cleanup(t);
  const guests: Duplex[] = [];
  const handlers: Handlers = {
    CONNECT_LIST_ALL_DOMAINS: () => ({ domains: [dom], ret: 1 }),
    DOMAIN_GET_STATE: () => ({ state: 1, reason: 1 }),
    DOMAIN_LOOKUP_BY_NAME: ({ name }) => {
      if (name !== dom.name) throw new LibvirtError(42, 17, `No domain with matching name '${name}'`);
      return { dom };
    },
    DOMAIN_LOOKUP_BY_UUID: () => ({ dom }),
    DOMAIN_OPEN_CONSOLE: (_, call) => {
      const [ours, theirs] = socketPair(currentArch);
      call.openStream(theirs);
      guests.push(unixStream(currentArch, ours, createShare(50)));
    },
    ...more,
  };
  const server = createRpcServer(handlers);
  let changes = 0;
  const connectTo = (): Promise<typeof server.connect> =>
    Promise.resolve((wire, peer, readOnly) => server.connect(wire, peer, readOnly));
  const door = createLibvirtDoor({ arch: currentArch }, connectTo, () => {
    changes += 1;
  });
  const directory = mkdtempSync(join(testDir, "libvirt-"));
  undo(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, "sock");
  const listener = listenUnix(currentArch, path, 1024, 0o600);
  const stop = door.listen(listener, false);
  undo(() => {
    stop();
    server.close();
    closeFd(listener);
    for (const guest of guests) guest.destroy();
  });
  const uri = `lxc+unix:///system?socket=${path}`;
  return {
    uri,
    path,
    virsh: (...words) => command(["virsh", "-c", uri, ...words]),
    close: () => {
      server.close();
    },
    changes: () => changes,
    guests,
  };
}
